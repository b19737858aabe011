"""Gold as admins see it: which there is, how people do on it, and what a known answer could begin with."""

from __future__ import annotations

from typing import Any

from django.db.models import Avg, Count, F, Q, QuerySet

from annotate.gold.models import Gold
from annotate.projects.models import Project
from annotate.quality.consensus import consensus
from annotate.ranking.models import Comparison
from annotate.review.models import Adjudication

Rankings = dict[str, dict[str, int]]

MISSED = 0.5  # a score below this is a miss: at a coin's chance or under it
ENOUGH = 3  # judgements before a gold comparison is suspected


def gold_with_scores() -> QuerySet[Gold]:
    """All gold, with `judged`, `missed` and `score`, the mean of the scores given on it."""
    given = Q(comparison__judgements__is_current=True, comparison__judgements__gold_score__isnull=False)
    return (
        Gold.objects.exclude(comparison__purpose=Comparison.Purpose.WORK)
        .select_related("comparison__prompt", "created_by")
        .annotate(
            judged=Count("comparison__judgements", filter=given),
            score=Avg("comparison__judgements__gold_score", filter=given),
            missed=Count("comparison__judgements", filter=given & Q(comparison__judgements__gold_score__lt=MISSED)),
        )
    )


def gold_of(project: Project) -> QuerySet[Gold]:
    """A project's gold, the hardest first."""
    return gold_with_scores().filter(comparison__project=project).order_by(F("score").asc(nulls_last=True), "pk")


def is_suspicious(gold: Gold) -> bool:
    """Whether most people miss it: then the known answer is more likely wrong than they are. Needs `gold_of`."""
    return gold.judged >= ENOUGH and 2 * gold.missed > gold.judged


def retired_count(project: Project) -> int:
    """Comparisons that were gold, were judged as such, and are handed out no more."""
    return Comparison.objects.filter(project=project, gold=None).exclude(purpose=Comparison.Purpose.WORK).count()


def suggestion(comparison: Comparison) -> tuple[Rankings, str, str]:
    """(rankings, explanation, where they are from) that a known answer may begin with.

    From the gold there is, else a reviewer's decision, else the consensus of the judgements, else nothing.
    """
    gold = Gold.objects.filter(comparison=comparison).first()
    if gold is not None:
        return _as_asked(comparison, gold.rankings), gold.explanation, "gold"
    decided = Adjudication.objects.filter(comparison=comparison, is_current=True).first()
    if decided is not None:
        return _as_asked(comparison, decided.rankings), decided.rationale, "decision"
    agreed = _as_asked(comparison, consensus_of(comparison))
    return agreed, "", "consensus" if agreed else ""


def _as_asked(comparison: Comparison, rankings: Rankings) -> Rankings:
    """Where the best is asked for, the best and the others, with no order among these."""
    if comparison.project.task != Project.Task.BEST:
        return rankings
    return {key: {pk: min(rank, 2) for pk, rank in ranks.items()} for key, ranks in rankings.items()}


def consensus_of(comparison: Comparison) -> Rankings:
    """The consensus of a comparison's judgements on each dimension they rank; everybody counts the same."""
    given = list(comparison.judgements.filter(is_current=True).values_list("rankings", flat=True))
    responses = [str(pk) for pk in comparison.members.order_by("position").values_list("response_id", flat=True)]
    result: Rankings = {}
    for key in sorted({key for rankings in given for key in rankings}):
        rows = [[rankings.get(key, {}).get(response) for response in responses] for rankings in given]
        ranks = consensus(rows).ranks
        placed = {response: rank for response, rank in zip(responses, ranks, strict=True) if rank is not None}
        if placed:
            result[key] = placed
    return result


def comparison_shown(comparison: Comparison) -> list[dict[str, Any]]:
    """Its responses in the order of exports, numbered."""
    members = comparison.members.select_related("response__generator").order_by("position")
    return [{"number": member.position + 1, "response": member.response} for member in members]
