"""Which comparison with a known answer an annotator gets, and when.

Hidden gold must not be told from work. So it comes at places that only the server's secret key explains, in an order of
each annotator's own, never twice, and never with a response that the annotator has seen before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Exists, OuterRef, QuerySet
from django.utils.crypto import salted_hmac

from accounts.models import User
from annotate.gold.models import Gold
from annotate.projects.models import Project
from annotate.ranking.models import Assignment, Comparison, ComparisonResponse, Judgement

Purpose = Comparison.Purpose
State = Assignment.State
SCALE = 2**64


@dataclass(frozen=True, slots=True)
class Candidate:
    comparison: int
    prompt: int


def gold_due(annotator: int, number: int, rate: float) -> bool:
    """Whether the `number`-th thing the annotator is handed is to be gold: true for a share `rate` of all numbers."""
    return _secret(f"due:{annotator}:{number}") < rate * SCALE


def gold_expected(annotator: int, number: int, rate: float, *, work: int, unseen: int) -> int:
    """How many of `unseen` gold comparisons come between the next `work` comparisons, from `number` on."""
    gold = 0
    while work > 0 and rate > 0 and gold < unseen:
        if gold_due(annotator, number, rate):
            gold += 1
        else:
            work -= 1
        number += 1
    return gold


def gold_unseen(annotator: User, project: Project) -> list[Candidate]:
    """Hidden gold that the annotator has not had, in their own order."""
    had = Assignment.objects.filter(comparison=OuterRef("pk"), annotator=annotator).exclude(state=State.RELEASED)
    members = ComparisonResponse.objects.filter(comparison=OuterRef("pk")).values("response")
    rows = list(
        _known(project, Purpose.GOLD)
        .filter(~Exists(had))
        .annotate(shown=ArraySubquery(members))
        .values_list("pk", "prompt", "shown")
    )
    every = {response for _, _, shown in rows for response in shown}
    seen = set(
        ComparisonResponse.objects.filter(response__in=every, comparison__assignments__annotator=annotator)
        .exclude(comparison__in=[pk for pk, _, _ in rows])
        .values_list("response", flat=True)
    )
    fresh = [Candidate(pk, prompt) for pk, prompt, shown in rows if seen.isdisjoint(shown)]
    return _own_order(annotator, fresh)


def qualification_open(annotator: User, project: Project) -> list[Candidate]:
    """Qualification comparisons that the annotator has neither judged nor holds, in their own order."""
    had = Assignment.objects.filter(
        comparison=OuterRef("pk"), annotator=annotator, state__in=[State.ACTIVE, State.SUBMITTED]
    )
    rows = _known(project, Purpose.QUALIFICATION).filter(~Exists(had)).values_list("pk", "prompt")
    return _own_order(annotator, [Candidate(*row) for row in rows])


def qualification_asked(project: Project) -> QuerySet[Comparison]:
    """What has to be judged to qualify; what was retired is asked no more."""
    return _known(project, Purpose.QUALIFICATION)


def qualification_exists(project: Project) -> bool:
    return qualification_asked(project).exists()


def qualification_place(assignment: Assignment) -> tuple[int, int]:
    """(which of the qualification comparisons this one is for its annotator, how many are asked)."""
    asked = qualification_asked(assignment.comparison.project)
    before = Assignment.objects.filter(annotator=assignment.annotator_id, comparison__in=asked, pk__lte=assignment.pk)
    return before.count(), asked.count()


def feedback_for(judgement: Judgement) -> dict[str, Any] | None:
    """What the annotator may be told after judging a gold comparison; None if it is none, or nothing is to be told.

    {"score": share of the gold's pairs ordered as in the gold, "rankings": {dimension: {response id: rank}},
    "explanation": text}.
    """
    if judgement.gold_score is None or not judgement.comparison.project.gold_feedback:
        return None
    gold = Gold.objects.filter(comparison=judgement.comparison_id).first()
    if gold is None:
        return None
    return {"score": judgement.gold_score, "rankings": gold.rankings, "explanation": gold.explanation}


def _known(project: Project, purpose: Any) -> QuerySet[Comparison]:
    return Comparison.objects.filter(project=project, purpose=purpose, gold__isnull=False).order_by()


def _own_order(annotator: User, candidates: list[Candidate]) -> list[Candidate]:
    return sorted(candidates, key=lambda candidate: _secret(f"order:{annotator.pk}:{candidate.comparison}"))


def _secret(value: str) -> int:
    """A number from 0 to SCALE that nobody can foresee without the secret key, the same every time."""
    digest = salted_hmac("annotate.gold", value, algorithm="sha256").digest()
    return int.from_bytes(digest[:8], "big")
