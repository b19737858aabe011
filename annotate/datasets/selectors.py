"""What can be asked about dataset versions and about the judgements that would go into one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from django.db.models import Count, Exists, OuterRef, Prefetch, Q, QuerySet

from annotate.datasets.build import REVIEWER, Record
from annotate.datasets.config import DatasetConfig
from annotate.datasets.models import DatasetRun, DatasetVersion
from annotate.projects.models import Project
from annotate.quality.reliability import PRIOR, weight_of
from annotate.quality.selectors import reliability_weights
from annotate.ranking.models import Comparison, ComparisonResponse, Judgement
from annotate.review.models import Adjudication

CHUNK = 500
# Came too late for a place. What was imported has no assignment, and is not extra.
EXTRA = Q(assignment__isnull=False, assignment__slot__isnull=True)


def dataset_versions() -> QuerySet[DatasetVersion]:
    """All versions with what a list shows of them, the newest first."""
    return DatasetVersion.objects.select_related("project", "artifact", "run__created_by").order_by("-pk")


def dataset_runs() -> QuerySet[DatasetRun]:
    """All dataset runs, whatever their state, the newest first."""
    return DatasetRun.objects.select_related("project", "created_by", "version").order_by("-pk")


def judgements_for(project: Project, config: DatasetConfig) -> QuerySet[Judgement]:
    """The judgements that the filters let through: of work, current (so not withdrawn), and not decided over."""
    chosen = Q(comparison__project=project, comparison__purpose=Comparison.Purpose.WORK, is_current=True)
    if config.sources:
        chosen &= Q(source__in=config.sources)
    if config.rounds:
        chosen &= Q(comparison__round__in=config.rounds)
    if not config.include_extra:
        chosen &= ~EXTRA
    decided = decisions_for(project, config).filter(comparison=OuterRef("comparison"))
    return Judgement.objects.filter(~Exists(decided), chosen)


def decisions_for(project: Project, config: DatasetConfig) -> QuerySet[Adjudication]:
    """Reviewers' current decisions that stand in place of judgements; none where people's judgements are not wanted."""
    if not config.use_adjudications or (config.sources and "human" not in config.sources):
        return Adjudication.objects.none()
    rows = Adjudication.objects.filter(
        comparison__project=project, comparison__purpose=Comparison.Purpose.WORK, is_current=True
    )
    return rows.filter(comparison__round__in=config.rounds) if config.rounds else rows


def comparisons_for(project: Project, config: DatasetConfig) -> QuerySet[Comparison]:
    """Comparisons that have such a judgement or decision."""
    judged = judgements_for(project, config).values("comparison")
    decided = decisions_for(project, config).values("comparison")
    return Comparison.objects.filter(Q(pk__in=judged) | Q(pk__in=decided), project=project)


def dataset_preview(project: Project, config: DatasetConfig) -> dict[str, int]:
    """Upper bounds of what a build would find, from counts alone.

    judgements, of which so many extra, by annotators; decisions of reviewers; on comparisons of prompts.
    """
    return (
        judgements_for(project, config).aggregate(
            judgements=Count("pk"),
            extra=Count("pk", filter=EXTRA),
            annotators=Count("annotator", distinct=True),
        )
        | comparisons_for(project, config).aggregate(
            comparisons=Count("pk"),
            prompts=Count("prompt", distinct=True),
        )
        | {"decisions": decisions_for(project, config).count()}
    )


def dataset_pseudonyms(project: Project, config: DatasetConfig) -> dict[int, str]:
    """{annotator id: a1, a2, ...}: annotators are numbered, not named."""
    annotators = judgements_for(project, config).order_by("annotator").values_list("annotator", flat=True).distinct()
    return {pk: f"a{number}" for number, pk in enumerate(annotators, start=1)}


def dataset_records(
    project: Project, config: DatasetConfig, *, pseudonyms: Mapping[int, str] | None = None
) -> Iterator[Record]:
    """Every comparison to be taken in order of its id, a chunk in memory at a time."""
    pseudonyms = dataset_pseudonyms(project, config) if pseudonyms is None else pseudonyms
    weigh = _weighing(project, config)
    members = ComparisonResponse.objects.select_related("response__generator").order_by("position")
    judgements = judgements_for(project, config).select_related("assignment").order_by("pk")
    found = (
        comparisons_for(project, config)
        .select_related("prompt")
        .prefetch_related(
            Prefetch("members", queryset=members),
            Prefetch("judgements", queryset=judgements, to_attr="chosen_judgements"),
            Prefetch("adjudications", queryset=decisions_for(project, config), to_attr="decisions"),
        )
        .order_by("pk")
    )
    for comparison in found.iterator(chunk_size=CHUNK):
        yield _record(comparison, pseudonyms, weigh)


def _weighing(project: Project, config: DatasetConfig) -> Callable[[int], float]:
    """The weight of an annotator, by id; who is too new to be estimated has the prior's.

    Rounded, for the last digits of an estimate mean nothing and need not be the same on two machines.
    """
    if config.weights == "equal":
        return lambda annotator: 1.0
    estimated = reliability_weights(project)
    prior = weight_of(PRIOR.value)
    return lambda annotator: round(estimated.get(annotator, prior), 4)


def _record(comparison: Any, pseudonyms: Mapping[int, str], weigh: Callable[[int], float]) -> Record:
    responses = [member.response for member in comparison.members.all()]
    keys = [str(response.pk) for response in responses]
    rankings: dict[str, list[dict[str, Any]]] = {}
    said = comparison.decisions or comparison.chosen_judgements
    for each in said:
        is_judgement = isinstance(each, Judgement)
        for dimension, ranks in each.rankings.items():
            strengths = each.strengths.get(dimension) if is_judgement else None
            rankings.setdefault(dimension, []).append(
                {
                    "ranks": [ranks.get(key) for key in keys],
                    "weight": weigh(each.annotator_id) if is_judgement else 1.0,
                    "annotator": pseudonyms[each.annotator_id] if is_judgement else REVIEWER,
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
        sources=tuple(each.source if isinstance(each, Judgement) else REVIEWER for each in said),
        extra=sum(isinstance(each, Judgement) and _is_extra(each) for each in said),
        is_decided=bool(comparison.decisions),
    )


def _is_extra(judgement: Judgement) -> bool:
    return judgement.assignment is not None and judgement.assignment.slot is None
