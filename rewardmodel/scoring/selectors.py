"""Score runs and their lines."""

from __future__ import annotations

import json
from itertools import islice
from typing import Any

from django.db.models import QuerySet

from rewardmodel.models import RewardModel, ScoreRun
from rewardmodel.scoring.kind import KIND
from runs.artifacts import artifact_open
from runs.models import Artifact

FILE = "scores.jsonl"


def score_runs(reward_model: RewardModel | None = None) -> QuerySet[ScoreRun]:
    """Scorings, the newest first, without what was sent."""
    runs = ScoreRun.objects.select_related("reward_model", "created_by").order_by("-pk")
    return runs.filter(reward_model=reward_model) if reward_model else runs


def score_artifact(run: ScoreRun) -> Artifact | None:
    """Where the lines of a finished scoring are."""
    return run.artifacts.filter(kind=KIND).first()


def score_lines(artifact: Artifact | None, offset: int, limit: int) -> list[dict[str, Any]]:
    """Lines of a scoring in the order of what was sent; none before it has succeeded."""
    if artifact is None:
        return []
    with artifact_open(artifact, FILE) as file:
        return [json.loads(line) for line in islice(file, offset, offset + limit)]
