"""Single responses: unpaired feedback (KTO), demonstrations (SFT), and LLaMA-Factory's folder of all three. Pure."""

from __future__ import annotations

import json
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
    standing,
)

FROM = {"system": "system", "user": "human", "assistant": "gpt"}


def _labelled(rows: Iterable[Row], left_out: Counter[str]) -> Iterator[tuple[Row, str, bool]]:
    """(row, text, label): desirable is what judges prefer to more than half of what it was compared with."""
    for row in rows:
        for response, stand in zip(row["responses"], standing(row), strict=True):
            if stand is None or abs(stand - 0.5) < 1e-9:
                left_out["responses that are neither preferred nor not"] += 1
            else:
                yield row, response["text"], stand > 0.5


def _demonstrations(rows: Iterable[Row], options: Options, left_out: Counter[str]) -> Iterator[tuple[Row, str]]:
    """(row, text) of the best or edited response, once for a comparison however many dimensions it was judged on."""
    seen: tuple[Any, set[str]] = (None, set())
    for row in rows:
        if row["comparison"] != seen[0]:
            seen = (row["comparison"], set())
        for text in _shown(row, options, left_out):
            if text not in seen[1]:
                seen[1].add(text)
                yield row, text


def _shown(row: Row, options: Options, left_out: Counter[str]) -> list[str]:
    edited = [response["text"] for response in row["responses"] if response.get("is_edit")]
    if options.responses != "best" and (edited or options.responses == "edited"):
        return edited
    first = next(best_first(row), [])
    if len(first) != 1:
        left_out["comparisons without a single best response"] += 1
        return []
    return [row["responses"][first[0]]["text"]]


def _assistant(text: str) -> Messages:
    return [{"role": "assistant", "content": text}]


def _kto(rows: Iterable[Row], options: Options, left_out: Counter[str]) -> Iterator[bytes]:
    return json_lines(
        {"prompt": row["prompt"], "completion": _assistant(text), "label": label, "dimension": row["dimension"]}
        for row, text, label in _labelled(rows, left_out)
    )


def _sft(rows: Iterable[Row], options: Options, left_out: Counter[str]) -> Iterator[bytes]:
    return json_lines(
        {"messages": [*row["prompt"], *_assistant(text)]} for row, text in _demonstrations(rows, options, left_out)
    )


def _completion(rows: Iterable[Row], options: Options, left_out: Counter[str]) -> Iterator[bytes]:
    return json_lines(
        {"prompt": row["prompt"], "completion": _assistant(text)}
        for row, text in _demonstrations(rows, options, left_out)
    )


# LLaMA-Factory ------------------------------------------------------------------------------------------------------


def _conversations(turns: Messages) -> list[dict[str, str]]:
    return [{"from": FROM[turn["role"]], "value": turn["content"]} for turn in turns]


def _factory_dpo(row: Row, options: Options, left_out: Counter[str]) -> Row | None:
    if is_even(row, left_out):
        return None
    return {
        "conversations": _conversations(row["prompt"]),
        "chosen": {"from": "gpt", "value": said(row, "chosen")},
        "rejected": {"from": "gpt", "value": said(row, "rejected")},
    }


def _factory_kto(rows: Iterable[Row], options: Options, left_out: Counter[str]) -> Iterator[bytes]:
    return json_lines(
        {"messages": [*row["prompt"], *_assistant(text)], "label": label}
        for row, text, label in _labelled(rows, left_out)
    )


def _factory_info(rows: Iterable[Row], options: Options, left_out: Counter[str]) -> Iterator[bytes]:
    roles = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
    roles["system_tag"] = "system"
    stem = options.stem
    info = {
        f"{stem}-dpo": {
            "file_name": f"{stem}-dpo.jsonl",
            "formatting": "sharegpt",
            "ranking": True,
            "columns": {"messages": "conversations", "chosen": "chosen", "rejected": "rejected"},
        },
        f"{stem}-kto": {
            "file_name": f"{stem}-kto.jsonl",
            "formatting": "sharegpt",
            "columns": {"messages": "messages", "kto_tag": "label"},
            "tags": roles,
        },
        f"{stem}-sft": {
            "file_name": f"{stem}-sft.jsonl",
            "formatting": "sharegpt",
            "columns": {"messages": "messages"},
            "tags": roles,
        },
    }
    yield (json.dumps(info, ensure_ascii=False, indent=2) + "\n").encode()


LABELS = "ranks between best and worst, ties, strengths, single judgements, split, ids"

WRITERS = (
    Writer(
        "kto",
        "TRL unpaired preference (KTO)",
        "TRL (KTOTrainer)",
        (File("-kto.jsonl", "rankings", _kto),),
        loses=LABELS,
        reads_back="trl-unpaired",
    ),
    Writer(
        "sft",
        "SFT, OpenAI messages",
        "TRL (SFTTrainer), OpenAI",
        (File("-sft.jsonl", "rankings", _sft),),
        loses="all but the best or edited response",
        reads_back="openai",
    ),
    Writer(
        "sft-completion",
        "SFT, TRL prompt and completion",
        "TRL (SFTTrainer)",
        (File("-sft-completion.jsonl", "rankings", _completion),),
        loses="all but the best or edited response",
        reads_back="trl-completion",
    ),
    Writer(
        "llamafactory",
        "LLaMA-Factory (DPO, KTO, SFT)",
        "LLaMA-Factory",
        (
            File("-dpo.jsonl", "pairs", lines_of(_factory_dpo)),
            File("-kto.jsonl", "rankings", _factory_kto),
            File("-sft.jsonl", "rankings", _sft),
            File("dataset_info.json", "", _factory_info, "application/json", fixed_name=True),
        ),
        loses="ties, margins, soft labels, weights, dimension, split, ids",
        reads_back="sharegpt-preference",
    ),
)
