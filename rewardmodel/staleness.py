"""Reward models that rest on withdrawn work."""

from __future__ import annotations

from collections.abc import Mapping

from annotate.review.staleness import stale_generators, stale_versions
from rewardmodel.models import RewardEvaluation, RewardModel

Reasons = Mapping[int, str]


def stale_reward_models() -> dict[int, str]:
    """{id: what it rests on} of those that are stale now; one query as long as no dataset version is stale."""
    versions = stale_versions()
    return reward_models_of(versions, stale_generators(versions)) if versions else {}


def stale_evaluation(run: RewardEvaluation) -> str:
    """What withdrawn work an evaluation's figures rest on: that of its test set or of a model; empty if of none."""
    version = run.dataset_version
    if version is not None and version.stale_since:
        return version.stale_reason
    models = stale_reward_models()
    return models.get(run.reward_model_id) or models.get(run.second_id or 0) or ""


def reward_models_of(versions: Reasons, generators: Reasons) -> dict[int, str]:
    """{id: what it rests on} of those trained on one of these dataset versions or started from one of these generators.

    versions, generators: {id: why it is stale}; the reason is passed on.
    """
    trained = RewardModel.objects.filter(run__dataset_version__in=list(versions))
    started = RewardModel.objects.filter(run__generator__in=list(generators))
    found = {pk: generators[start] for pk, start in started.values_list("pk", "run__generator")}
    return found | {pk: versions[version] for pk, version in trained.values_list("pk", "run__dataset_version")}
