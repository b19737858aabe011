"""Ranked responses as other projects publish them: Anthropic's HH pairs and Open-Assistant's trees. Pure.

A record is one comparison with one judgement: a prompt, its responses, and their ranks (1 best, equal numbers tie, None
unranked). Lines that are well formed but hold no usable comparison are skipped and said so; malformed lines are errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any

from annotate.formats.conversations import Message, check_conversation, merge_turns
from annotate.formats.jsonl import Findings, Refused, Unusable, kind_of, read_objects


@dataclass(frozen=True, slots=True)
class RankedResponse:
    text: str
    rank: int | None
    generator: str = ""


@dataclass(frozen=True, slots=True)
class RankingRecord:
    line: int
    messages: list[Message]
    responses: list[RankedResponse]
    language: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)


# Anthropic HH -------------------------------------------------------------------------------------------------------

_TURN = re.compile(r"\n\n(Human|Assistant):")
_ROLE = {"Human": "user", "Assistant": "assistant"}


def read_hh(stream: IO[bytes], findings: Findings) -> Iterator[RankingRecord]:
    """{"chosen": transcript, "rejected": transcript}: the two share everything up to the assistant's last reply."""
    for line, value in read_objects(stream, findings):
        try:
            record = hh_record(value, line)
        except Unusable as error:
            findings.skip(line, str(error))
        except Refused as error:
            findings.error(line, str(error))
        else:
            yield record


def hh_record(value: dict[str, Any], line: int) -> RankingRecord:
    """One row of HH as a record. Raises Refused or Unusable."""
    for key in ("chosen", "rejected"):
        if not isinstance(value.get(key), str):
            raise Refused(
                f"It has no {key}." if key not in value else f"{key} must be text, found {kind_of(value[key])}."
            )
    prompt, chosen = _last_reply(value["chosen"], "chosen")
    other, rejected = _last_reply(value["rejected"], "rejected")
    if prompt != other:
        raise Unusable("The two transcripts differ before the last reply, so they do not answer the same prompt.")
    if not chosen or not rejected:
        raise Unusable("A reply is empty.")
    if chosen == rejected:
        raise Unusable("The two replies are the same.")
    try:
        messages = check_conversation(merge_turns(_transcript(prompt)))
    except Refused as error:
        raise Unusable(str(error)) from None
    return RankingRecord(line, messages, [RankedResponse(chosen, 1), RankedResponse(rejected, 2)])


def _last_reply(text: str, key: str) -> tuple[str, str]:
    prompt, mark, reply = text.rpartition("\n\nAssistant:")
    if not mark or not text.startswith("\n\nHuman:"):
        raise Refused(f"{key} is no transcript: it must begin with “\\n\\nHuman:” and have a “\\n\\nAssistant:” turn.")
    if _TURN.search(reply):
        raise Unusable(f"{key} does not end with a reply of the assistant.")
    return prompt, reply.strip()


def _transcript(text: str) -> list[Message]:
    parts = _TURN.split(text)
    turns = zip(parts[1::2], parts[2::2], strict=True)
    return [{"role": _ROLE[who], "content": said.strip()} for who, said in turns if said.strip()]


# Open-Assistant -----------------------------------------------------------------------------------------------------


def read_oasst(stream: IO[bytes], findings: Findings) -> Iterator[RankingRecord]:
    """One message tree a line: every prompter message with at least two ranked replies is a comparison."""
    for line, value in read_objects(stream, findings):
        root = value.get("prompt", value)
        try:
            if not isinstance(root, dict) or "replies" not in root:
                raise Refused("It is no message tree: there is no prompt with replies.")
            records = list(oasst_comparisons(root, line, findings))
        except Refused as error:
            findings.error(line, str(error))
            continue
        if not records:
            findings.skip(line, "No message in this tree has two ranked replies.")
        yield from records


def oasst_comparisons(root: dict[str, Any], line: int, findings: Findings) -> Iterator[RankingRecord]:
    """Every comparison of one message tree, in its order. Raises Refused."""
    stack: list[tuple[dict[str, Any], list[Message]]] = [(root, [])]
    while stack:
        message, path = stack.pop()
        text, role = _oasst_message(message)
        path = [*path, {"role": role, "content": text}]
        replies = [reply for reply in message.get("replies") or [] if not reply.get("deleted")]
        if role == "user":
            try:
                record = _oasst_record(message, path, replies, line)
            except Unusable as error:
                findings.skip(line, str(error))
            else:
                if record:
                    yield record
        stack.extend((reply, path) for reply in reversed(replies))


def _oasst_message(message: Any) -> tuple[str, str]:
    if not isinstance(message, dict):
        raise Refused(f"A message must be an object, found {kind_of(message)}.")
    text, role = message.get("text"), message.get("role")
    if not isinstance(text, str) or role not in ("prompter", "assistant"):
        raise Refused("A message needs text and the role prompter or assistant.")
    replies = message.get("replies") or []
    if not isinstance(replies, list) or not all(isinstance(reply, dict) for reply in replies):
        raise Refused("replies must be a list of messages.")
    return text, "user" if role == "prompter" else "assistant"


def _oasst_record(
    message: dict[str, Any], path: list[Message], replies: list[dict[str, Any]], line: int
) -> RankingRecord | None:
    responses: dict[str, RankedResponse] = {}
    for reply in replies:
        text, role = _oasst_message(reply)
        rank = reply.get("rank")
        if rank is not None and (not isinstance(rank, int) or isinstance(rank, bool) or rank < 0):
            raise Refused(f"A rank must be a whole number from 0 on, found {str(rank)[:20]}.")
        if role == "assistant" and text.strip():
            ranked = RankedResponse(text, rank, reply.get("model_name") or "")
            responses.setdefault(text, ranked)
    order = sorted({response.rank for response in responses.values() if response.rank is not None})
    if sum(response.rank is not None for response in responses.values()) < 2:
        return None
    dense = {rank: place for place, rank in enumerate(order, 1)}
    try:
        messages = check_conversation(path)
    except Refused as error:
        raise Unusable(str(error)) from None
    return RankingRecord(
        line,
        messages,
        [RankedResponse(r.text, None if r.rank is None else dense[r.rank], r.generator) for r in responses.values()],
        language=str(message.get("lang") or "")[:16],
        metadata={"message_id": message["message_id"]} if isinstance(message.get("message_id"), str) else {},
    )


@dataclass(frozen=True, slots=True)
class RankingFormat:
    """A published format: its reader, and the dimension its rankings usually mean."""

    label: str
    read: Callable[[IO[bytes], Findings], Iterator[RankingRecord]]
    dimension: str


FORMATS: dict[str, RankingFormat] = {
    "hh": RankingFormat("Anthropic HH", read_hh, "harmlessness"),
    "oasst": RankingFormat("Open-Assistant", read_oasst, "helpfulness"),
}
