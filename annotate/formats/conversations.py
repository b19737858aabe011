"""What a conversation may be. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from annotate.formats.jsonl import Refused, kind_of

Message = dict[str, str]

ROLES = ("system", "user", "assistant")
MAX_CHARACTERS = 400_000


def check_conversation(value: Any) -> list[Message]:
    """A prompt: at most one system turn, at the front; then user and assistant in turn; the last is the user's.

    Returns the turns with role and content only. Raises Refused.
    """
    if not isinstance(value, list):
        raise Refused(f"Expected a list of messages, found {kind_of(value)}.")
    if not value:
        raise Refused("The conversation has no messages.")
    messages = [_check_message(item, position) for position, item in enumerate(value, 1)]
    turns = messages[1:] if messages[0]["role"] == "system" else messages
    for before, turn in zip([{"role": "assistant"}, *turns], turns, strict=False):
        if turn["role"] == "system":
            raise Refused("A system message may only come first.")
        if turn["role"] == before["role"]:
            raise Refused(
                "The conversation must begin with the user."
                if turn is turns[0]
                else f"Two messages of the {turn['role']} follow each other."
            )
    if messages[-1]["role"] != "user":
        raise Refused(f"The last message must be the user's, but it is the {messages[-1]['role']}'s.")
    if sum(len(message["content"]) for message in messages) > MAX_CHARACTERS:
        raise Refused(f"The conversation is longer than {MAX_CHARACTERS:,} characters.")
    return messages


def merge_turns(messages: Sequence[Message]) -> list[Message]:
    """Join neighbouring messages of one role, as some published transcripts split a turn in two."""
    merged: list[Message] = []
    for message in messages:
        if merged and merged[-1]["role"] == message["role"]:
            merged[-1] = {**message, "content": f"{merged[-1]['content']}\n\n{message['content']}"}
        else:
            merged.append(dict(message))
    return merged


def _check_message(item: Any, position: int) -> Message:
    where = f"Message {position}"
    if not isinstance(item, dict):
        raise Refused(f"{where} must be an object with role and content, found {kind_of(item)}.")
    missing = [key for key in ("role", "content") if key not in item]
    if missing:
        raise Refused(f"{where} has no {' and no '.join(missing)}.")
    role, content = item["role"], item["content"]
    if role not in ROLES:
        shown = f"“{role[:40]}”" if isinstance(role, str) else kind_of(role)
        raise Refused(f"{where} has the role {shown}; it must be system, user or assistant.")
    if not isinstance(content, str):
        raise Refused(f"{where}: content must be text, found {kind_of(content)}.")
    if not content.strip():
        raise Refused(f"{where} is empty.")
    return {"role": role, "content": content}
