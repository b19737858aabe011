"""Pairs and rankings for those who train on preferences: TRL, HH, Alpaca, OpenRLHF. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from annotate.formats.writers.base import (
    File,
    Messages,
    Options,
    Row,
    Writer,
    best_first,
    is_even,
    json_lines,
    lines_of,
    said,
    transcript,
)

MARKS = ("\n\nHuman:", "\n\nAssistant:")


def _same(rows: Iterable[Row], options: Options, left_out: Counter[str]) -> Iterator[bytes]:
    return json_lines(rows)


def _conversational(row: Row, options: Options, left_out: Counter[str]) -> Row | None:
    if is_even(row, left_out):
        return None
    return {"prompt": row["prompt"], "chosen": row["chosen"], "rejected": row["rejected"]}


def _margin(row: Row, options: Options, left_out: Counter[str]) -> Row | None:
    made = _conversational(row, options, left_out)
    return made and {**made, "margin": float(row["margin"])}


def _standard(row: Row, options: Options, left_out: Counter[str]) -> Row | None:
    if is_even(row, left_out):
        return None
    return {"prompt": transcript(row["prompt"]), "chosen": said(row, "chosen"), "rejected": said(row, "rejected")}


def _openrlhf(row: Row, options: Options, left_out: Counter[str]) -> Row | None:
    """Whole conversations: OpenRLHF finds what they share by itself."""
    if is_even(row, left_out):
        return None
    start = row["prompt"]
    return {
        "chosen": [*start, *row["chosen"]],
        "rejected": [*start, *row["rejected"]],
        "margin": float(row["margin"]),
    }


def _hh(row: Row, options: Options, left_out: Counter[str]) -> Row | None:
    if is_even(row, left_out):
        return None
    turns = row["prompt"]
    texts = [turn["content"] for turn in turns] + [said(row, "chosen"), said(row, "rejected")]
    if any(_holds_mark(text) for text in texts):
        left_out["pairs whose text holds a mark of the transcript, Human: or Assistant:"] += 1
        return None
    start = "".join(_spoken(turns))
    return {key: f"{start}\n\nAssistant: {said(row, key)}" for key in ("chosen", "rejected")}


def _holds_mark(text: str) -> bool:
    if "Human:" not in text and "Assistant:" not in text:
        return False
    return any(mark in "\n\n" + text.strip() for mark in MARKS)


def _spoken(turns: Messages) -> Iterator[str]:
    system = ""
    for turn in turns:
        if turn["role"] == "system":
            system = turn["content"] + "\n\n"
        else:
            yield f"\n\n{'Human' if turn['role'] == 'user' else 'Assistant'}: {system}{turn['content']}"
            system = ""


def _alpaca(row: Row, options: Options, left_out: Counter[str]) -> dict[str, Any] | None:
    groups = list(best_first(row))
    if len(groups) < 2:
        left_out["comparisons without an order"] += 1
        return None
    tied = sum(len(group) - 1 for group in groups)
    if tied:
        left_out["responses that tie with one that was written"] += tied
    made = instruction(row["prompt"])
    made["output"] = [row["responses"][group[0]]["text"] for group in groups]
    return made


def instruction(turns: Messages) -> dict[str, Any]:
    """A prompt as Alpaca's instruction, system and history."""
    rest = list(turns)
    system = rest.pop(0)["content"] if rest[0]["role"] == "system" else ""
    history = [[rest[i]["content"], rest[i + 1]["content"]] for i in range(0, len(rest) - 1, 2)]
    return {"instruction": rest[-1]["content"], "input": "", "output": [], "system": system, "history": history}


SOFT = "ties, soft labels, weights, dimension, split, ids"

WRITERS = (
    Writer("pairs", "Plumbline pairs", "datasets, TRL", (File("-pairs.jsonl", "pairs", _same),), reads_back="pairs"),
    Writer(
        "rankings",
        "K-wise rankings",
        "datasets, pandas",
        (File("-rankings.jsonl", "rankings", _same),),
        reads_back="rankings",
    ),
    Writer(
        "trl",
        "TRL preference, conversational",
        "TRL",
        (File("-trl.jsonl", "pairs", lines_of(_conversational)),),
        loses=f"margin, {SOFT}",
        reads_back="trl-preference",
    ),
    Writer(
        "trl-margin",
        "TRL preference with margin",
        "TRL (RewardTrainer)",
        (File("-trl-margin.jsonl", "pairs", lines_of(_margin)),),
        loses=SOFT,
        reads_back="trl-preference",
    ),
    Writer(
        "trl-standard",
        "TRL preference, standard",
        "TRL",
        (File("-trl-standard.jsonl", "pairs", lines_of(_standard)),),
        loses=f"the roles of a conversation, margin, {SOFT}",
        reads_back="trl-preference",
    ),
    Writer(
        "hh",
        "Anthropic HH",
        "HH readers",
        (File("-hh.jsonl", "pairs", lines_of(_hh)),),
        loses=f"the system role, space around texts, margin, {SOFT}",
        reads_back="hh",
    ),
    Writer(
        "openrlhf",
        "OpenRLHF preference",
        "OpenRLHF",
        (File("-openrlhf.jsonl", "pairs", lines_of(_openrlhf)),),
        loses=SOFT,
        reads_back="trl-preference",
    ),
    Writer(
        "alpaca-ranking",
        "Alpaca ranking",
        "RRHF, older LLaMA-Factory",
        (File("-alpaca-ranking.jsonl", "rankings", lines_of(_alpaca)),),
        loses="ties, strengths, single judgements, dimension, split, ids",
        reads_back="alpaca-ranking",
    ),
)
