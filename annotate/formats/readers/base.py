"""What readers share: how a format is described, and how rows become conversations, replies and numbers. Pure.

A reader raises Refused where a row is not of its format, and Unusable where it is, but holds nothing that can be used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeVar

from annotate.formats.conversations import Message, check_conversation, merge_turns
from annotate.formats.jsonl import Refused, Unusable, kind_of
from annotate.formats.limits import MAX_RESPONSES
from annotate.formats.records import Kind, Pair, Record, Response

T = TypeVar("T")

Row = dict[str, Any]
Numbered = tuple[int, Row]

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bard": "assistant",
    "bing": "assistant",
    "bot": "assistant",
    "model": "assistant",
}
SHORT = 120


@dataclass(frozen=True, slots=True)
class Context:
    """What a reader knows besides the row.

    dimension: what the rankings are about, where the file does not say. keep_empty: empty responses are kept instead of
    passed over. name: the file's. texts: rows of the companion file by their key. tags: LLaMA-Factory's names of roles.
    """

    dimension: str = ""
    keep_empty: bool = False
    name: str = ""
    texts: Mapping[str, Row] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Companion:
    """A second file that the first refers to: what it is for people, and the key of its rows."""

    label: str
    key: Callable[[Row], Any]


@dataclass(frozen=True, slots=True)
class Format:
    """One format.

    read: the records of one row, or of the rows that belong together where `group` gives them the same key.
    fits: why a row may be of this format, or "". sure: how much that says, 0 to 1.
    columns: what a column mapping may name. dimension: what its judgements usually are about.
    """

    key: str
    label: str
    kind: Kind
    read: Callable[[Sequence[Numbered], Context], Iterable[Record]]
    fits: Callable[[Row], str]
    sure: float
    columns: tuple[str, ...] = ()
    dimension: str = "helpfulness"
    group: Callable[[Row], Hashable] | None = None
    companion: Companion | None = None


def each(read: Callable[[Row, int, Context], Record]) -> Callable[[Sequence[Numbered], Context], Iterable[Record]]:
    """A reader of single rows as a reader of groups."""

    def read_rows(rows: Sequence[Numbered], context: Context) -> Iterable[Record]:
        for line, row in rows:
            yield read(row, line, context)

    return read_rows


def of_rows(read: Callable[[Row], T], rows: Sequence[Numbered]) -> list[T]:
    """`read` of every row of a group; a complaint names the row that it is about."""
    found = []
    for line, row in rows:
        try:
            found.append(read(row))
        except Refused as error:
            error.line = line
            raise
    return found


# values -------------------------------------------------------------------------------------------------------------


def need(row: Row, key: str) -> Any:
    if row.get(key) is None:
        keys = ", ".join(f"“{name[:40]}”" for name in list(row)[:6]) or "none"
        raise Refused(f"It has no {key}. Its keys are: {keys}.")
    return row[key]


def text(row: Row, key: str, *, default: str | None = None) -> str:
    """The text under a key. Refused if it is not there (unless there is a default) or no text."""
    value = row.get(key)
    if value is None and default is not None:
        return default
    value = need(row, key)
    if not isinstance(value, str):
        raise Refused(f"{key} must be text, found {kind_of(value)}.")
    return value


def name(value: Any) -> str:
    """An id or name as a short text: numbers are written out, what is no name is left out."""
    if isinstance(value, bool) or value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()[:SHORT] if isinstance(value, str | int | float) else ""


def names(value: Any) -> tuple[str, ...]:
    """Tags: a list of texts, or one text."""
    values = value if isinstance(value, list) else [value]
    return tuple(dict.fromkeys(name(item)[:60] for item in values[:50] if name(item)))


def number(value: Any, what: str) -> float:
    """A finite number, also as text. Raises Refused."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise Refused(f"{what} must be a number, found “{value[:20]}”.") from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused(f"{what} must be a number, found {kind_of(value)}.")
    if not math.isfinite(value):
        raise Refused(f"{what} must be a number, found {value}.")
    return value


def score(value: Any, what: str) -> float | None:
    """A number, or None where none was given ("N/A", empty)."""
    if value is None or (isinstance(value, str) and value.strip().lower() in ("", "n/a", "na", "none", "null")):
        return None
    return number(value, what)


def truth(value: Any, what: str) -> bool:
    """true or false, also as 1, 0, "yes", "no". Raises Refused."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    if isinstance(value, str) and value.strip().lower() in ("true", "false", "1", "0", "yes", "no"):
        return value.strip().lower() in ("true", "1", "yes")
    raise Refused(f"{what} must be true or false, found {str(value)[:20]}.")


def rest(row: Row, *known: str) -> Row:
    """What a row holds besides, for the metadata."""
    return {key: value for key, value in row.items() if key not in known and value is not None}


# conversations ------------------------------------------------------------------------------------------------------


def messages(value: Any, what: str, tags: Mapping[str, str] | None = None) -> list[Message]:
    """Turns in any of the usual spellings: role and content, or from and value. Raises Refused or Unusable."""
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        raise Refused(f"{what} must be text or a list of messages, found {kind_of(value)}.")
    found: list[Message] = []
    for position, turn in enumerate(value, 1):
        if not isinstance(turn, dict):
            raise Refused(f"{what}: message {position} must be an object, found {kind_of(turn)}.")
        found.append(_message(turn, f"{what}: message {position}", tags or {}))
    return found


def _message(turn: Row, where: str, tags: Mapping[str, str]) -> Message:
    role_key = tags.get("role_tag") or ("role" if "role" in turn else "from")
    content_key = tags.get("content_tag") or ("content" if "content" in turn else "value")
    role, content = turn.get(role_key), turn.get(content_key)
    if not isinstance(role, str):
        raise Refused(f"{where} has no {role_key}.")
    for tag, known in (("user_tag", "user"), ("assistant_tag", "assistant"), ("system_tag", "system")):
        if role == tags.get(tag):
            role = known
    if role not in ROLES:
        role = role.lower()
    if role in ("tool", "function", "observation", "function_call") or (content is None and turn.get("tool_calls")):
        raise Unusable(f"{where} is a tool's, which is not supported.")
    if role not in ROLES:
        raise Refused(f"{where} has the unknown role “{role[:40]}”.")
    if isinstance(content, list):
        content = _joined(content, where)
    if content is None:
        raise Refused(f"{where} has no {content_key}.")
    if not isinstance(content, str):
        raise Refused(f"{where}: {content_key} must be text, found {kind_of(content)}.")
    return {"role": ROLES[role], "content": content}


def _joined(parts: list[Any], where: str) -> str:
    """Text of a message in parts. Raises Unusable where a part is a picture or a sound."""
    texts = []
    for part in parts:
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif isinstance(part, str):
            texts.append(part)
        else:
            kind = part.get("type") if isinstance(part, dict) else kind_of(part)
            raise Unusable(f"{where} holds {str(kind)[:20]}, and only text is supported.")
    return "\n".join(texts)


def prompt(turns: list[Message]) -> list[Message]:
    """Turns as a prompt. Raises Unusable if they are none."""
    try:
        return check_conversation(merge_turns(turns) if _split(turns) else turns)
    except Refused as error:
        raise Unusable(str(error)) from None


def _split(turns: list[Message]) -> bool:
    return any(a["role"] == b["role"] for a, b in pairwise(turns))


def answered(turns: list[Message], what: str) -> tuple[list[Message], str]:
    """A conversation that ends with the assistant's reply, as prompt and reply. Raises Unusable."""
    if not turns or turns[-1]["role"] != "assistant":
        raise Unusable(f"{what} does not end with a reply of the assistant.")
    return turns[:-1], turns[-1]["content"]


def reply(value: Any, what: str, tags: Mapping[str, str] | None = None) -> str:
    """One reply: a text, a message, or a list of one message."""
    if isinstance(value, str):
        return value
    turns = messages(value, what, tags)
    if len(turns) != 1:
        raise Unusable(f"{what} has {len(turns)} messages where one reply is expected.")
    return turns[0]["content"]


def instruction(row: Row) -> list[Message]:
    """Alpaca's prompt: system, history, instruction and input."""
    turns: list[Message] = []
    if text(row, "system", default=""):
        turns.append({"role": "system", "content": row["system"]})
    history = row.get("history") or []
    if not isinstance(history, list):
        raise Refused(f"history must be a list, found {kind_of(history)}.")
    for turn in history:
        if not isinstance(turn, list) or len(turn) != 2 or not all(isinstance(said, str) for said in turn):
            raise Refused("history must be a list of [instruction, response].")
        turns += [{"role": "user", "content": turn[0]}, {"role": "assistant", "content": turn[1]}]
    asked = "\n".join(part for part in (text(row, "instruction"), text(row, "input", default="")) if part)
    return prompt([*turns, {"role": "user", "content": asked}])


# records ------------------------------------------------------------------------------------------------------------


def check_replies(responses: Sequence[Response], context: Context, *, different: bool = True) -> None:
    """Raise Unusable where a response is empty (unless kept) or two are the same, Refused where there are too many."""
    if len(responses) > MAX_RESPONSES:
        raise Refused(f"It has {len(responses)} responses; at most {MAX_RESPONSES} can be compared.")
    if not context.keep_empty:
        empty = next((i for i, response in enumerate(responses, 1) if not response.text.strip()), None)
        if empty:
            raise Unusable("The response is empty." if len(responses) == 1 else f"Response {empty} is empty.")
    if different and len({response.text for response in responses}) < len(responses):
        raise Unusable("Two responses are the same.")


def pair_record(
    line: int,
    turns: list[Message],
    chosen: str,
    rejected: str,
    context: Context,
    *,
    margin: float = 0.0,
    generators: tuple[str, str] = ("", ""),
    **fields: Any,
) -> Record:
    """One preference, chosen over rejected. Raises Unusable."""
    responses = (Response(chosen, generator=generators[0]), Response(rejected, generator=generators[1]))
    check_replies(responses, context)
    pair = Pair(0, 1, dimension=context.dimension, margin=margin)
    return Record("pair", line, prompt(turns), responses, pairs=(pair,), **fields)
