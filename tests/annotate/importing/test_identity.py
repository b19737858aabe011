"""Out and in again: what a lossless format holds is the same after it went through another project's database."""

from __future__ import annotations

import io
import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotate.datasets.build import write_dataset
from annotate.datasets.config import DatasetConfig
from annotate.datasets.reading import dataset_records
from annotate.formats.writing import Options, export
from annotate.importing.services import Source, file_import
from annotate.importing.settings import ImportSettings
from annotate.projects.models import Project
from annotate.projects.services import project_create
from tests.annotate.conftest import jsonl

NUMBERS = itertools.count()
DIMENSIONS = ("helpfulness", "harmlessness")
LOSSLESS = ("rankings", "pairs", "parquet", "csv", "csv-excel")
TEXT = st.one_of(
    st.sampled_from(
        ["=1+1", "'quoted'", "你好，世界", "<b>&amp;", "a\n\nHuman: b", "\\.", "\t-", "e\u0301", "👩‍👩‍👧", "  x "]
    ),
    st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=12),
).filter(str.strip)


@st.composite
def comparison(draw: Any, strengths: bool) -> list[dict[str, Any]]:
    """The lines of rankings.jsonl about one comparison: a line for each dimension, each with its judges."""
    texts = draw(st.lists(TEXT, min_size=2, max_size=4, unique_by=str.strip))
    prompt = [{"role": "user", "content": draw(TEXT)}]
    if draw(st.booleans()):
        prompt = [*prompt, {"role": "assistant", "content": draw(TEXT)}, {"role": "user", "content": draw(TEXT)}]
    tags = sorted(set(draw(st.lists(st.sampled_from(["a", "标签", "with space"]), max_size=2))))
    made = []
    for dimension in draw(st.lists(st.sampled_from(DIMENSIONS), min_size=1, unique=True)):
        judges = draw(st.lists(st.sampled_from(["a1", "a2", "a3"]), min_size=1, unique=True))
        rankings = []
        for judge in judges:
            ranks = draw(st.lists(st.sampled_from([1, 2, 3, None]), min_size=len(texts), max_size=len(texts)))
            if sum(rank is not None for rank in ranks) < 2:
                ranks = [1] * len(texts)
            place = {rank: n for n, rank in enumerate(sorted({r for r in ranks if r}), 1)}
            ranks = [rank and place[rank] for rank in ranks]
            last = max(rank for rank in ranks if rank)
            steps = {rank: draw(st.sampled_from([1, 2, 3])) for rank in range(1, last)} if strengths else {}
            given_ = [steps.get(rank) for rank in ranks] if steps else None
            rankings.append({"ranks": ranks, "weight": 1.0, "annotator": judge, "strengths": given_})
        responses = [{"id": str(n), "text": text, "generator": f"g{n % 2}"} for n, text in enumerate(texts)]
        made.append({"dimension": dimension, "split": "train", "prompt": prompt, "responses": responses,
                     "rankings": rankings, "tags": tags})  # fmt: skip
    return made


def file_of(comparisons: list[list[dict[str, Any]]]) -> bytes:
    seen: set[str] = set()
    rows = []
    for number, lines in enumerate(comparisons):
        key = json.dumps(lines[0]["prompt"])
        if key not in seen:  # a prompt has one set of tags, and one comparison here
            seen.add(key)
            rows += [{"comparison": str(number), **line} for line in lines]
    return jsonl(*rows)


def brought(data: bytes, key: str, user: Any) -> Project:
    project = project_create(name=f"P{next(NUMBERS)}", user=user)
    source = Source(io.BytesIO(data))
    file_import(project=project, source=source, settings=ImportSettings(format=key, keep_empty=True))
    return project


def version_of(project: Project, folder: Path) -> Path:
    folder = folder / project.slug
    folder.mkdir()
    config = DatasetConfig(test_fraction=0.0, keep_ties=True)
    write_dataset(folder, dataset_records(project, config), config, name="v", dimensions=list(DIMENSIONS), used=set())
    return folder


def exported(key: str, folder: Path) -> bytes:
    return b"".join(chunk for _, chunks in export(key, folder, Options()) for chunk in chunks)


def ranking_lines(folder: Path) -> list[str]:
    """Lines of rankings.jsonl without what names rows of one database; the order of judges is of no meaning."""
    found = []
    for row in map(json.loads, (folder / "rankings.jsonl").read_text("utf-8").split("\n")[:-1]):
        responses = [(each["text"], each["generator"]) for each in row["responses"]]
        said = sorted(json.dumps([one["ranks"], one["strengths"], one["weight"]]) for one in row["rankings"])
        found.append(json.dumps([row["dimension"], row["split"], row["prompt"], responses, said, row["tags"]]))
    return sorted(found)


def pair_lines(folder: Path, *, margins: bool = True) -> Counter[str]:
    """Lines of pairs.jsonl likewise. An even pair has no side."""
    found: Counter[str] = Counter()
    for row in map(json.loads, (folder / "pairs.jsonl").read_text("utf-8").split("\n")[:-1]):
        sides = [row["chosen"][0]["content"], row["rejected"][0]["content"]]
        sides = sorted(sides) if row["preference"] == 0.5 else sides
        margin = round(abs(row["margin"]), 6) if margins else 0
        found[
            json.dumps([row["prompt"], *sides, row["dimension"], round(row["preference"], 9), row["weight"], margin])
        ] += 1
    return found


IN_DATABASE = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@IN_DATABASE
@given(comparisons=st.lists(comparison(strengths=True), min_size=1, max_size=4))
def test_rankings_come_back_as_they_were(admin, tmp_path_factory, comparisons):
    folder = tmp_path_factory.mktemp("rankings")
    first = version_of(brought(file_of(comparisons), "rankings", admin), folder)
    second = version_of(brought(exported("rankings", first), "rankings", admin), folder)
    assert ranking_lines(second) == ranking_lines(first)
    assert pair_lines(second) == pair_lines(first)


@IN_DATABASE
@given(comparisons=st.lists(comparison(strengths=False), min_size=1, max_size=3), key=st.sampled_from(LOSSLESS[1:]))
def test_pairs_come_back_as_they_were_from_every_container(admin, tmp_path_factory, comparisons, key):
    """Preferences and weights too: a line of three for and one against is four judgements again."""
    folder = tmp_path_factory.mktemp("pairs")
    first = version_of(brought(file_of(comparisons), "rankings", admin), folder)
    if not pair_lines(first):
        return
    second = version_of(brought(exported(key, first), "pairs", admin), folder)
    assert pair_lines(second) == pair_lines(first)


@pytest.mark.parametrize("key", LOSSLESS)
def test_a_file_that_was_exported_adds_nothing_to_another_copy_of_itself(admin, tmp_path, key):
    responses = [{"id": "1", "text": "好", "generator": "g"}, {"id": "2", "text": "b", "generator": "g"}]
    rankings = [{"ranks": [1, 2], "weight": 1.0, "annotator": name, "strengths": [2, None]} for name in ("a1", "a2")]
    row = {"comparison": "7", "dimension": "helpfulness", "split": "train", "responses": responses, "tags": []}
    row |= {"prompt": [{"role": "user", "content": "q"}], "rankings": rankings}
    version = version_of(brought(jsonl(row), "rankings", admin), tmp_path)
    data = exported(key, version)
    project = project_create(name="Twice", user=admin)
    for time in range(2):
        report = file_import(project=project, source=Source(io.BytesIO(data)), settings=ImportSettings())
        assert bool(sum(report["new"].values())) == (time == 0)
    assert pair_lines(version_of(project, tmp_path)) == pair_lines(version)
