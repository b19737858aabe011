"""How policy runs and evaluations are carried out."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.conf import settings

from annotate.models import Generator
from config.templatetags.plumbline import number
from rl.models import EvaluationRun, MergeRun, PolicyRun
from rl.selectors import dataset_prompts, evaluated_responses, kept_policy, project_prompts
from rl.services import EVALUATION, MERGE, POLICY, policy_register
from runs.artifacts import artifact_path
from runs.faults import UserFault
from runs.kinds import RunKind
from runs.models import Run


class PolicyKind(RunKind):
    kind = POLICY
    label = "policy"
    model = PolicyRun
    queue = Run.Queue.GPU
    artifact_kind = POLICY

    def prepare(self, run: PolicyRun, run_dir: Path) -> dict[str, Any]:  # type: ignore[override]
        inputs: dict[str, Any] = {**_weights(run.generator), "models_dir": str(settings.MODELS_DIR)}
        inputs |= {"title": run.title, "lineage": self.lineage(run)}  # for the policy's card
        if run.dataset_version is not None and (not run.is_online or run.config.get("ptx_coef")):
            inputs |= {
                "dataset": str(artifact_path(run.dataset_version.artifact)),
                "dataset_sha256": run.dataset_version.sha256,
            }
        if not run.is_online:
            return inputs
        prompts = run_dir / "prompts.jsonl"
        if run.dataset_version is not None:
            _write_once(prompts, dataset_prompts(run.dataset_version))
        elif run.project is not None:
            _write_once(prompts, project_prompts(run.project, run.reward_model))
        first, watched = run.reward_model, run.watched_reward_model
        more = run.more_reward_models.select_related("artifact").order_by("pk")
        return inputs | {
            "prompts": str(prompts),
            "reward_model": str(artifact_path(first.artifact)) if first else None,
            "more_reward_models": [{"name": each.name, "path": str(artifact_path(each.artifact))} for each in more],
            "watched_reward_model": str(artifact_path(watched.artifact)) if watched else None,
        }

    def command(self, run: Run, run_dir: Path) -> list[str]:
        processes = int(run.config.get("processes", 1))
        launcher = ["lm.launch", str(processes)] if processes > 1 else []
        return [sys.executable, "-m", *launcher, "rl.training", str(run_dir)]

    def lineage(self, run: PolicyRun) -> dict[str, Any]:  # type: ignore[override]
        version, reward_model = run.dataset_version, run.reward_model
        more = [reward_model, *run.more_reward_models.select_related("artifact").order_by("pk")]
        return {
            "start": _lineage(run.generator),
            "dataset": {"name": str(version), "sha256": version.sha256} if version else None,
            "reward_models": [{"name": str(each), "sha256": each.artifact.sha256} for each in more if each],
            "project": str(run.project) if run.project else None,
        }

    def finish(self, run: PolicyRun, run_dir: Path, result: dict[str, Any]) -> None:  # type: ignore[override]
        policy_register(run=run)

    def kept(self, run: Run) -> str:
        found = kept_policy(run.directory)
        if found is None:
            return ""
        reward = f" (held-out reward {number(found.reward)})" if found.reward is not None else ""
        return f"The policy of step {found.step}{reward} is kept in {found.directory}."

    def audit_scope(self, run: PolicyRun) -> str:  # type: ignore[override]
        version = run.dataset_version
        return f"project:{version.project_id}" if version else super().audit_scope(run)

    def detail_url(self, run: Run) -> str | None:
        return run.get_policy_url() if isinstance(run, PolicyRun) else None


class MergeKind(RunKind):
    kind = MERGE
    label = "merged policy"
    model = MergeRun
    queue = Run.Queue.GPU
    artifact_kind = MERGE

    def prepare(self, run: MergeRun, run_dir: Path) -> dict[str, Any]:  # type: ignore[override]
        made = run.policy_run
        return {
            **_weights(made.generator),
            "adapter": str(artifact_path(made.artifacts.get(kind=POLICY))),
            "models_dir": str(settings.MODELS_DIR),
            "title": made.title,
            "lineage": PolicyKind().lineage(made),
            "result": made.result,
        }

    def command(self, run: Run, run_dir: Path) -> list[str]:
        return [sys.executable, "-m", "rl.training", str(run_dir)]

    def lineage(self, run: MergeRun) -> dict[str, Any]:  # type: ignore[override]
        made = run.policy_run
        adapter = {"title": made.title, "sha256": made.artifacts.get(kind=POLICY).sha256}
        return {**PolicyKind().lineage(made), "adapter": adapter}

    def finish(self, run: Run, run_dir: Path, result: dict[str, Any]) -> None:
        """The artifact is all there is to it."""

    def detail_url(self, run: Run) -> str | None:
        return run.get_policy_url() if isinstance(run, MergeRun) else None


class EvaluationKind(RunKind):
    kind = EVALUATION
    label = "evaluation"
    model = EvaluationRun
    queue = Run.Queue.GPU
    artifact_kind = EVALUATION

    def prepare(self, run: EvaluationRun, run_dir: Path) -> dict[str, Any]:  # type: ignore[override]
        which = run.config["prompts"]
        responses = run_dir / "responses.jsonl"
        _write_once(responses, evaluated_responses(run.project, run.generator, run.reward_model, which))
        if responses.stat().st_size == 0:
            raise UserFault(f"{run.generator} has no responses to evaluate any more. Generate some, and start anew.")
        inputs = {
            **_weights(run.generator),
            "reference": _weights(run.reference),
            "responses": str(responses),
            "reward_model": str(artifact_path(run.reward_model.artifact)),
            "models_dir": str(settings.MODELS_DIR),
        }
        if run.reference_id == run.generator_id:
            return inputs
        before = run_dir / "reference_responses.jsonl"
        _write_once(before, evaluated_responses(run.project, run.reference, run.reward_model, which))
        return inputs | ({"reference_responses": str(before)} if before.stat().st_size else {})

    def command(self, run: Run, run_dir: Path) -> list[str]:
        return [sys.executable, "-m", "rl.training", str(run_dir)]

    def lineage(self, run: EvaluationRun) -> dict[str, Any]:  # type: ignore[override]
        return {
            "policy": _lineage(run.generator),
            "reference": _lineage(run.reference),
            "reward_model": {"name": run.reward_model.name, "sha256": run.reward_model.artifact.sha256},
            "project": str(run.project),
        }

    def finish(self, run: Run, run_dir: Path, result: dict[str, Any]) -> None:
        """The figures are the run's result, which the executor keeps."""

    def detail_url(self, run: Run) -> str | None:
        return run.get_evaluation_url() if isinstance(run, EvaluationRun) else None


def _weights(generator: Generator) -> dict[str, Any]:
    """Where a generator's weights are; nothing for one whose weights are elsewhere."""
    if generator.kind != Generator.Kind.LOCAL:
        return {"model": None, "adapter": None}
    adapter = str(artifact_path(generator.adapter)) if generator.adapter else None
    return {"model": generator.model, "adapter": adapter}


def _lineage(generator: Generator) -> dict[str, Any]:
    return {
        "generator": generator.name,
        "model": generator.model or generator.endpoint_model,
        "adapter_sha256": generator.adapter.sha256 if generator.adapter else None,
    }


def _write_once(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write JSONL, whole or not at all. A later attempt finds the file and goes on with the same data."""
    if path.is_file():
        return
    partial = path.with_suffix(".partial")
    with open(partial, "w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
