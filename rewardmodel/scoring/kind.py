"""How a score run is carried out."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path
from typing import Any

from rewardmodel.models import ScoreRun
from runs.artifacts import artifact_path
from runs.kinds import RunKind
from runs.models import Run

KIND = "score"
UPLOAD = "given"  # what is to be scored, in the run's directory


class ScoreKind(RunKind):
    kind = KIND
    label = "scoring"
    model = ScoreRun
    queue = Run.Queue.GPU
    artifact_kind = KIND

    def prepare(self, run: ScoreRun, run_dir: Path) -> dict[str, Any]:  # type: ignore[override]
        (run_dir / UPLOAD).write_bytes(gzip.decompress(bytes(run.content)))
        model = artifact_path(run.reward_model.artifact)
        return {"reward_model": str(model), "file": str(run_dir / UPLOAD), "filename": run.filename}

    def command(self, run: Run, run_dir: Path) -> list[str]:
        return [sys.executable, "-m", "rewardmodel.training.score", str(run_dir)]

    def lineage(self, run: ScoreRun) -> dict[str, Any]:  # type: ignore[override]
        model = run.reward_model
        return {"reward_model": {"name": model.name, "sha256": model.artifact.sha256}, "file": run.filename}

    def finish(self, run: ScoreRun, run_dir: Path, result: dict[str, Any]) -> None:  # type: ignore[override]
        """The lines are in the artifact, texts included: what was sent is kept once."""
        ScoreRun.objects.filter(pk=run.pk).update(content=b"")
        (run_dir / UPLOAD).unlink(missing_ok=True)

    def audit_scope(self, run: ScoreRun) -> str:  # type: ignore[override]
        return f"project:{run.reward_model.run.dataset_version.project_id}"

    def detail_url(self, run: Run) -> str | None:
        return run.get_score_url() if isinstance(run, ScoreRun) else None
