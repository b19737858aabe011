"""How an import run is carried out: by a child process like all runs, though its work is the database's."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from annotate.importing.models import ImportRun
from annotate.importing.services import KIND
from config.env import BASE_DIR
from runs.kinds import RunKind
from runs.models import Run


class ImportKind(RunKind):
    kind = KIND
    label = "import"
    model = ImportRun
    queue = Run.Queue.DEFAULT
    uses_database = True

    def prepare(self, run: ImportRun, run_dir: Path) -> dict[str, Any]:  # type: ignore[override]
        return {"import": run.source_id, "user": run.created_by_id}

    def command(self, run: Run, run_dir: Path) -> list[str]:
        return [sys.executable, str(BASE_DIR / "manage.py"), "import_child", str(run_dir)]

    def finish(self, run: ImportRun, run_dir: Path, result: dict[str, Any]) -> None:  # type: ignore[override]
        """The child has stored everything in one transaction of its own, and a second one finds that done."""

    def detail_url(self, run: Run) -> str | None:
        source = getattr(run, "source", None)
        return source.get_absolute_url() if source else None
