"""What can be done with dataset versions."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Max

from accounts.models import User
from annotate.datasets.config import DatasetConfig
from annotate.datasets.models import DatasetRun, DatasetVersion
from annotate.datasets.selectors import dataset_preview
from annotate.projects.models import Project
from runs.models import Run
from runs.schema import config_validated
from runs.services import run_enqueue

KIND = "dataset"


@transaction.atomic
def dataset_run_start(
    *, project: Project, config: dict[str, Any] | None = None, title: str = "", user: User | None = None
) -> DatasetRun:
    """Queue the building of the project's next dataset version.

    Raises ValidationError with field errors, before any run exists.
    """
    checked = config_validated(DatasetConfig, config or {})
    known = list(project.dimensions.values_list("key", flat=True))
    absent = [name for name in checked.dimensions if name not in known]
    if absent:
        raise ValidationError(
            {"dimensions": f"{project} has no dimension {', '.join(absent)}. Choose among {', '.join(known)}."}
        )
    if not dataset_preview(project, checked)["judgements"]:
        raise ValidationError("No judgement matches these filters, so the dataset would be empty.")
    run = DatasetRun(
        kind=KIND,
        title=title.strip()[:200] or f"Dataset of {project}",
        queue=Run.Queue.DEFAULT,
        config=checked.model_dump(mode="json"),
        created_by=user,
        project=project,
    )
    run_enqueue(run=run)
    return run


def dataset_version_create(*, run: DatasetRun, result: dict[str, Any]) -> DatasetVersion:
    """Number and record what a finished run wrote. Call it inside a transaction."""
    # Two builds of one project may finish together: the project's row decides who is first.
    Project.objects.select_for_update(no_key=True).get(pk=run.project_id)
    last = DatasetVersion.objects.filter(project=run.project).aggregate(last=Max("number"))["last"] or 0
    artifact = run.artifacts.get(kind=KIND)
    return DatasetVersion.objects.create(
        project=run.project,
        number=last + 1,
        run=run,
        artifact=artifact,
        sha256=artifact.sha256,
        counts=result["counts"],
    )
