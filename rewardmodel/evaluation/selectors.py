"""Evaluations of reward models, their reports and the pairs that were scored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.db.models import Q, QuerySet

from rewardmodel.evaluation.kind import KIND
from rewardmodel.models import RewardEvaluation, RewardModel
from runs.artifacts import artifact_open
from runs.models import Artifact

REPORT, ITEMS, INDEX = "report.json", "items.jsonl", "items.index.json"

OUTCOMES = {"wrong": 0, "right": 1, "equal": 0.5, "tie": None}
LENGTHS = ("shorter", "alike", "longer")


def reward_evaluations(reward_model: RewardModel | None = None) -> QuerySet[RewardEvaluation]:
    """Evaluations, the newest first, without the files that were sent. Of a model: also those where it is second."""
    runs = RewardEvaluation.objects.select_related("reward_model", "second", "dataset_version__project", "created_by")
    runs = runs.order_by("-pk")
    return runs.filter(Q(reward_model=reward_model) | Q(second=reward_model)) if reward_model else runs


def evaluation_artifact(run: RewardEvaluation) -> Artifact | None:
    """Where the report and the pairs of a finished evaluation are."""
    return run.artifacts.filter(kind=KIND).first()


def evaluation_report(artifact: Artifact | None) -> dict[str, Any]:
    """Every figure of a finished evaluation; {} before it has succeeded."""
    if artifact is None:
        return {}
    with artifact_open(artifact, REPORT) as file:
        return json.load(file)


@dataclass(frozen=True, slots=True)
class ItemFilter:
    """Which pairs: of a dimension, an outcome, a tag, a length of the preferred response, where two models differ.

    order: "sure" has the most confident first, "file" that of the test set.
    """

    dimension: str = ""
    outcome: str = ""
    tag: str = ""
    length: str = ""
    differ: bool = False
    order: str = "file"


@dataclass(frozen=True, slots=True)
class ItemIndex:
    """What the pairs of an evaluation can be filtered by, and which of them a filter leaves."""

    artifact: Artifact
    dimensions: tuple[str, ...]
    tags: tuple[str, ...]
    chosen: tuple[tuple[int, int], ...]
    of: int
    can_differ: bool = False

    def lines(self, offset: int, limit: int) -> list[dict[str, Any]]:
        """So many of the pairs, as items.jsonl has them."""
        found = []
        with artifact_open(self.artifact, ITEMS) as file:
            for start, length in self.chosen[offset : offset + limit]:
                file.seek(start)
                found.append(json.loads(file.read(length)))
        return found


def evaluation_items(artifact: Artifact, wanted: ItemFilter) -> ItemIndex:
    """The pairs that `wanted` leaves, in its order. What it names and is not there leaves nothing."""
    index = evaluation_index(artifact)
    rows = [row for row in index["rows"] if _fits(row, index, wanted)]
    if wanted.order == "sure":
        rows.sort(key=lambda row: -row[8])
    return ItemIndex(
        artifact,
        tuple(index["dimensions"]),
        tuple(sorted(index["tags"])),
        tuple((row[0], row[1]) for row in rows),
        len(index["rows"]),
        any(row[7] for row in index["rows"]),
    )


def evaluation_index(artifact: Artifact) -> dict[str, Any]:
    """What `rewardmodel.training.evaluation.write_items` says of the pairs. Not to be changed: it is kept."""
    return _index(artifact, artifact.sha256)


@lru_cache(maxsize=2)  # a page asks for the whole and for what its filter leaves, and then for the next page
def _index(artifact: Artifact, sha256: str) -> dict[str, Any]:
    with artifact_open(artifact, INDEX) as file:
        return json.load(file)


def _fits(row: list[Any], index: Mapping[str, Any], wanted: ItemFilter) -> bool:
    _, _, dimension, right, _, length, tags, differ, _ = row
    return (
        (not wanted.dimension or index["dimensions"][dimension] == wanted.dimension)
        and (not wanted.outcome or right == OUTCOMES[wanted.outcome])
        and (not wanted.tag or any(index["tags"][tag] == wanted.tag for tag in tags))
        and (not wanted.length or length == wanted.length)
        and (not wanted.differ or differ)
    )
