"""TRL's dataset types, standard and conversational, with the prompt apart or inside. Pure."""

from __future__ import annotations

from typing import Any

from annotate.formats.conversations import Message
from annotate.formats.jsonl import Unusable
from annotate.formats.readers.base import (
    Context,
    Format,
    Row,
    answered,
    check_replies,
    each,
    messages,
    need,
    number,
    pair_record,
    prompt,
    rest,
    truth,
)
from annotate.formats.records import Record, Response


def read_preference(row: Row, line: int, context: Context) -> Record:
    """prompt (or inside both), chosen, rejected; margin if there is one."""
    chosen, rejected = need(row, "chosen"), need(row, "rejected")
    given = messages(row["prompt"], "prompt") if row.get("prompt") is not None else None
    turns, better = completed(given, chosen, "chosen")
    others, worse = completed(given, rejected, "rejected")
    if turns != others:
        raise Unusable("chosen and rejected differ before the last reply, so they do not answer the same prompt.")
    margin = number(row["margin"], "margin") if row.get("margin") is not None else 0.0
    more = rest(row, "prompt", "chosen", "rejected", "margin")
    return pair_record(line, turns, better, worse, context, margin=margin, metadata=more)


def completed(given: list[Message] | None, value: Any, what: str) -> tuple[list[Message], str]:
    """Prompt and reply of a completion that continues a prompt, repeats it, or holds it alone."""
    if isinstance(value, str):
        return _plain(given, value, what)
    turns = messages(value, what)
    if given is None or (len(turns) > 1 and turns[0]["role"] != "assistant"):
        return answered(turns, what)  # the prompt is repeated in it, or there only
    return answered([*given, *turns], what)


def _plain(given: list[Message] | None, value: str, what: str) -> tuple[list[Message], str]:
    if given is None:
        raise Unusable(f"There is no prompt, and {what} is plain text, so the two cannot be told apart.")
    return given, value


def read_implicit(row: Row, line: int, context: Context) -> Record:
    """chosen and rejected as plain texts without a prompt: what both begin with, up to a line's end, is the prompt."""
    chosen, rejected = need(row, "chosen"), need(row, "rejected")
    if not isinstance(chosen, str) or not isinstance(rejected, str):
        return read_preference(row, line, context)
    length = next((i for i, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b), None)
    length = min(len(chosen), len(rejected)) if length is None else length
    cut = max(
        chosen.rfind(mark, 0, length) + len(mark) if mark in chosen[:length] else 0 for mark in ("\n", ": ", "? ")
    )
    if not cut:
        raise Unusable("chosen and rejected share no beginning that could be their prompt.")
    turns: list[Message] = [{"role": "user", "content": chosen[:cut].strip()}]
    more = rest(row, "chosen", "rejected")
    return pair_record(line, turns, chosen[cut:].strip(), rejected[cut:].strip(), context, metadata=more)


def read_unpaired(row: Row, line: int, context: Context) -> Record:
    """prompt, completion and label: desirable or not."""
    turns, said = _completion(row)
    response = Response(said, label=truth(need(row, "label"), "label"))
    check_replies([response], context)
    more = rest(row, "prompt", "completion", "label")
    return Record("unpaired", line, prompt(turns), (response,), metadata=more)


def read_completion(row: Row, line: int, context: Context) -> Record:
    """prompt and completion."""
    turns, said = _completion(row)
    response = Response(said)
    check_replies([response], context)
    return Record("demonstration", line, prompt(turns), (response,), metadata=rest(row, "prompt", "completion"))


def _completion(row: Row) -> tuple[list[Message], str]:
    return completed(messages(need(row, "prompt"), "prompt"), need(row, "completion"), "completion")


def _fits_preference(row: Row) -> str:
    if not {"prompt", "chosen", "rejected"} <= row.keys():
        listed = isinstance(row.get("chosen"), list) and isinstance(row.get("rejected"), list)
        return "chosen and rejected are conversations with the prompt inside" if listed else ""
    return "it has prompt, chosen and rejected" + (" as messages" if isinstance(row["chosen"], list) else "")


def _fits_implicit(row: Row) -> str:
    if isinstance(row.get("chosen"), str) and isinstance(row.get("rejected"), str) and len(row) < 4:
        return "" if "prompt" in row else "it has chosen and rejected, and no prompt"
    return ""


def _fits_unpaired(row: Row) -> str:
    return "it has prompt, completion and label" if {"prompt", "completion", "label"} <= row.keys() else ""


def _fits_completion(row: Row) -> str:
    return "it has prompt and completion" if {"prompt", "completion"} <= row.keys() and "label" not in row else ""


FORMATS = (
    Format(
        "trl-preference",
        "TRL preference",
        "pair",
        each(read_preference),
        _fits_preference,
        0.85,
        ("prompt", "chosen", "rejected", "margin"),
    ),
    Format(
        "trl-implicit",
        "TRL preference, plain with the prompt inside",
        "pair",
        each(read_implicit),
        _fits_implicit,
        0.5,
        ("chosen", "rejected"),
    ),
    Format(
        "trl-unpaired",
        "TRL unpaired preference (KTO)",
        "unpaired",
        each(read_unpaired),
        _fits_unpaired,
        0.9,
        ("prompt", "completion", "label"),
    ),
    Format(
        "trl-completion",
        "TRL prompt and completion",
        "demonstration",
        each(read_completion),
        _fits_completion,
        0.85,
        ("prompt", "completion"),
    ),
)
