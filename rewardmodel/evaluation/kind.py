"""How an evaluation of a reward model is carried out."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path
from typing import Any

from rewardmodel.models import RewardEvaluation
from runs.artifacts import artifact_path
from runs.kinds import RunKind
from runs.models import Run

KIND = "reward_evaluation"
UPLOAD = "given"  # the test file, in the run's directory


class RewardEvaluationKind(RunKind):
    kind = KIND
    label = "reward model evaluation"
    model = RewardEvaluation
    queue = Run.Queue.GPU
    artifact_kind = KIND

    def prepare(self, run: RewardEvaluation, run_dir: Path) -> dict[str, Any]:  # type: ignore[override]
        model = run.reward_model
        inputs: dict[str, Any] = {
            "reward_model": str(artifact_path(model.artifact)),
            "training": str(artifact_path(model.run.dataset_version.artifact)),
            "name": run.test_set,
        }
        if run.second:
            inputs |= {"second": str(artifact_path(run.second.artifact)), "second_name": run.second.name}
        if run.dataset_version:
            return inputs | {"dataset": str(artifact_path(run.dataset_version.artifact))}
        (run_dir / UPLOAD).write_bytes(gzip.decompress(bytes(run.content)))
        return inputs | {"file": str(run_dir / UPLOAD)}

    def command(self, run: Run, run_dir: Path) -> list[str]:
        return [sys.executable, "-m", "rewardmodel.training.evaluation", str(run_dir)]

    def lineage(self, run: RewardEvaluation) -> dict[str, Any]:  # type: ignore[override]
        version = run.dataset_version
        return {
            "reward_model": _named(run.reward_model),
            "second": _named(run.second) if run.second else None,
            "dataset": {"name": str(version), "sha256": version.sha256} if version else None,
            "file": run.filename or None,
        }

    def finish(self, run: RewardEvaluation, run_dir: Path, result: dict[str, Any]) -> None:  # type: ignore[override]
        """The pairs are in the artifact, texts included: what was sent is kept once."""
        RewardEvaluation.objects.filter(pk=run.pk).update(content=b"")
        (run_dir / UPLOAD).unlink(missing_ok=True)

    def audit_scope(self, run: RewardEvaluation) -> str:  # type: ignore[override]
        return f"project:{run.reward_model.run.dataset_version.project_id}"

    def detail_url(self, run: Run) -> str | None:
        return run.get_evaluation_url() if isinstance(run, RewardEvaluation) else None


def _named(model: Any) -> dict[str, str]:
    return {"name": model.name, "sha256": model.artifact.sha256}
