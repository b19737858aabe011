"""Reward models side by side: what may be compared, and a paired test where the same pairs were scored by both."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from django.db.models import Case, IntegerField, Value, When

from annotate.quality.bootstrap import wilson
from rewardmodel.evaluation.selectors import ITEMS, evaluation_artifact
from rewardmodel.models import RewardEvaluation, RewardModel, RewardModelRun
from runs.artifacts import artifact_open
from runs.comparing import LETTERS
from runs.models import Artifact
from runs.states import State

# Both files of a pair are read while somebody waits for the page; half a second for this much.
LARGEST = 32 * 2**20

Right = dict[str, dict[str, list[float]]]
"""{dimension: {prompt: for each pair 1 right, 0 wrong, 1/2 equal scores}}"""


@dataclass(frozen=True)
class Duel:
    """Two models on the pairs that both were measured on. by_dimension: {} with the reason in `missing`."""

    first: str
    second: str
    by_dimension: dict[str, dict[str, Any]]
    missing: str = ""
    other: RewardModel | None = None  # whom to hold it against, and
    model: RewardModel | None = None  # whose evaluation says so, where one is missing


def compared_runs(numbers: Sequence[int]) -> list[RewardModelRun]:
    """The runs of these numbers, in their order."""
    order = Case(
        *(When(pk=number, then=Value(place)) for place, number in enumerate(numbers)), output_field=IntegerField()
    )
    runs = RewardModelRun.objects.filter(pk__in=numbers).select_related(
        "dataset_version__project", "generator", "reward_model"
    )
    return list(runs.order_by(order)) if numbers else []


def figures_side_by_side(runs: Sequence[RewardModelRun]) -> list[dict[str, Any]]:
    """One row a dimension that any of them scores: each run's accuracies row, None where it has none."""
    models = [getattr(run, "reward_model", None) for run in runs]
    rows = [{row["dimension"]: row for row in model.accuracies} if model else {} for model in models]
    names = sorted({name for each in rows for name in each})
    return [{"dimension": name, "cells": [each.get(name) for each in rows]} for name in names]


def same_held_out_data(runs: Sequence[RewardModelRun]) -> bool:
    """Whether their own figures are of the same held-out pairs: they are if the dataset version is."""
    return len({run.dataset_version.sha256 for run in runs}) == 1


def duels(runs: Sequence[RewardModelRun]) -> list[Duel]:
    """Every two of the models, head to head by prompt, on the newest test set on which both were measured."""
    models = [(letter, run.reward_model) for letter, run in zip(LETTERS, runs, strict=False) if _model_of(run)]
    newest = _evaluations([model for _, model in models])
    return [
        _duel(a, model, newest[model.pk], b, other, newest[other.pk])
        for (a, model), (b, other) in combinations(models, 2)
    ]


def _model_of(run: RewardModelRun) -> RewardModel | None:
    return getattr(run, "reward_model", None)


def _evaluations(models: Sequence[RewardModel]) -> dict[int, dict[tuple[int, str], RewardEvaluation]]:
    """{model: {(dataset version, which split): its newest evaluation}}, the newest first."""
    found: dict[int, dict[tuple[int, str], RewardEvaluation]] = {model.pk: {} for model in models}
    runs = RewardEvaluation.objects.filter(
        reward_model__in=found, state=State.SUCCEEDED, dataset_version__isnull=False
    ).defer("content")
    for run in runs.order_by("-pk"):
        key = (run.dataset_version_id, str(run.config.get("split", "test")))
        found[run.reward_model_id].setdefault(key, run)
    return found


def _duel(a: str, model: RewardModel, ours: dict, b: str, other: RewardModel, theirs: dict) -> Duel:  # type: ignore[type-arg]
    shared = next((key for key in ours if key in theirs), None)
    if shared is None:
        return Duel(a, b, {}, "No test set has been scored by both.", other, model)
    files = [evaluation_artifact(each[shared]) for each in (ours, theirs)]
    if any(file is None or _size(file) > LARGEST for file in files):
        return Duel(a, b, {}, "Their evaluations have too many pairs to be read for a page.", other, model)
    first, second = (_outcomes(file) for file in files if file)
    return Duel(a, b, head_to_head(first, second))


def _size(artifact: Artifact) -> int:
    return next((file["size"] for file in artifact.manifest["files"] if file["path"] == ITEMS), 0)


def _outcomes(artifact: Artifact) -> Right:
    found: Right = defaultdict(lambda: defaultdict(list))
    with artifact_open(artifact, ITEMS) as file:
        for raw in file:
            line = json.loads(raw)
            if line["right"] is not None:
                found[line["dimension"]][json.dumps(line["prompt"], sort_keys=True)].append(float(line["right"]))
    return found


def head_to_head(first: Right, second: Right) -> dict[str, dict[str, Any]]:
    """Of the prompts on which one of two models is right more often, the share on which the first is, by dimension.

    {dimension: {value, low, high, n, verdict}}: a sign test by prompt with Wilson's 95% interval, as in
    rewardmodel.training.evaluate. Prompts on which they have not the same number of pairs are left out.
    """
    found = {}
    for dimension in sorted(first.keys() & second.keys()):
        leads = [
            sum(ours) - sum(second[dimension][prompt])
            for prompt, ours in first[dimension].items()
            if len(ours) == len(second[dimension].get(prompt, ()))
        ]
        wins, losses = sum(lead > 0 for lead in leads), sum(lead < 0 for lead in leads)
        if wins + losses == 0:
            found[dimension] = {"value": None, "n": 0, "verdict": "alike"}
            continue
        low, high = wilson(wins, wins + losses)
        verdict = "first" if low > 0.5 else "second" if high < 0.5 else "open"
        value = wins / (wins + losses)
        found[dimension] = {"value": value, "low": low, "high": high, "n": wins + losses, "verdict": verdict}
    return found
