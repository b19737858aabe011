"""Taking over what a generation run wrote: its responses, and the comparisons made of them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from annotate.generation.models import GenerationRun, Response
from annotate.pairs import text_hash as text_hash
from annotate.projects.models import Prompt
from annotate.ranking.models import Comparison, ComparisonResponse
from runs.faults import UserFault

BATCH = 1000
T = TypeVar("T")


def responses_ingest(*, run: GenerationRun, path: Path) -> int:
    """Store the lines of responses.jsonl; those that are there already stay as they are. Returns how many it has."""
    if not path.is_file():
        raise UserFault("The generator wrote no response. Look at the log of this run.")
    sampling = {**run.config["sampling"], "seed": run.seed}
    total = 0
    with open(path, encoding="utf-8") as file:
        for lines in _batches(file):
            rows = [json.loads(line) for line in lines if line.strip()]
            # A prompt may have been deleted while the run was writing.
            known = set(Prompt.objects.filter(pk__in={row["prompt_id"] for row in rows}).values_list("pk", flat=True))
            Response.objects.bulk_create(
                [
                    Response(
                        prompt_id=int(row["prompt_id"]),
                        generator=run.generator,
                        run=run,
                        text=_storable(row["text"]),
                        content_hash=text_hash(_storable(row["text"])),
                        sample_index=row["sample_index"],
                        sampling=sampling,
                        finish_reason=row["finish_reason"],
                        tokens=row["tokens"],
                    )
                    for row in rows
                    if int(row["prompt_id"]) in known
                ],
                ignore_conflicts=True,
            )
            total += len(rows)
    return total


def _storable(text: str) -> str:
    """PostgreSQL keeps no NUL and no half of a surrogate pair, and a sampled token may be either."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")


def comparisons_make(*, run: GenerationRun) -> dict[str, int]:
    """One comparison for each prompt of the run that has two distinct responses to choose from.

    Identical responses are offered once. From several generators, each gives in turn until K are together.
    Returns {"comparisons": made, "prompts_without_choice": prompts whose responses were all the same}.
    """
    if run.comparisons == GenerationRun.Comparisons.NONE:
        return {"comparisons": 0, "prompts_without_choice": 0}
    made = without = 0
    prompts = Response.objects.filter(run=run).order_by("prompt").values_list("prompt", flat=True).distinct()
    others = list(run.mix_with.values_list("pk", flat=True))
    for batch in _batches(prompts.iterator(chunk_size=BATCH)):
        chosen: dict[int, list[Response]] = {}
        for prompt, responses in _by_prompt(run, batch, others).items():
            chosen[prompt] = distinct_in_turn(responses, run.project.k)
        without += sum(len(responses) < 2 for responses in chosen.values())
        made += _store(run, {prompt: responses for prompt, responses in chosen.items() if len(responses) >= 2})
    return {"comparisons": made, "prompts_without_choice": without}


def distinct_in_turn(sources: Sequence[Sequence[Response]], k: int) -> list[Response]:
    """At most `k` responses with different texts, each source giving one in turn; in order of id."""
    seen: set[str] = set()
    chosen: list[Response] = []
    for response in itertools.chain.from_iterable(itertools.zip_longest(*sources)):
        if response is not None and response.content_hash not in seen and response.text.strip() and len(chosen) < k:
            seen.add(response.content_hash)
            chosen.append(response)
    return sorted(chosen, key=lambda response: response.pk)


def _by_prompt(run: GenerationRun, prompts: list[int], others: list[int]) -> dict[int, list[list[Response]]]:
    """{prompt: [responses of this run, responses of each other generator]}."""
    order = [run.generator_id, *others]
    found: dict[int, list[list[Response]]] = {prompt: [[] for _ in order] for prompt in prompts}
    for response in Response.objects.filter(run=run, prompt__in=prompts).order_by("pk"):
        found[response.prompt_id][0].append(response)
    earlier = Response.objects.filter(prompt__in=prompts, generator__in=others).exclude(run=run).order_by("pk")
    for response in earlier if others else ():
        found[response.prompt_id][order.index(response.generator_id, 1)].append(response)
    return found


def _store(run: GenerationRun, chosen: dict[int, list[Response]]) -> int:
    made = Comparison.objects.bulk_create(
        Comparison(
            project=run.project,
            prompt_id=prompt,
            run=run,
            round=run.round,
            overlap=run.project.overlap,
            dedup_key=f"run:{run.pk}:{prompt}",
        )
        for prompt in chosen
    )
    ComparisonResponse.objects.bulk_create(
        ComparisonResponse(comparison=comparison, response=response, position=position)
        for comparison in made
        for position, response in enumerate(chosen[comparison.prompt_id])
    )
    return len(made)


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    pending = iter(items)
    while batch := list(itertools.islice(pending, BATCH)):
        yield batch
