"""What can be done with a reward model's scores: have a file or a request scored."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.models import User
from annotate.formats.jsonl import Findings
from annotate.formats.limits import size
from annotate.formats.reading import FORMATS_IN, look, read_records
from rewardmodel.models import RewardModel, ScoreRun
from rewardmodel.scoring.kind import KIND
from rewardmodel.training.score_config import ScoreConfig
from runs.models import Run
from runs.schema import config_validated
from runs.services import run_enqueue

LARGEST = 64 * 2**20  # bytes of an upload; larger files are scored by the command
MOST_CONVERSATIONS = 1000  # of one request
SHOWN = 5
REQUEST = "request"  # what stands for the filename of a request


def score_file_start(
    *,
    reward_model: RewardModel,
    data: bytes,
    filename: str,
    config: Mapping[str, Any] | None = None,
    title: str = "",
    user: User | None = None,
) -> ScoreRun:
    """Queue the scoring of a file's responses. Raises ValidationError with field errors, before any run exists."""
    checked = config_validated(ScoreConfig, config or {})
    errors = _config_errors(reward_model, checked)
    if len(data) > LARGEST:
        errors["file"] = [f"The file is larger than {size(LARGEST)}. Score it with manage.py score."]
    elif "format" not in errors and (complaint := _file_error(data, checked.format)):
        errors["file"] = [complaint]
    if errors:
        raise ValidationError(errors)
    return _enqueue(reward_model, data, filename[:200] or "file", checked, title, user)


def score_conversations_start(
    *,
    reward_model: RewardModel,
    conversations: Sequence[Mapping[str, Any]],
    config: Mapping[str, Any] | None = None,
    title: str = "",
    user: User | None = None,
) -> ScoreRun:
    """Queue the scoring of {"messages" or "prompt", "responses"} objects. Raises ValidationError with field errors."""
    checked = config_validated(ScoreConfig, {**(config or {}), "format": "responses"})
    errors = _config_errors(reward_model, checked)
    if len(conversations) > MOST_CONVERSATIONS:
        errors["conversations"] = [f"Send at most {MOST_CONVERSATIONS} at a time, or a file."]
        raise ValidationError(errors)
    data = b"".join(json.dumps(each).encode() + b"\n" for each in conversations)
    findings = Findings(unit="Conversation")
    for _ in read_records(io.BytesIO(data), findings, format="responses", keep_empty=True):
        pass
    if findings.error_count or findings.skipped_count:
        errors["conversations"] = [str(problem) for problem in (*findings.errors, *findings.skipped)[:SHOWN]]
    if errors:
        raise ValidationError(errors)
    return _enqueue(reward_model, data, REQUEST, checked, title, user)


@transaction.atomic
def _enqueue(
    reward_model: RewardModel, data: bytes, filename: str, config: ScoreConfig, title: str, user: User | None
) -> ScoreRun:
    run = ScoreRun(
        kind=KIND,
        title=title.strip()[:200] or f"Scores of {reward_model} for {filename}"[:200],
        queue=Run.Queue.GPU,
        config=config.model_dump(mode="json"),
        created_by=user,
        reward_model=reward_model,
        filename=filename,
        content=gzip.compress(data, 1),
    )
    run_enqueue(run=run)
    return run


def _config_errors(reward_model: RewardModel, config: ScoreConfig) -> dict[str, list[str]]:
    known = ", ".join(reward_model.dimensions)
    errors: dict[str, list[str]] = {}
    if config.format and config.format not in FORMATS_IN:
        errors["format"] = [f"“{config.format[:40]}” is not a known format."]
    if config.dimension and config.dimension not in reward_model.dimensions:
        errors["dimension"] = [f"{reward_model} has no score {config.dimension}. It has {known}."]
    elif config.best_only and not config.dimension and len(reward_model.dimensions) > 1:
        errors["dimension"] = [f"{reward_model} scores {known}. Say by which of them a response is best."]
    return errors


def _file_error(data: bytes, format: str) -> str:
    """What the beginning of a file says against it; the child looks at all of it."""
    try:
        found = look(io.BytesIO(data))
    except ValueError as error:
        return str(error)
    if found.findings.error_count:
        return str(found.findings.errors[0])
    if not format and not found.formats:
        keys = ", ".join(f"“{key[:40]}”" for key in found.columns[:8])
        return f"It is of no known format; its columns are {keys}. Choose the format." if keys else "Nothing is in it."
    return ""
