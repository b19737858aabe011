"""Conversations and instructions as trainers keep them: OpenAI, ShareGPT, Alpaca, LLaMA-Factory. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annotate.formats.conversations import Message
from annotate.formats.jsonl import Refused, Unusable, kind_of
from annotate.formats.readers.base import (
    Context,
    Format,
    Row,
    answered,
    check_replies,
    each,
    instruction,
    messages,
    name,
    need,
    pair_record,
    prompt,
    reply,
    rest,
    text,
    truth,
)
from annotate.formats.records import Kind, Ranking, Record, Response

ALPACA = ("instruction", "input", "output", "system", "history")


def _talk(row: Row, key: str, context: Context) -> list[Message]:
    turns = messages(need(row, key), key, context.tags)
    if text(row, "system", default="") and (not turns or turns[0]["role"] != "system"):
        turns = [{"role": "system", "content": row["system"]}, *turns]
    return turns


def _demonstration(line: int, turns: list[Message], context: Context, more: Row, **fields: Any) -> Record:
    before, said = answered(turns, "The conversation")
    response = Response(said, label=fields.pop("label", None))
    check_replies([response], context)
    kind: Kind = "demonstration" if response.label is None else "unpaired"
    return Record(
        kind, line, prompt(before), (response,), source_id=name(more.pop("id", None)), metadata=more, **fields
    )


def _tag(row: Row) -> bool | None:
    key = "kto_tag" if "kto_tag" in row else "label"
    return truth(row[key], key) if row.get(key) is not None else None


# OpenAI -------------------------------------------------------------------------------------------------------------


def read_openai(row: Row, line: int, context: Context) -> Record:
    """{"messages": [...]} that ends with the assistant; with `label` (or `kto_tag`) it is unpaired feedback."""
    more = rest(row, "messages", "system", "label", "kto_tag")
    return _demonstration(line, _talk(row, "messages", context), context, more, label=_tag(row))


def read_openai_preference(row: Row, line: int, context: Context) -> Record:
    """{"input": {"messages"}, "preferred_output": [...], "non_preferred_output": [...]}"""
    given = need(row, "input")
    turns = messages(given.get("messages") if isinstance(given, dict) else given, "input")
    better = reply(need(row, "preferred_output"), "preferred_output")
    worse = reply(need(row, "non_preferred_output"), "non_preferred_output")
    return pair_record(line, turns, better, worse, context)


# ShareGPT and LLaMA-Factory -----------------------------------------------------------------------------------------


def read_sharegpt(row: Row, line: int, context: Context) -> Record:
    """{"conversations": [{"from", "value"}]}; with `kto_tag` or `label` it is unpaired feedback."""
    more = rest(row, "conversations", "system", "label", "kto_tag", "tools")
    return _demonstration(line, _talk(row, "conversations", context), context, more, label=_tag(row))


def read_sharegpt_preference(row: Row, line: int, context: Context) -> Record:
    """{"conversations": [...], "chosen": {"from", "value"}, "rejected": {...}}"""
    turns = _talk(row, "conversations" if "conversations" in row else "messages", context)
    better, worse = (reply(need(row, key), key, context.tags) for key in ("chosen", "rejected"))
    more = rest(row, "conversations", "messages", "system", "chosen", "rejected", "tools")
    return pair_record(line, turns, better, worse, context, source_id=name(more.pop("id", None)), metadata=more)


# Alpaca -------------------------------------------------------------------------------------------------------------


def read_alpaca(row: Row, line: int, context: Context) -> Record:
    """instruction, input, output; system and history if any; with `kto_tag` it is unpaired feedback."""
    response = Response(text(row, "output"), label=_tag(row) if "kto_tag" in row else None)
    check_replies([response], context)
    kind: Kind = "demonstration" if response.label is None else "unpaired"
    more = rest(row, *ALPACA, "kto_tag")
    return Record(kind, line, instruction(row), (response,), source_id=name(row.get("id")), metadata=more)


def read_alpaca_ranking(row: Row, line: int, context: Context) -> Record:
    """`output` is a list from best to worst."""
    given = need(row, "output")
    if not isinstance(given, list) or not all(isinstance(said, str) for said in given):
        raise Refused(f"output must be a list of texts, found {kind_of(given)}.")
    if len(given) < 2:
        raise Unusable("output holds fewer than two responses.")
    responses = tuple(Response(said) for said in given)
    check_replies(responses, context)
    ranking = Ranking(tuple(range(1, len(given) + 1)), context.dimension)
    more = rest(row, *ALPACA)
    return Record("ranking", line, instruction(row), responses, rankings=(ranking,), metadata=more)


def read_alpaca_preference(row: Row, line: int, context: Context) -> Record:
    """instruction and input with chosen and rejected."""
    more = rest(row, *ALPACA, "chosen", "rejected")
    return pair_record(line, instruction(row), text(row, "chosen"), text(row, "rejected"), context, metadata=more)


# dataset_info.json --------------------------------------------------------------------------------------------------


def llamafactory_entry(info: Mapping[str, Any], entry: str) -> tuple[str, dict[str, str], dict[str, str]]:
    """(format key, column mapping, role tags) of one entry of LLaMA-Factory's dataset_info.json. Raises Refused.

    The mapping is {our column: the file's}; give it to `read_records` with the tags.
    """
    found = info.get(entry)
    if not isinstance(found, dict):
        known = ", ".join(f"“{key[:40]}”" for key in list(info)[:8])
        raise Refused(f"dataset_info.json has no entry “{entry[:40]}”. It has: {known}.")
    columns = {**(found.get("columns") or {})}
    tags = {key: value for key, value in (found.get("tags") or {}).items() if isinstance(value, str)}
    ranked = bool(found.get("ranking"))
    if found.get("formatting", "alpaca") == "sharegpt":
        names = {"messages": "conversations", "system": "system", "chosen": "chosen", "rejected": "rejected"}
        names |= {"kto_tag": "kto_tag"}
        columns.setdefault("messages", "conversations")
        key = "sharegpt-preference" if ranked else "sharegpt"
        tags = {"role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt"} | tags
    else:
        names = {"prompt": "instruction", "query": "input", "response": "output", "system": "system"}
        names |= {"history": "history", "chosen": "chosen", "rejected": "rejected", "kto_tag": "kto_tag"}
        columns = {"prompt": "instruction", "query": "input", "response": "output"} | columns
        key = "alpaca" if not ranked else "alpaca-preference" if "chosen" in columns else "alpaca-ranking"
    return key, {names[theirs]: column for theirs, column in columns.items() if theirs in names}, tags


# recognition --------------------------------------------------------------------------------------------------------


def _last_role(turns: Any) -> str:
    last = turns[-1] if isinstance(turns, list) and turns else None
    role = last.get("role", last.get("from")) if isinstance(last, dict) else None
    return role if isinstance(role, str) else ""


def _fits_openai(row: Row) -> str:
    if "chosen" in row or _last_role(row.get("messages")) != "assistant":
        return ""
    labelled = "label" in row or "kto_tag" in row
    return "it has messages that end with the assistant" + (", and a label" if labelled else "")


def _fits_openai_preference(row: Row) -> str:
    return "it has preferred_output and non_preferred_output" if "non_preferred_output" in row else ""


def _fits_sharegpt(row: Row) -> str:
    found = isinstance(row.get("conversations"), list) and "chosen" not in row
    return "it has conversations" if found else ""


def _fits_sharegpt_preference(row: Row) -> str:
    talk = row.get("conversations") or (row.get("messages") if isinstance(row.get("chosen"), dict) else None)
    return "it has conversations, chosen and rejected" if talk and {"chosen", "rejected"} <= row.keys() else ""


def _fits_alpaca(row: Row) -> str:
    return "it has instruction and output" if "instruction" in row and isinstance(row.get("output"), str) else ""


def _fits_alpaca_ranking(row: Row) -> str:
    found = "instruction" in row and isinstance(row.get("output"), list)
    return "it has an instruction and a list of outputs" if found else ""


def _fits_alpaca_preference(row: Row) -> str:
    return "it has instruction, chosen and rejected" if {"instruction", "chosen", "rejected"} <= row.keys() else ""


FORMATS = (
    Format(
        "openai",
        "OpenAI messages",
        "demonstration",
        each(read_openai),
        _fits_openai,
        0.8,
        ("messages", "system", "label"),
    ),
    Format(
        "openai-preference",
        "OpenAI preference",
        "pair",
        each(read_openai_preference),
        _fits_openai_preference,
        0.95,
        ("input", "preferred_output", "non_preferred_output"),
    ),
    Format(
        "sharegpt",
        "ShareGPT / LLaMA-Factory (SFT, KTO)",
        "demonstration",
        each(read_sharegpt),
        _fits_sharegpt,
        0.85,
        ("conversations", "system", "kto_tag"),
    ),
    Format(
        "sharegpt-preference",
        "ShareGPT / LLaMA-Factory preference (DPO)",
        "pair",
        each(read_sharegpt_preference),
        _fits_sharegpt_preference,
        0.9,
        ("conversations", "system", "chosen", "rejected"),
    ),
    Format(
        "alpaca",
        "Alpaca / LLaMA-Factory (SFT, KTO)",
        "demonstration",
        each(read_alpaca),
        _fits_alpaca,
        0.85,
        (*ALPACA, "kto_tag"),
    ),
    Format(
        "alpaca-ranking",
        "Alpaca ranking (outputs from best to worst)",
        "ranking",
        each(read_alpaca_ranking),
        _fits_alpaca_ranking,
        0.9,
        ALPACA,
    ),
    Format(
        "alpaca-preference",
        "Alpaca / LLaMA-Factory preference (DPO)",
        "pair",
        each(read_alpaca_preference),
        _fits_alpaca_preference,
        0.9,
        (*ALPACA, "chosen", "rejected"),
    ),
)
