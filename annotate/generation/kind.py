"""How a generation run is carried out, and what becomes of its responses."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from django.conf import settings

from annotate.generation.config import Selection
from annotate.generation.ingest import comparisons_create, responses_ingest
from annotate.generation.models import GenerationRun, Generator
from annotate.generation.selectors import selected_prompts
from annotate.generation.services import KIND, generator_errors
from runs.artifacts import artifact_path
from runs.faults import UserFault
from runs.kinds import RunKind
from runs.models import Run, RunEvent

PROMPTS = "prompts.jsonl"
RESPONSES = "responses.jsonl"


class GenerationKind(RunKind):
    kind = KIND
    label = "generation"
    model = GenerationRun
    queue = Run.Queue.GPU

    def prepare(self, run: GenerationRun, run_dir: Path) -> dict[str, Any]:  # type: ignore[override]
        """Write prompts.jsonl and say where the model is.

        An attempt after the first keeps the file: the child goes on where the one before it stopped.
        """
        complaints = generator_errors(run.generator)
        if complaints:
            raise UserFault(" ".join(message for messages in complaints.values() for message in messages))
        if not (run_dir / PROMPTS).is_file():
            _write_prompts(run, run_dir / PROMPTS)
        return {"prompts": str(run_dir / PROMPTS), **generator_inputs(run.generator)}

    def command(self, run: Run, run_dir: Path) -> list[str]:
        return [sys.executable, "-m", "lm", str(run_dir)]

    def finish(self, run: GenerationRun, run_dir: Path, result: dict[str, Any]) -> None:  # type: ignore[override]
        """Take in the responses and make the comparisons. Doing it twice changes nothing."""
        result["responses"] = responses_ingest(run=run, path=run_dir / "output" / RESPONSES)
        if not result["responses"]:
            raise UserFault("The generator wrote no response. Look at the log of this run.")
        made = comparisons_create(run=run)
        result |= {"comparisons": made.comparisons, "prompts_without_comparison": len(made.too_few)}
        if made.too_few:
            some = ", ".join(str(pk) for pk in made.too_few[:10])
            message = (
                f"{len(made.too_few)} prompt(s) got fewer than two different responses and therefore no comparison: "
                f"{some}{', …' if len(made.too_few) > 10 else ''}. A higher temperature makes responses differ."
            )
            RunEvent.objects.create(run_id=run.pk, type=RunEvent.Type.LOG, data={"message": message})

    def detail_url(self, run: Run) -> str | None:
        return run.get_responses_url() if isinstance(run, GenerationRun) else None


def generator_inputs(generator: Generator) -> dict[str, Any]:
    """What a child process needs to use a generator: {"model", "adapter", "models_dir"} or {"endpoint"}."""
    if generator.kind == Generator.Kind.ENDPOINT:
        return {
            "endpoint": {
                "url": generator.endpoint_url,
                "model": generator.endpoint_model,
                "api_key_env": generator.api_key_env or None,
            }
        }
    return {
        "model": generator.model,
        "adapter": str(artifact_path(generator.adapter)) if generator.adapter else None,
        "models_dir": str(settings.MODELS_DIR),
    }


def _write_prompts(run: GenerationRun, path: Path) -> None:
    """{"id", "messages"} a line, in order of id."""
    prompts = selected_prompts(run.project, Selection.model_validate(run.selection), run.generator)
    partial = path.with_suffix(".partial")
    count = 0
    with open(partial, "w", encoding="utf-8") as file:
        for pk, messages in prompts.values_list("pk", "messages").iterator(chunk_size=2000):
            file.write(json.dumps({"id": str(pk), "messages": messages}, ensure_ascii=False) + "\n")
            count += 1
    if not count:
        raise UserFault("None of the prompts this run was asked to answer is there any more.")
    os.replace(partial, path)
