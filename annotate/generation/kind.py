"""How a generation run is carried out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from django.conf import settings

from annotate.generation.models import GenerationRun, Generator
from annotate.generation.outcome import comparisons_make, responses_ingest
from annotate.generation.selectors import prompts_selected
from annotate.generation.services import KIND
from runs.artifacts import artifact_path
from runs.faults import UserFault
from runs.kinds import RunKind
from runs.models import Run


class GenerationKind(RunKind):
    kind = KIND
    label = "generation"
    model = GenerationRun
    queue = Run.Queue.GPU

    def prepare(self, run: GenerationRun, run_dir: Path) -> dict[str, Any]:  # type: ignore[override]
        path = run_dir / "prompts.jsonl"
        # Kept from the first attempt on: prompts imported since then are not this run's.
        if not path.exists():
            selected = prompts_selected(run.project, run.selection, run.generator)
            partial = path.with_suffix(".partial")
            with open(partial, "w", encoding="utf-8") as file:
                for prompt in selected.iterator():
                    row = {"id": str(prompt.pk), "messages": prompt.messages}
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
            if not partial.stat().st_size:
                raise UserFault("No prompt is left that this run was asked to answer.")
            partial.rename(path)
        return {"prompts": str(path), **generator_inputs(run.generator)}

    def command(self, run: Run, run_dir: Path) -> list[str]:
        return [sys.executable, "-m", "lm", str(run_dir)]

    def finish(self, run: GenerationRun, run_dir: Path, result: dict[str, Any]) -> None:  # type: ignore[override]
        result["responses"] = responses_ingest(run=run, path=run_dir / "output" / "responses.jsonl")
        result |= comparisons_make(run=run)

    def detail_url(self, run: Run) -> str | None:
        from django.urls import reverse

        project = getattr(run, "project", None)
        return reverse("annotate:response-list", args=[project.slug]) if project else None


def generator_inputs(generator: Generator) -> dict[str, Any]:
    """What a child must know to write as `generator` does."""
    if generator.kind == Generator.Kind.ENDPOINT:
        endpoint = {
            "url": generator.endpoint_url,
            "model": generator.endpoint_model,
            "api_key_env": generator.api_key_env,
        }
        return {"endpoint": endpoint}
    return {
        "model": generator.model,
        "adapter": str(artifact_path(generator.adapter)) if generator.adapter else None,
        "models_dir": str(settings.MODELS_DIR),
    }
