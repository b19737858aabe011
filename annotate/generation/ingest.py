"""From a finished run's responses.jsonl to rows: responses first, then comparisons of those that differ."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from annotate.batches import batched
from annotate.generation.models import GenerationRun, Response
from annotate.generation.texts import text_hash
from annotate.projects.models import Prompt
from annotate.ranking.models import Comparison, ComparisonResponse
from runs.faults import UserFault

BATCH = 1000
POOL = 64  # earlier responses of one prompt that a comparison chooses from


def responses_ingest(*, run: GenerationRun, path: Path) -> int:
    """Store every response of the file that is not stored yet. Returns how many the run has now."""
    if not path.is_file():
        raise UserFault("The run left no responses.jsonl.")
    sampling = {**run.config.get("sampling", {}), "run_seed": run.seed}
    for rows in batched(_rows(path), BATCH):
        wanted = {row["prompt_id"] for row in rows}
        # A prompt may have been deleted while the run was writing.
        known = set(Prompt.objects.filter(project=run.project_id, pk__in=wanted).values_list("pk", flat=True))
        Response.objects.bulk_create(
            [_response(run, row, sampling) for row in rows if row["prompt_id"] in known], ignore_conflicts=True
        )
    return Response.objects.filter(run=run).count()


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.strip():
                row = json.loads(line)
                yield row | {"prompt_id": int(row["prompt_id"])}


def _response(run: GenerationRun, row: dict[str, Any], sampling: dict[str, Any]) -> Response:
    # PostgreSQL keeps no NUL and no half of a surrogate pair; a sampled token may be either.
    text = row["text"].replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
    return Response(
        prompt_id=row["prompt_id"],
        generator_id=run.generator_id,
        run=run,
        text=text,
        content_hash=text_hash(text),
        sample_index=row["sample_index"],
        sampling=sampling | ({"seed": row["seed"]} if "seed" in row else {}),
        finish_reason=str(row.get("finish_reason") or "")[:10],
        tokens=row.get("tokens"),
    )


@dataclass
class Made:
    """comparisons: how many the run has now. too_few: prompts that got none for want of two different responses."""

    comparisons: int = 0
    too_few: list[int] = field(default_factory=list)


def comparisons_create(*, run: GenerationRun) -> Made:
    """One comparison for each prompt of the run: up to K different responses, taken in turn from every generator.

    Each is made once, however often this is called.
    """
    made = Made()
    if run.comparisons == GenerationRun.Comparisons.NONE:
        return made
    others = list(run.mix_with.values_list("pk", flat=True)) if run.comparisons == "mixed" else []
    prompts = Response.objects.filter(run=run).order_by("prompt").values_list("prompt", flat=True).distinct()
    for batch in batched(prompts.iterator(chunk_size=BATCH), BATCH):
        keys = {comparison_key(run, prompt): prompt for prompt in batch}
        there = Comparison.objects.filter(project=run.project_id, dedup_key__in=keys)
        done = set(there.values_list("dedup_key", flat=True))
        pools = _pools(run, batch, others)
        picked = {}
        for key, prompt in keys.items():
            if key in done:
                continue
            chosen = pick(pools[prompt], run.project.k)
            if len(chosen) < 2:
                made.too_few.append(prompt)
            else:
                picked[key] = chosen
        made.comparisons += len(done) + len(picked)
        _store(run, {key: (keys[key], chosen) for key, chosen in picked.items()})
    return made


def comparison_key(run: GenerationRun, prompt: int) -> str:
    return hashlib.sha256(f"generation|{run.pk}|{prompt}".encode()).hexdigest()


Candidate = tuple[int, str]  # response id, hash of its text


def pick(pools: Sequence[Sequence[Candidate]], k: int) -> list[int]:
    """Up to `k` response ids with different texts, one from each pool in turn."""
    chosen: list[int] = []
    seen: set[str] = set()
    queues = [iter(pool) for pool in pools]
    while queues and len(chosen) < k:
        for queue in list(queues):
            fresh = next((candidate for candidate in queue if candidate[1] not in seen), None)
            if fresh is None:
                queues.remove(queue)
            elif len(chosen) < k:
                chosen.append(fresh[0])
                seen.add(fresh[1])
    return chosen


def _pools(run: GenerationRun, prompts: Sequence[int], others: Sequence[int]) -> dict[int, list[list[Candidate]]]:
    """For each prompt: this run's responses, then those of each other generator, its latest first."""
    own: dict[int, list[Candidate]] = defaultdict(list)
    rows = Response.objects.filter(run=run, prompt__in=prompts).order_by("sample_index")
    for pk, prompt, digest in rows.values_list("pk", "prompt_id", "content_hash"):
        own[prompt].append((pk, digest))
    earlier: dict[tuple[int, int], list[Candidate]] = defaultdict(list)
    if others:
        rows = Response.objects.filter(generator__in=others, prompt__in=prompts).order_by("-pk")
        for pk, prompt, generator, digest in rows.values_list("pk", "prompt_id", "generator_id", "content_hash"):
            if len(pool := earlier[prompt, generator]) < POOL:
                pool.append((pk, digest))
    return {prompt: [own[prompt], *(earlier[prompt, generator] for generator in others)] for prompt in prompts}


def _store(run: GenerationRun, picked: dict[str, tuple[int, list[int]]]) -> None:
    comparisons = Comparison.objects.bulk_create(
        Comparison(
            project_id=run.project_id,
            prompt_id=prompt,
            run=run,
            round=run.round,
            overlap=run.project.overlap,
            dedup_key=key,
        )
        for key, (prompt, _) in picked.items()
    )
    ComparisonResponse.objects.bulk_create(
        ComparisonResponse(comparison=comparison, response_id=pk, position=position)
        for comparison, (_, chosen) in zip(comparisons, picked.values(), strict=True)
        for position, pk in enumerate(chosen)
    )
