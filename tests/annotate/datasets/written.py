"""Records and the dataset directories they become, without a database."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from annotate.datasets.build import Record, write_dataset
from annotate.datasets.config import DatasetConfig

A, B, C, D = range(4)


def record(number: int = 1, *rankings: list, k: int = 4, prompt: str = "", **fields: Any) -> Record:
    """`record(1, [1, 2, 3, 4], [2, 1, 3, 4])`: two judges' helpfulness of responses r0 ... of comparison 1."""
    return Record(
        comparison=str(number),
        prompt=[{"role": "user", "content": prompt or f"为什么? {number}"}],
        responses=[{"id": f"r{i}", "text": "x" * (i + 1), "generator": f"g{i % 2}"} for i in range(k)],
        rankings={"helpfulness": [ranking(ranks, n) for n, ranks in enumerate(rankings, 1)]},
        sources=("human",) * len(rankings),
        **fields,
    )


def ranking(ranks: list, annotator: int = 1, strengths: list | None = None, **fields: Any) -> dict[str, Any]:
    who = {"weight": 1.0, "annotator": f"a{annotator}", "judgement": 100 + annotator}
    return {"ranks": ranks, "strengths": strengths, **who, **fields}


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text("utf-8").splitlines()]


def write(folder: Path, records: Iterable[Record], *, strata: Any = None, **config: Any) -> dict[str, Any]:
    """Write a version without a held-out side, unless one is asked for; returns its counts."""
    folder.mkdir(exist_ok=True, parents=True)
    settings = DatasetConfig(**{"test_fraction": 0.0, **config})
    return write_dataset(folder, records, settings, name="Kites", dimensions=["helpfulness"], strata=strata)


def pairs(folder: Path, records: Iterable[Record], **config: Any) -> list[tuple[str, str]]:
    """(chosen, rejected) of what is written."""
    write(folder, records, **config)
    return [(row["chosen_response"], row["rejected_response"]) for row in rows(folder, "pairs")]
