"""Small datasets and run directories for the reward trainer's tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

GOOD, BAD = "yes yes", "no zzz no"


def row(comparison: str, prompt: str, responses: list[str], ranks: list[list[int | None]], **changes: Any) -> dict:
    """One line of rankings.jsonl."""
    line = {
        "comparison": comparison,
        "dimension": "helpfulness",
        "split": "train",
        "prompt": [{"role": "user", "content": prompt}],
        "responses": [{"id": str(i), "text": text, "generator": "g"} for i, text in enumerate(responses)],
        "rankings": [{"ranks": each, "weight": 1.0, "annotator": "a1", "strengths": None} for each in ranks],
        "tags": [],
    }
    return {**line, **changes}


def easy_rows(train: int = 12, test: int = 6) -> list[dict]:
    """Comparisons of three responses that differ in length, where the one that says yes is best and no is worst."""
    rows = []
    for number in range(train + test):
        responses = [f"{BAD} {'.' * (number % 5)}", f"well {number}", f"{GOOD} {number}"]
        rows.append(
            row(
                str(number),
                f"Question {'?' * (number % 7)} {number}",
                responses,
                [[3, 2, 1]],
                split="train" if number < train else "test",
            )
        )
    return rows


def two_dimensions(rows: list[dict]) -> list[dict]:
    """Each row twice: harmlessness prefers the opposite of helpfulness."""
    flipped = [
        {
            **each,
            "dimension": "harmlessness",
            "rankings": [
                {**ranking, "ranks": [None if rank is None else 4 - rank for rank in ranking["ranks"]]}
                for ranking in each["rankings"]
            ],
        }
        for each in rows
    ]
    return [line for pair in zip(rows, flipped, strict=True) for line in pair]


def write_dataset(directory: Path, rows: list[dict]) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in rows)
    (directory / "rankings.jsonl").write_text(text, encoding="utf-8")
    return directory


def write_run(directory: Path, dataset: Path, start: Path, config: dict[str, Any] | None = None, **inputs: Any) -> Path:
    """A run directory as the executor would prepare it."""
    directory.mkdir(parents=True)
    spec = {
        "run": 1,
        "kind": "reward_model",
        "seed": 0,
        "config": config or {},
        "inputs": {"dataset": str(dataset), "model": str(start), "adapter": None, "models_dir": None, **inputs},
    }
    (directory / "run.json").write_text(json.dumps(spec), encoding="utf-8")
    return directory


def events(directory: Path, kind: str = "metrics") -> list[dict]:
    lines = (directory / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return [event for event in map(json.loads, lines) if event["type"] == kind]
