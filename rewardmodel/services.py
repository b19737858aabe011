"""What can be done with reward models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.models import User
from annotate.models import DatasetVersion, Generator
from lm.checks import check_model
from rewardmodel.models import RewardModel, RewardModelRun
from rewardmodel.selectors import dataset_dimensions
from rewardmodel.training.config import RewardConfig
from runs.models import Run
from runs.schema import config_validated
from runs.services import run_enqueue

KIND = "reward_model"


@transaction.atomic
def reward_model_run_start(
    *,
    dataset_version: DatasetVersion,
    generator: Generator,
    config: dict[str, Any] | None = None,
    title: str = "",
    user: User | None = None,
) -> RewardModelRun:
    """Queue the training of a reward model that starts from `generator`'s weights.

    Raises ValidationError with field errors, before any run exists.
    """
    errors: dict[str, list[str]] = {}
    try:
        checked = config_validated(RewardConfig, config or {})
    except ValidationError as error:
        errors |= error.message_dict
    else:
        errors |= _dataset_errors(dataset_version, checked.dimensions)
    if generator.kind != Generator.Kind.LOCAL:
        errors["generator"] = [
            f"{generator} is {generator.get_kind_display()}, so its weights are not here. Choose a local model."
        ]
    else:
        try:
            check_model(generator.model, settings.MODELS_DIR)
        except ValueError as error:
            errors["generator"] = [str(error)]
    if len(title) > 200:
        errors["title"] = ["Use at most 200 characters."]
    if errors:
        raise ValidationError(errors)
    run = RewardModelRun(
        kind=KIND,
        title=title.strip() or f"Reward model on {dataset_version}",
        queue=Run.Queue.GPU,
        config=checked.model_dump(mode="json"),
        seed=checked.seed,
        created_by=user,
        dataset_version=dataset_version,
        generator=generator,
    )
    run_enqueue(run=run)
    return run


def _dataset_errors(version: DatasetVersion, asked: Sequence[str]) -> dict[str, list[str]]:
    """What the dataset's counts alone say against training on it; the trainer looks at its lines."""
    known = dataset_dimensions(version)
    absent = [name for name in asked if known and name not in known]
    if absent:
        return {"dimensions": [f"{version} has no dimension {', '.join(absent)}. Choose among {', '.join(known)}."]}
    counts = version.counts.get("dimensions") or {}
    empty = [name for name in asked or known if counts.get(name, {}).get("pairs", {}).get("train") == 0]
    if empty:
        return {
            "dataset_version": [
                f"{version} has no preference for {', '.join(empty)} in its train split. Collect more judgements, "
                "build a version with a smaller held-out share, or choose other dimensions."
            ]
        }
    return {}


def reward_model_create(*, run: RewardModelRun, result: dict[str, Any]) -> RewardModel:
    """Register what a finished run made, under the run's title, or the title and the run's number if it is taken."""
    name = run.title
    if RewardModel.objects.filter(name=name).exists():
        name = f"{run.title} ({run.pk})"
    return RewardModel.objects.create(
        name=name,
        run=run,
        artifact=run.artifacts.get(kind=KIND),
        dimensions=result["dimensions"],
        metrics=result,
        base_model=run.generator.model,
    )
