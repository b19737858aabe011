"""A dataset version to export, and reading in one line."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from annotate.datasets.build import Record as Comparison
from annotate.datasets.build import write_dataset
from annotate.datasets.config import DatasetConfig
from annotate.formats.jsonl import Findings
from annotate.formats.reading import read_records
from annotate.formats.records import Record
from tests.annotate.formats.examples import COMPANIONS, EXAMPLES, jsonl


def read(data: bytes, format: str = "", **options: object) -> tuple[list[Record], Findings]:
    """All records of some bytes, and what the reader had to say."""
    findings = Findings()
    companion = options.pop("companion", None)
    if isinstance(companion, bytes):
        options["companion"] = io.BytesIO(companion)
    return list(read_records(io.BytesIO(data), findings, format=format, **options)), findings  # type: ignore[arg-type]


def complaints(data: bytes, format: str = "", **options: object) -> list[str]:
    return [str(problem) for problem in read(data, format, **options)[1].errors]


def one(format: str, *rows: dict, **options: object) -> Record:
    records, findings = read(jsonl(list(rows)), format, **options)
    assert not findings.error_count, findings.errors
    assert len(records) == 1, findings.skipped
    return records[0]


def example(format: str) -> list[Record]:
    companion = COMPANIONS.get(format)
    options = {"companion": jsonl(companion)} if companion else {}
    records, findings = read(jsonl(EXAMPLES[format]), format, **options)
    assert not findings.error_count, findings.errors
    assert not findings.skipped_count, findings.skipped
    return records


ASKED = [
    [{"role": "user", "content": "为什么天空是蓝色的？"}],
    [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "=1+1"}],
    [
        {"role": "user", "content": "Tell me a joke."},
        {"role": "assistant", "content": 'A "horse" walks into a bar…'},
        {"role": "user", "content": "Another,\nplease"},
    ],
]
RANKS = [[[1, 2, 3, 4], [1, 2, 4, 3]], [[1, 1, 2, None], [2, 1, 3, None]], [[3, 2, 2, 1]]]


@pytest.fixture(scope="session")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version of nine comparisons: Chinese, a system turn, several turns, ties, an unplaced response, an edit."""
    records = []
    for number in range(9):
        kind = number % 3
        asked = [{**turn, "content": turn["content"] + " " * (number // 3)} for turn in ASKED[kind]]
        responses = [
            {"id": f"{number}{i}", "text": text, "generator": "机器" if i else "g"}
            for i, text in enumerate((f"因为散射{number}", "-2+3", "One\n\ntwo,", "'=SUM(A1)"))
        ]
        if kind == 1:
            responses[3]["is_edit"] = True  # type: ignore[assignment]
        rankings = [
            {"ranks": ranks, "weight": 1.0 + i, "annotator": f"a{i}", "strengths": [2, 1, None, None] if i else None}
            for i, ranks in enumerate(RANKS[kind])
        ]
        dimensions = ("helpfulness", "无害") if number == 3 else ("helpfulness",)
        records.append(
            Comparison(str(number), asked, responses, dict.fromkeys(dimensions, rankings), ["标签"], ("human",))
        )
    directory = tmp_path_factory.mktemp("version")
    config = DatasetConfig(test_fraction=0.3, keep_ties=True)
    write_dataset(directory, records, config, name="Example", dimensions=["helpfulness", "无害"])
    return directory


@pytest.fixture
def reader() -> Callable[..., tuple[list[Record], Findings]]:
    return read
