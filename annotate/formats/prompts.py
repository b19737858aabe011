"""Prompts as JSON Lines. Pure.

    {"prompt": "How do I ..."}
    {"messages": [{"role": "user", "content": "..."}], "tags": ["code"], "language": "en", "metadata": {"id": 7}}

`prompt` may also be a list of messages. Keys that are not known are kept in the metadata.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any

from annotate.formats.conversations import Message, check_conversation
from annotate.formats.jsonl import Findings, Refused, kind_of, read_objects
from annotate.pairs import content_hash

KNOWN = ("prompt", "messages", "tags", "language", "source", "metadata")


@dataclass(frozen=True, slots=True)
class PromptRecord:
    line: int
    messages: list[Message]
    content_hash: str
    tags: list[str] = field(default_factory=list)
    language: str = ""
    source: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)


def read_prompts(stream: IO[bytes], findings: Findings) -> Iterator[PromptRecord]:
    """Records of a prompts file; what is wrong goes to `findings`, as does a prompt that comes a second time."""
    first: dict[str, int] = {}
    for line, value in read_objects(stream, findings):
        try:
            record = parse_prompt(value, line)
        except Refused as error:
            findings.error(line, str(error))
            continue
        earlier = first.setdefault(record.content_hash, line)
        if earlier != line:
            findings.skip(line, f"The same prompt as in line {earlier}.")
            continue
        yield record


def parse_prompt(value: dict[str, Any], line: int = 0) -> PromptRecord:
    """One object as a record. Raises Refused."""
    given = [key for key in ("prompt", "messages") if key in value]
    if len(given) != 1:
        keys = ", ".join(f"“{key[:40]}”" for key in list(value)[:5]) or "none"
        raise Refused(
            "It has both prompt and messages; keep one."
            if given
            else f"It has neither prompt nor messages. Its keys are: {keys}."
        )
    body = value[given[0]]
    if isinstance(body, str) and given[0] == "prompt":
        body = [{"role": "user", "content": body}]
    messages = check_conversation(body)
    metadata = value.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise Refused(f"metadata must be an object, found {kind_of(metadata)}.")
    extra = {key: item for key, item in value.items() if key not in KNOWN}
    return PromptRecord(
        line=line,
        messages=messages,
        content_hash=content_hash(messages),
        tags=_tags(value.get("tags")),
        language=_short(value, "language", 16),
        source=_short(value, "source", 120),
        metadata={**extra, **metadata},
    )


def _tags(value: Any) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(tag, str) for tag in value):
        raise Refused('tags must be a list of texts, for example ["code", "short"].')
    tags = list(dict.fromkeys(tag.strip() for tag in value if tag.strip()))
    too_long = next((tag for tag in tags if len(tag) > 60), None)
    if too_long:
        raise Refused(f"The tag “{too_long[:20]}…” is longer than 60 characters.")
    if len(tags) > 50:
        raise Refused("More than 50 tags.")
    return tags


def _short(value: dict[str, Any], key: str, limit: int) -> str:
    text = value.get(key)
    if text is None:
        return ""
    if not isinstance(text, str):
        raise Refused(f"{key} must be text, found {kind_of(text)}.")
    if len(text) > limit:
        raise Refused(f"{key} is longer than {limit} characters.")
    return text.strip()
