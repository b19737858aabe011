"""A reviewer's decision on a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from accounts.audit import audit_record
from accounts.models import User
from annotate.ranking.answer import Answer, AnswerError, Rules
from annotate.ranking.models import Comparison, Judgement
from annotate.ranking.places import comparison_lock
from annotate.review.models import Adjudication
from annotate.review.selectors import has_judged, may_review

ANY: Any = object()  # revise whatever decision is there


@transaction.atomic
def adjudicate(
    *,
    comparison: Comparison,
    reviewer: User,
    rankings: Mapping[str, Mapping[Any, int]] | None,
    all_bad: Sequence[str] | None = None,
    rationale: str | None = "",
    revises: int | None = ANY,
) -> Adjudication:
    """Decide a comparison. The judgements stay as they are; the decision stands beside them and can be revised.

    rankings: {dimension: {response id: rank}}, as in a judgement. revises: the id of the decision that the reviewer
    saw, None if there was none; if there is another by now, ValidationError. The same one again changes nothing.
    Raises ValidationError with field errors, PermissionDenied for somebody who may not review here.
    """
    if not may_review(reviewer, comparison.project):
        raise PermissionDenied
    responses = comparison.members.values_list("response_id", flat=True)
    rules = Rules(task="ranking", dimensions={d.key: d.label for d in comparison.project.dimensions.all()})
    given = {"rankings": rankings, "all_bad": all_bad, "rationale": rationale}
    try:
        answer = Answer.read(given, rules=rules, responses=responses)
    except AnswerError as error:
        raise ValidationError(error.complaints) from None
    locked = comparison_lock(comparison.pk)
    _check(locked, reviewer)
    previous = Adjudication.objects.filter(comparison=locked, is_current=True).first()
    said = {"rankings": answer.rankings, "all_bad": answer.all_bad, "rationale": answer.rationale}
    if previous and previous.reviewer_id == reviewer.pk and all(getattr(previous, k) == v for k, v in said.items()):
        return previous
    if revises is not ANY and revises != (previous.pk if previous else None):
        raise ValidationError(
            _("Somebody has decided this meanwhile. Look at that decision, then revise it if need be.")
        )
    if previous:
        Adjudication.objects.filter(pk=previous.pk).update(is_current=False)
    decision = Adjudication.objects.create(comparison=locked, reviewer=reviewer, supersedes=previous, **said)
    audit_record(
        actor=reviewer,
        action="adjudication.revised" if previous else "adjudication.made",
        subject=locked,
        scope=f"project:{locked.project_id}",
        comparison=locked.pk,
        decision=decision.pk,
        judgements=locked.judgements.filter(is_current=True).count(),
    )
    return decision


def decision_from(judgement: Judgement) -> dict[str, Any]:
    """What a judgement says, as arguments of `adjudicate`: to take it as it is."""
    return {"rankings": judgement.rankings, "all_bad": judgement.all_bad}


def _check(comparison: Comparison, reviewer: User) -> None:
    if comparison.purpose != Comparison.Purpose.WORK:
        raise ValidationError(_("The answer to this comparison is known already."))
    if not comparison.is_closed:
        raise ValidationError(_("This comparison still waits for judgements. Decide once it has them."))
    if not reviewer.is_staff and has_judged(reviewer, comparison):
        raise ValidationError(_("You judged this comparison yourself, so another reviewer decides it."))
