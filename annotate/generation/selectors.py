"""Reading about generators, their runs and responses."""

from __future__ import annotations

from django.db.models import Count, Exists, IntegerField, Max, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce

from annotate.generation.config import Selection
from annotate.generation.models import GenerationRun, Generator, Response
from annotate.projects.models import Project, Prompt


def generators() -> QuerySet[Generator]:
    """All generators, the newest first, with how many runs they had."""
    runs = GenerationRun.objects.filter(generator=OuterRef("pk")).order_by().values("generator")
    counted = runs.annotate(n=Count("pk")).values("n")
    return (
        Generator.objects.select_related("produced_by", "adapter")
        .annotate(run_count=Coalesce(Subquery(counted, output_field=IntegerField()), Value(0)))
        .order_by("-pk")
    )


def generation_runs() -> QuerySet[GenerationRun]:
    return GenerationRun.objects.select_related("project", "generator", "created_by").order_by("-pk")


def selected_prompts(project: Project, selection: Selection, generator: Generator) -> QuerySet[Prompt]:
    """The prompts a run answers, in order of id."""
    prompts = Prompt.objects.filter(project=project).order_by("pk")
    if selection.ids:
        prompts = prompts.filter(pk__in=selection.ids)
    if selection.tags:
        prompts = prompts.filter(tags__overlap=selection.tags)
    if selection.unanswered:
        prompts = prompts.exclude(Exists(Response.objects.filter(prompt=OuterRef("pk"), generator=generator)))
    return prompts[: selection.limit] if selection.limit else prompts


def current_round(project: Project) -> int:
    """The round that the project is in: the latest that has comparisons, and 1 before there are any."""
    from annotate.ranking.models import Comparison

    latest = Comparison.objects.filter(project=project).aggregate(latest=Max("round"))["latest"]
    return max(latest or 1, 1)


def responses_of(prompt: Prompt) -> QuerySet[Response]:
    return prompt.responses.select_related("generator", "run").order_by("generator__name", "run", "sample_index", "pk")
