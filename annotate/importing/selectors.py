"""What can be asked about imports."""

from __future__ import annotations

from typing import IO

from django.core.files.storage import storages
from django.db.models import QuerySet

from annotate.importing.models import Import, ImportRun
from annotate.projects.models import Project
from runs.states import ACTIVE


def imports() -> QuerySet[Import]:
    """All imports with what a list shows of them, the newest first."""
    return Import.objects.select_related("project", "created_by").order_by("-pk")


def project_imports(project: Project) -> QuerySet[Import]:
    return imports().filter(project=project)


def import_run(upload: Import) -> ImportRun | None:
    """The latest run of an import."""
    return upload.runs.order_by("-pk").first()


def is_underway(upload: Import) -> bool:
    """Whether a run has the file in hand, or will have."""
    return upload.runs.filter(state__in=ACTIVE).exists()


def complaints_open(upload: Import) -> IO[bytes]:
    """All complaints as CSV. FileNotFoundError if there are none."""
    if not upload.complaints:
        raise FileNotFoundError
    return storages["uploads"].open(upload.complaints, "rb")
