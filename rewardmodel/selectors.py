"""What can be asked about reward models."""

from __future__ import annotations

from django.db.models import QuerySet

from annotate.models import DatasetVersion
from rewardmodel.models import RewardModel, RewardModelRun
from rewardmodel.training.card import README
from runs.artifacts import artifact_open


def dataset_dimensions(version: DatasetVersion) -> list[str]:
    """The dimensions that a dataset version has rankings for, or could have, where it did not count them."""
    counted = version.counts.get("dimensions")
    return sorted(counted) if counted else sorted(version.project.dimensions.values_list("key", flat=True))


def reward_models() -> QuerySet[RewardModel]:
    """All reward models with what a list shows of them, the newest first."""
    return RewardModel.objects.select_related(
        "run__dataset_version__project", "run__generator", "run__created_by", "artifact"
    )


def reward_model_named(name: str) -> RewardModel | None:
    """The reward model of this name, or with this id."""
    found = reward_models().filter(name=name).first()
    if found is None and name.isascii() and name.isdecimal() and len(name) < 19:
        found = reward_models().filter(pk=name).first()
    return found


def reward_model_runs() -> QuerySet[RewardModelRun]:
    """All runs, whatever their state, with what a list shows of them, the newest first."""
    return RewardModelRun.objects.select_related(
        "dataset_version__project", "generator", "created_by", "reward_model"
    ).order_by("-pk")


def model_card(reward_model: RewardModel) -> str:
    """The README.md of its directory without the front matter, which is for programs; empty if it has none."""
    try:
        with artifact_open(reward_model.artifact, README) as file:
            text: str = file.read().decode("utf-8")
    except FileNotFoundError:  # made before cards were written
        return ""
    return text.split("---\n", 2)[2] if text.startswith("---\n") else text
