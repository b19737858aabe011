"""What can be asked about dataset versions and about the judgements that would go into one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import Count, Prefetch, Q, QuerySet

from annotate.datasets.build import Record
from annotate.datasets.config import DatasetConfig
from annotate.datasets.models import DatasetRun, DatasetVersion
from annotate.projects.models import Project
from annotate.ranking.models import Comparison, ComparisonResponse, Judgement

CHUNK = 500


def dataset_versions() -> QuerySet[DatasetVersion]:
    """All versions with what a list shows of them, the newest first."""
    return DatasetVersion.objects.select_related("project", "artifact", "run__created_by").order_by("-pk")


def dataset_runs() -> QuerySet[DatasetRun]:
    """All dataset runs, whatever their state, the newest first."""
    return DatasetRun.objects.select_related("project", "created_by", "version").order_by("-pk")


def judgements_for(project: Project, config: DatasetConfig) -> QuerySet[Judgement]:
    """The current judgements that the filters let through."""
    chosen = Q(comparison__project=project, is_current=True)
    if config.sources:
        chosen &= Q(source__in=config.sources)
    if config.rounds:
        chosen &= Q(comparison__round__in=config.rounds)
    return Judgement.objects.filter(chosen)


def dataset_preview(project: Project, config: DatasetConfig) -> dict[str, int]:
    """Upper bounds of what a build would find, from counts alone: comparisons, judgements, annotators, prompts."""
    return judgements_for(project, config).aggregate(
        judgements=Count("pk"),
        comparisons=Count("comparison", distinct=True),
        prompts=Count("comparison__prompt", distinct=True),
        annotators=Count("annotator", distinct=True),
    )


def dataset_records(project: Project, config: DatasetConfig) -> Iterator[Record]:
    """Every judged comparison in order of its id, a chunk in memory at a time. Annotators are numbered, not named."""
    judgements = judgements_for(project, config)
    annotators = judgements.order_by("annotator").values_list("annotator", flat=True).distinct()
    pseudonyms = {pk: f"a{number}" for number, pk in enumerate(annotators, start=1)}
    members = ComparisonResponse.objects.select_related("response__generator").order_by("position")
    found = (
        Comparison.objects.filter(project=project, pk__in=judgements.values("comparison"))
        .select_related("prompt")
        .prefetch_related(
            Prefetch("members", queryset=members),
            Prefetch("judgements", queryset=judgements.order_by("pk"), to_attr="chosen_judgements"),
        )
        .order_by("pk")
    )
    for comparison in found.iterator(chunk_size=CHUNK):
        yield _record(comparison, pseudonyms)


def _record(comparison: Any, pseudonyms: dict[int, str]) -> Record:
    responses = [member.response for member in comparison.members.all()]
    keys = [str(response.pk) for response in responses]
    rankings: dict[str, list[dict[str, Any]]] = {}
    for judgement in comparison.chosen_judgements:
        for dimension, ranks in judgement.rankings.items():
            strengths = judgement.strengths.get(dimension)
            rankings.setdefault(dimension, []).append(
                {
                    "ranks": [ranks.get(key) for key in keys],
                    "weight": 1.0,
                    "annotator": pseudonyms[judgement.annotator_id],
                    "strengths": [strengths.get(key) for key in keys] if strengths else None,
                }
            )
    return Record(
        comparison=str(comparison.pk),
        prompt=[{"role": turn["role"], "content": turn["content"]} for turn in comparison.prompt.messages],
        responses=[
            {"id": key, "text": response.text, "generator": response.generator.name}
            for key, response in zip(keys, responses, strict=True)
        ],
        rankings=rankings,
        tags=sorted(comparison.prompt.tags),
        sources=tuple(judgement.source for judgement in comparison.chosen_judgements),
    )
