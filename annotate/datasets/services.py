"""What can be done with dataset versions."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from accounts.audit import audit_record
from accounts.models import User
from annotate.datasets.config import DatasetConfig
from annotate.datasets.models import DatasetRun, DatasetVersion
from annotate.datasets.selectors import dataset_preview
from annotate.projects.models import Project
from annotate.review.models import Withdrawal
from runs.models import Run
from runs.schema import config_validated
from runs.services import run_enqueue

KIND = "dataset"


def dataset_config(project: Project, config: dict[str, Any]) -> DatasetConfig:
    """A checked configuration. Raises ValidationError with field errors, also for what the project does not have."""
    checked = config_validated(DatasetConfig, config)
    known = list(project.dimensions.values_list("key", flat=True))
    absent = [name for name in checked.dimensions if name not in known]
    if absent:
        raise ValidationError(
            {"dimensions": f"{project} has no dimension {', '.join(absent)}. Choose among {', '.join(known)}."}
        )
    return checked


@transaction.atomic
def dataset_run_start(
    *, project: Project, config: dict[str, Any] | None = None, title: str = "", user: User | None = None
) -> DatasetRun:
    """Queue the building of the project's next dataset version.

    Raises ValidationError with field errors, before any run exists.
    """
    checked = dataset_config(project, config or {})
    found = dataset_preview(project, checked)
    if not found["judgements"] and not found["decisions"]:
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
    """Number and record what a finished run wrote. Call it inside a transaction.

    result: "counts"; "annotators", the ids of those whose judgements are in it; and "withdrawals", the ids of the
    withdrawals that held when the judgements were read.
    """
    # Two builds of one project may finish together: the project's row decides who is first. A withdrawal takes the same
    # lock before it marks versions, so it either finds this version or has been committed by now.
    project = Project.objects.select_for_update(no_key=True).get(pk=run.project_id)
    last = DatasetVersion.objects.filter(project=project).aggregate(last=Max("number"))["last"] or 0
    artifact = run.artifacts.get(kind=KIND)
    annotators = result.get("annotators", [])
    withdrawn = _withdrawn_meanwhile(project, annotators, result.get("withdrawals", []))
    version = DatasetVersion.objects.create(
        project=project,
        number=last + 1,
        run=run,
        artifact=artifact,
        sha256=artifact.sha256,
        counts=result["counts"],
        annotators=annotators,
        stale_since=timezone.now() if withdrawn else None,
        stale_reason=withdrawn.explanation if withdrawn else "",
    )
    audit_record(
        actor=run.created_by,
        action="dataset.built",
        subject=version,
        scope=f"project:{project.pk}",
        version=version.pk,
        sha256=version.sha256,
    )
    return version


def _withdrawn_meanwhile(project: Project, annotators: list[int], known: list[int]) -> Withdrawal | None:
    """A withdrawal of work that is in the version, committed after its judgements were read."""
    rows = Withdrawal.objects.filter(project=project, annotator__in=annotators, restored_at=None)
    return rows.exclude(pk__in=known).select_related("annotator").order_by("pk").first()
