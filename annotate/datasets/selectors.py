"""What can be asked about dataset versions and about the judgements that would go into one."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from django.db.models import BooleanField, Count, Exists, F, Func, OuterRef, Q, QuerySet, Value

from annotate.datasets.config import DatasetConfig
from annotate.datasets.models import DatasetRun, DatasetVersion
from annotate.pairs import content_hash, split_of
from annotate.projects.models import Project
from annotate.ranking.models import Comparison, ComparisonResponse, Judgement
from annotate.review.models import Adjudication
from runs.artifacts import artifact_path
from runs.models import Artifact

# Came too late for a place. What was imported has no assignment, and is not extra.
EXTRA = Q(assignment__isnull=False, assignment__slot__isnull=True)
ANYWHERE = "$[*] ? (@.flag == $keys[*])"  # in a judgement's flags
ON_PROMPT = "$[*] ? (@.flag == $keys[*] && (!exists (@.response) || @.response == null))"
Purpose = Comparison.Purpose


def dataset_versions() -> QuerySet[DatasetVersion]:
    """All versions with what a list shows of them, the newest first."""
    return DatasetVersion.objects.select_related("project", "artifact", "run__created_by").order_by("-pk")


def dataset_runs() -> QuerySet[DatasetRun]:
    """All dataset runs, whatever their state, the newest first."""
    return DatasetRun.objects.select_related("project", "created_by", "version").order_by("-pk")


# what the filters let through -----------------------------------------------------------------------------------------


def judgements_for(
    project: Project, config: DatasetConfig, *, within: Sequence[int] | None = None
) -> QuerySet[Judgement]:
    """The judgements that the filters let through: of work, current (so not withdrawn), and not decided over.

    within: ids of some comparisons that are known to be let through, to look at these only.
    """
    chosen = Q(is_current=True) & _days(config)
    if config.sources:
        chosen &= Q(source__in=config.sources)
    if config.annotators:
        chosen &= Q(annotator__in=config.annotators)
    if config.exclude_annotators:
        chosen &= ~Q(annotator__in=config.exclude_annotators)
    if not config.include_extra:
        chosen &= ~EXTRA
    decided = decisions_for(project, config, within=within).filter(comparison=OuterRef("comparison"))
    return Judgement.objects.filter(chosen, *_where(project, config, within)).filter(~Exists(decided))


def decisions_for(
    project: Project, config: DatasetConfig, *, within: Sequence[int] | None = None
) -> QuerySet[Adjudication]:
    """Reviewers' current decisions that stand in place of judgements; none where people's judgements are not wanted,
    or only those of some."""
    of_people = not config.sources or "human" in config.sources
    if not config.use_adjudications or not of_people or config.annotators:
        return Adjudication.objects.none()
    return Adjudication.objects.filter(Q(is_current=True) & _days(config), *_where(project, config, within))


def comparisons_for(project: Project, config: DatasetConfig) -> QuerySet[Comparison]:
    """Comparisons that have such a judgement or decision."""
    judged = judgements_for(project, config).values("comparison")
    decided = decisions_for(project, config).values("comparison")
    return Comparison.objects.filter(Q(pk__in=judged) | Q(pk__in=decided), project=project)


def _where(project: Project, config: DatasetConfig, within: Sequence[int] | None) -> list[Any]:
    """What the filters say of the comparison that something is about: itself, its prompt, responses and flags."""
    if within is not None:
        return [Q(comparison__in=within)]
    purposes = [Purpose.WORK, Purpose.GOLD] if config.include_gold else [Purpose.WORK]
    where: list[Any] = [Q(comparison__project=project, comparison__purpose__in=purposes)]
    if config.rounds:
        where.append(Q(comparison__round__in=config.rounds))
    if config.tags:
        where.append(_tagged(config.tags))
    if config.exclude_tags:
        where.append(~_tagged(config.exclude_tags))
    if config.languages:
        where.append(Q(comparison__prompt__language__in=config.languages))
    if config.generators:
        members = ComparisonResponse.objects.filter(
            comparison__project=project, response__generator__name__in=config.generators
        )
        enough = members.order_by().values("comparison").annotate(n=Count("pk")).filter(n__gte=2)
        where.append(Q(comparison__in=enough.values("comparison")))
    if config.exclude_flags:
        where.append(~Exists(flagged_judgements(config).filter(comparison=OuterRef("comparison"))))
    return where


def _tagged(tags: list[str]) -> Q:
    """Comparisons with such a tag of their own or of their prompt's."""
    return Q(comparison__prompt__tags__overlap=tags) | Q(comparison__tags__overlap=tags)


def _days(config: DatasetConfig) -> Q:
    """Days are whole, in UTC."""
    days = Q()
    if config.since:
        days &= Q(created_at__gte=_midnight(config.since))
    if config.until and config.until < datetime.date.max:
        days &= Q(created_at__lt=_midnight(config.until + datetime.timedelta(days=1)))
    return days


def _midnight(day: datetime.date) -> datetime.datetime:
    return datetime.datetime.combine(day, datetime.time(), datetime.UTC)


def flagged_judgements(config: DatasetConfig) -> QuerySet[Judgement]:
    """Judgements with a flag that takes a comparison out: an excluded one about its prompt or, where the configuration
    says so, about a response. Whoever sets a flag, it counts."""
    path = ON_PROMPT if config.flagged == "response" else ANYWHERE
    keys = Value(json.dumps({"keys": config.exclude_flags}))
    found = Func(
        F("flags"), Value(path), keys, template="jsonb_path_exists(%(expressions)s)", output_field=BooleanField()
    )
    return Judgement.objects.filter(found, is_current=True)


# counting -------------------------------------------------------------------------------------------------------------


def dataset_preview(project: Project, config: DatasetConfig) -> dict[str, int]:
    """Upper bounds of what a build would find, from counts alone.

    judgements, of which so many extra, by annotators; decisions of reviewers; on comparisons of prompts. contested: of
    these comparisons, how many are known to fall below the least agreement.
    """
    comparisons = comparisons_for(project, config)
    contested = Count("pk", filter=Q(disagreement__gt=1 - config.minimum_agreement))
    return (
        judgements_for(project, config).aggregate(
            judgements=Count("pk"),
            extra=Count("pk", filter=EXTRA),
            annotators=Count("annotator", distinct=True),
        )
        | comparisons.aggregate(comparisons=Count("pk"), prompts=Count("prompt", distinct=True), contested=contested)
        | {"decisions": decisions_for(project, config).count()}
    )


def dataset_pseudonyms(project: Project, config: DatasetConfig) -> dict[int, str]:
    """{annotator id: a1, a2, ...}: annotators are numbered, not named."""
    annotators = judgements_for(project, config).order_by("annotator").values_list("annotator", flat=True).distinct()
    return {pk: f"a{number}" for number, pk in enumerate(annotators, start=1)}


# splits ---------------------------------------------------------------------------------------------------------------


def version_split(version: DatasetVersion) -> Callable[[Sequence[Mapping[str, Any]]], str]:
    """Tells the side of a prompt in a version: 'train' or 'test'.

    Of a prompt that is not in it, the side where its hash alone puts it.
    """
    config = version.run.config
    fraction, salt = float(config.get("test_fraction", 0.0)), config.get("salt", "")
    known = (
        _known_splits(version.artifact_id, version.sha256) if config.get("stratify_by", "nothing") != "nothing" else {}
    )

    def split(messages: Sequence[Mapping[str, Any]]) -> str:
        found = known.get(bytes.fromhex(content_hash(messages))) if known else None
        return found or split_of(messages, fraction, salt)

    return split


@lru_cache(maxsize=8)
def _known_splits(artifact: int, sha256: str) -> dict[bytes, str]:
    """{hash of a prompt: its side} of a stratified version, which never changes."""
    with open(
        artifact_path(Artifact.objects.get(pk=artifact, sha256=sha256)) / "splits.jsonl", encoding="utf-8"
    ) as file:
        return {bytes.fromhex(row["prompt"]): row["split"] for row in map(json.loads, file)}
