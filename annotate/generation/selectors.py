"""What can be asked about generators, generation runs and responses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Exists, OuterRef, Prefetch, QuerySet

from annotate.generation.models import GenerationRun, Generator, Response
from annotate.projects.models import Project, Prompt


def generators() -> QuerySet[Generator]:
    """All generators with how many runs they had."""
    return Generator.objects.select_related("adapter", "produced_by").annotate(run_count=Count("runs"))


def generation_runs() -> QuerySet[GenerationRun]:
    """All generation runs, the newest first."""
    return GenerationRun.objects.select_related("project", "generator", "created_by").order_by("-pk")


def prompts_selected(project: Project, selection: Mapping[str, Any], generator: Generator) -> QuerySet[Prompt]:
    """The prompts a generation run is about, in order of id.

    selection: {"tags": [any of these], "ids": [...], "unanswered": only those `generator` has not answered,
    "limit": the first so many}. An empty one is all prompts of the project.
    """
    rows = Prompt.objects.filter(project=project).order_by("pk")
    if selection.get("tags"):
        rows = rows.filter(tags__overlap=list(selection["tags"]))
    if selection.get("ids"):
        rows = rows.filter(pk__in=selection["ids"])
    if selection.get("unanswered"):
        rows = rows.filter(~Exists(Response.objects.filter(prompt=OuterRef("pk"), generator=generator)))
    return rows[: selection["limit"]] if selection.get("limit") else rows


@dataclass(frozen=True, slots=True)
class ResponsePage:
    """Prompts with their responses, and the key of the next page."""

    prompts: list[Prompt]
    following: int | None


def responses_page(project: Project, *, run: int | None = None, after: int = 0, size: int = 20) -> ResponsePage:
    """Prompts that have responses (of one run, where asked), from a key on, each with its responses in order."""
    written = Response.objects.filter(run=run) if run else Response.objects.all()
    rows = (
        Prompt.objects.filter(project=project, pk__gt=after)
        .filter(Exists(written.filter(prompt=OuterRef("pk"))))
        .prefetch_related(
            Prefetch("responses", queryset=written.select_related("generator").order_by("generator__name", "pk"))
        )
        .order_by("pk")[: size + 1]
    )
    found = list(rows)
    return ResponsePage(found[:size], found[size - 1].pk if len(found) > size else None)
