"""How a dataset run is carried out: by a child process like all runs, though its work is the database's."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from annotate.datasets.models import DatasetRun
from annotate.datasets.services import KIND, dataset_version_create
from config.env import BASE_DIR
from runs.kinds import RunKind
from runs.models import Run


class DatasetKind(RunKind):
    kind = KIND
    label = "dataset"
    model = DatasetRun
    queue = Run.Queue.DEFAULT
    artifact_kind = KIND
    uses_database = True

    def prepare(self, run: DatasetRun, run_dir: Path) -> dict[str, Any]:  # type: ignore[override]
        return {"project": run.project_id}

    def command(self, run: Run, run_dir: Path) -> list[str]:
        return [sys.executable, str(BASE_DIR / "manage.py"), "dataset_child", str(run_dir)]

    def lineage(self, run: DatasetRun) -> dict[str, Any]:  # type: ignore[override]
        return {"project": {"name": run.project.name, "slug": run.project.slug}}

    def finish(self, run: DatasetRun, run_dir: Path, result: dict[str, Any]) -> None:  # type: ignore[override]
        dataset_version_create(run=run, result=result)

    def detail_url(self, run: Run) -> str | None:
        version = getattr(run, "version", None)
        return version.get_absolute_url() if version else None
