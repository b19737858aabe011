"""Gold on the stage: comparisons whose right answer is the order in which their texts were written."""

from __future__ import annotations

from annotate.gold.services import gold_set
from annotate.ranking.models import Assignment, Comparison, Judgement
from annotate.ranking.services import judgement_submit
from tests.annotate.ranking.desk import make_comparison


def known_order(comparison: Comparison) -> dict[str, dict[str, int]]:
    responses = comparison.members.order_by("position").values_list("response_id", flat=True)
    row = {str(pk): rank for rank, pk in enumerate(responses, start=1)}
    return {"helpfulness": row, "harmlessness": dict(row)}


def make_gold(project, question: str, *, purpose: str = "gold", **fields: object) -> Comparison:
    comparison = make_comparison(project, question, **fields)
    gold_set(comparison=comparison, rankings=known_order(comparison), purpose=purpose, user=None)
    comparison.refresh_from_db()
    return comparison


def answer_right(assignment: Assignment) -> Judgement:
    return judgement_submit(assignment=assignment, rankings=known_order(assignment.comparison))


def answer_wrong(assignment: Assignment) -> Judgement:
    """The other way round: not one pair is right."""
    right = known_order(assignment.comparison)
    turned = {key: {pk: len(row) + 1 - rank for pk, rank in row.items()} for key, row in right.items()}
    return judgement_submit(assignment=assignment, rankings=turned)
