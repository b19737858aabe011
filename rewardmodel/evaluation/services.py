"""What can be done with a reward model's worth: have it measured on a dataset version or a file."""

from __future__ import annotations

import gzip
import io
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.models import User
from annotate.formats.limits import size
from annotate.formats.reading import FORMATS_IN, look
from annotate.models import DatasetVersion
from rewardmodel.evaluation.kind import KIND
from rewardmodel.models import RewardEvaluation, RewardModel
from rewardmodel.selectors import dataset_dimensions
from rewardmodel.training.evaluation_config import EvaluationConfig
from runs.models import Run
from runs.schema import config_validated
from runs.services import run_enqueue

LARGEST = 64 * 2**20  # bytes of an upload
LARGEST_HERE = 512 * 2**20  # bytes of a file that the command reads
UNFIT = ("prompt", "responses", "unpaired", "demonstration")  # kinds of formats that never hold a preference


@transaction.atomic
def reward_evaluation_start(
    *,
    reward_model: RewardModel,
    dataset_version: DatasetVersion | None = None,
    data: bytes | None = None,
    filename: str = "",
    second: RewardModel | None = None,
    config: Mapping[str, Any] | None = None,
    title: str = "",
    user: User | None = None,
    largest: int = LARGEST,
) -> RewardEvaluation:
    """Queue the evaluation of a reward model on a file, a dataset version, or the one that it was trained on.

    Raises ValidationError with field errors, before any run exists.
    """
    checked = config_validated(EvaluationConfig, config or {})
    errors: dict[str, list[str]] = {}
    if data is not None and dataset_version is not None:
        errors["file"] = ["Give a file or a dataset version, not both."]
    version = None if data is not None else dataset_version or reward_model.run.dataset_version
    if checked.format and checked.format not in FORMATS_IN:
        errors["format"] = [f"“{checked.format[:40]}” is not a known format."]
    if checked.dimension and checked.dimension not in reward_model.dimensions:
        known = ", ".join(reward_model.dimensions)
        errors["dimension"] = [f"{reward_model} has no score {checked.dimension}. It has {known}."]
    if second is not None:
        errors |= _second_errors(reward_model, second)
    if data is not None and "file" not in errors and "format" not in errors:
        errors |= _file_errors(data, checked.format, largest)
    if version is not None and not errors:
        errors |= _version_errors(reward_model, version, checked)
    if len(title) > 200:
        errors["title"] = ["Use at most 200 characters."]
    if errors:
        raise ValidationError(errors)
    filename = (filename or "file")[:200] if data is not None else ""
    run = RewardEvaluation(
        kind=KIND,
        title=title.strip() or f"{reward_model} on {filename or version}"[:200],
        queue=Run.Queue.GPU,
        config=checked.model_dump(mode="json"),
        created_by=user,
        reward_model=reward_model,
        second=second,
        dataset_version=version,
        filename=filename,
        content=b"" if data is None else gzip.compress(data, 1),
    )
    run_enqueue(run=run)
    return run


def _second_errors(reward_model: RewardModel, second: RewardModel) -> dict[str, list[str]]:
    if second.pk == reward_model.pk:
        return {"second": ["It is the same reward model. Choose another, or none."]}
    if not set(second.dimensions) & set(reward_model.dimensions):
        ours, theirs = (", ".join(model.dimensions) for model in (reward_model, second))
        return {"second": [f"{second} scores {theirs}, {reward_model} scores {ours}: there is nothing to compare."]}
    return {}


def _file_errors(data: bytes, format: str, largest: int) -> dict[str, list[str]]:
    """What a file's beginning says against it; the child looks at all of it."""
    if len(data) > largest:
        return {"file": [f"The file is larger than {size(largest)}. Use manage.py evaluate_reward_model."]}
    if format and FORMATS_IN[format].kind in UNFIT:
        label = FORMATS_IN[format].label
        return {"format": [f"{label} holds no preferences. A test file has pairs, rankings or ratings."]}
    try:
        found = look(io.BytesIO(data))
    except ValueError as error:
        return {"file": [str(error)]}
    if found.findings.error_count:
        return {"file": [str(found.findings.errors[0])]}
    if format:
        return {}
    if not found.formats:
        keys = ", ".join(f"“{key[:40]}”" for key in found.columns[:8])
        return {"file": [f"It is of no known format; its columns are {keys}." if keys else "Nothing is in it."]}
    form = FORMATS_IN[found.formats[0].format]
    if form.kind in UNFIT:
        return {"file": [f"It looks like {form.label}, which holds no preferences. Give pairs, rankings or ratings."]}
    return {}


def _version_errors(
    reward_model: RewardModel, version: DatasetVersion, config: EvaluationConfig
) -> dict[str, list[str]]:
    """What a dataset version's counts alone say against it."""
    counted = version.counts.get("dimensions") or {}
    known = dataset_dimensions(version)
    if known and not config.dimension and not set(known) & set(reward_model.dimensions):
        return {
            "dimension": [
                f"{version} is about {', '.join(known)}, and {reward_model} scores "
                f"{', '.join(reward_model.dimensions)}. Say which score its judgements are held against."
            ]
        }
    used = [name for name in known if name in reward_model.dimensions] or known
    tested = [counted.get(name, {}).get("pairs", {}).get("test") for name in used]
    if config.split == "test" and used and all(count == 0 for count in tested):
        return {
            "dataset_version": [
                f"{version} has no held-out pair. Build one with a test fraction above 0, or choose all of it if the "
                "model was not trained on it."
            ]
        }
    return {}
