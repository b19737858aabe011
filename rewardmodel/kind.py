"""How a reward-model run is carried out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from annotate.generation.kind import generator_inputs
from rewardmodel.models import RewardModelRun
from rewardmodel.services import KIND, reward_model_create
from runs.artifacts import artifact_path
from runs.kinds import RunKind
from runs.models import Run


class RewardModelKind(RunKind):
    kind = KIND
    label = "reward model"
    model = RewardModelRun
    queue = Run.Queue.GPU
    artifact_kind = KIND

    def prepare(self, run: RewardModelRun, run_dir: Path) -> dict[str, Any]:  # type: ignore[override]
        version = run.dataset_version
        dataset = {"dataset": str(artifact_path(version.artifact)), "dataset_sha256": version.sha256}
        return dataset | generator_inputs(run.generator) | {"about": _about(run)}

    def command(self, run: Run, run_dir: Path) -> list[str]:
        processes = int(run.config.get("processes", 1))
        launcher = ["lm.launch", str(processes)] if processes > 1 else []
        return [sys.executable, "-m", *launcher, "rewardmodel.training", str(run_dir)]

    def lineage(self, run: RewardModelRun) -> dict[str, Any]:  # type: ignore[override]
        version, generator = run.dataset_version, run.generator
        return {
            "dataset": {"name": str(version), "sha256": version.sha256},
            "start": {
                "generator": generator.name,
                "model": generator.model,
                "adapter_sha256": generator.adapter.sha256 if generator.adapter else None,
            },
        }

    def finish(self, run: RewardModelRun, run_dir: Path, result: dict[str, Any]) -> None:  # type: ignore[override]
        reward_model_create(run=run, result=result)

    def audit_scope(self, run: RewardModelRun) -> str:  # type: ignore[override]
        return f"project:{run.dataset_version.project_id}"

    def detail_url(self, run: Run) -> str | None:
        reward_model = getattr(run, "reward_model", None)
        return reward_model.get_absolute_url() if reward_model else None


def _about(run: RewardModelRun) -> dict[str, Any]:
    """What the model card says of the run's origin."""
    counts = run.dataset_version.counts
    agreement = {
        name: {
            "value": tally["agreement"],
            "low": tally["agreement_interval"][0],
            "high": tally["agreement_interval"][1],
        }
        for name, tally in counts.get("dimensions", {}).items()
        if tally.get("agreement") is not None and tally.get("agreement_interval")
    }
    return {
        "name": run.title,
        "dataset": str(run.dataset_version),
        "sources": counts.get("sources", {}),
        "agreement": agreement,
        "start": run.generator.name,
    }
