"""Comparisons with a known answer: made, copied, retired; and what annotators' answers to them decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from accounts.audit import audit_record
from accounts.models import User
from annotate.gold.models import Gold
from annotate.gold.scoring import Rankings, gold_score, reference_read
from annotate.projects.models import Membership, Project
from annotate.ranking.models import Assignment, Comparison, ComparisonResponse, Judgement
from annotate.ranking.rows import columns, fetch_joined
from annotate.review.models import Adjudication

Purpose = Comparison.Purpose
Qualification = Membership.Qualification


@transaction.atomic
def gold_set(
    *, comparison: Comparison, rankings: object, purpose: str, explanation: str = "", user: User | None
) -> Gold:
    """Give a comparison a known answer, or another one; what annotators said to it is scored anew, and those whom such
    scores let pass or fail their qualification are judged anew.

    A comparison that has judgements as work cannot become gold, since they count: copy it instead (`gold_copy`).
    Leases on it as work are given back. Raises ValidationError with sentences.
    """
    if purpose not in (Purpose.GOLD, Purpose.QUALIFICATION):
        raise ValidationError({"purpose": "Choose hidden gold or qualification."})
    people = _people_lock(comparison, purpose)
    comparison = _lock(comparison)
    if comparison.purpose == Purpose.WORK and comparison.judgements.exists():
        raise ValidationError("This comparison has judgements that count. Make a gold copy of it instead.")
    known = _reference(comparison, rankings)
    if comparison.purpose == Purpose.WORK:
        _give_back(comparison)
    comparison.purpose, comparison.is_closed, comparison.disagreement = purpose, True, None
    comparison.save(update_fields=["purpose", "is_closed", "disagreement"])
    gold, made = Gold.objects.update_or_create(
        comparison=comparison,
        defaults={"rankings": known, "explanation": explanation.strip()},
        create_defaults={"rankings": known, "explanation": explanation.strip(), "created_by": user},
    )
    if not made:
        _rescore(comparison, known)
    _requalify(people, comparison, user)
    _note(user, "gold.set" if made else "gold.changed", comparison, purpose=purpose)
    return gold


@transaction.atomic
def gold_copy(
    *,
    comparison: Comparison,
    purpose: str,
    rankings: object | None = None,
    explanation: str | None = None,
    user: User | None,
) -> Gold:
    """Gold made of a comparison that has been judged: a copy, so that its judgements go on counting.

    Without `rankings` and `explanation` they are those of the reviewer who decided it. A second call changes the copy.
    """
    if rankings is None:
        decided = Adjudication.objects.filter(comparison=comparison, is_current=True).first()
        if decided is None:
            raise ValidationError("Nobody has decided this comparison yet, so say what the right answer is.")
        rankings = decided.rankings
        explanation = decided.rationale if explanation is None else explanation
    copy, made = Comparison.objects.get_or_create(
        project_id=comparison.project_id,
        dedup_key=f"gold:{comparison.pk}",
        defaults={
            "prompt_id": comparison.prompt_id,
            "round": comparison.round,
            "purpose": Purpose.GOLD,
            "is_closed": True,
        },
    )
    if made:
        members = comparison.members.values_list("response_id", "position")
        ComparisonResponse.objects.bulk_create(
            ComparisonResponse(comparison=copy, response_id=response, position=position)
            for response, position in members
        )
    return gold_set(comparison=copy, rankings=rankings, purpose=purpose, explanation=explanation or "", user=user)


@transaction.atomic
def gold_remove(*, comparison: Comparison, user: User | None) -> None:
    """Hand a gold comparison out no more.

    Nobody judged it: it is work again, or, if it was a copy, gone, unless somebody has it on the desk. Somebody did: it
    stays on record, out of datasets, without a known answer and without scores, since a known answer is mostly removed
    because it was wrong; those whom such scores let pass or fail their qualification are judged anew.
    """
    people = _people_lock(comparison)
    comparison = _lock(comparison)
    if comparison.purpose == Purpose.WORK:
        raise ValidationError("This comparison is not gold.")
    _note(user, "gold.removed", comparison, purpose=comparison.purpose)
    Gold.objects.filter(comparison=comparison).delete()
    _give_back(comparison)
    if comparison.judgements.exists():
        comparison.judgements.update(gold_score=None)
        _requalify(people, comparison, user)
    elif (comparison.dedup_key or "").startswith("gold:"):
        # What somebody is ranking, or was, keeps their draft and takes their answer. As work it would be there twice.
        if not comparison.assignments.exists():
            comparison.delete()
    else:
        comparison.purpose, comparison.is_closed = Purpose.WORK, False
        comparison.save(update_fields=["purpose", "is_closed"])


def _lock(comparison: Comparison) -> Comparison:
    rows = Comparison.objects.select_for_update(of=("self",), no_key=True).select_related("project")
    locked = rows.filter(pk=comparison.pk).first()
    if locked is None:
        raise ValidationError("This comparison is not there any more.")
    return locked


def _reference(comparison: Comparison, rankings: object) -> dict[str, dict[str, int]]:
    dimensions = {d.key: d.label for d in comparison.project.dimensions.all()}
    responses = comparison.members.values_list("response_id", flat=True)
    try:
        only_best = _only_best(comparison.project)
        return reference_read(rankings, dimensions=dimensions, responses=responses, only_best=only_best)
    except ValueError as error:
        raise ValidationError({"rankings": str(error)}) from None


def _give_back(comparison: Comparison) -> None:
    comparison.assignments.filter(state=Assignment.State.ACTIVE).update(
        state=Assignment.State.RELEASED, slot=None, updated_at=timezone.now()
    )


def _rescore(comparison: Comparison, known: Rankings) -> None:
    judgements = list(comparison.judgements.all())
    for judgement in judgements:
        judgement.gold_score = gold_score(judgement.rankings, known, only_best=_only_best(comparison.project))
    Judgement.objects.bulk_update(judgements, ["gold_score"], batch_size=500)


def _only_best(project: Project) -> bool:
    return project.task == Project.Task.BEST


def _note(user: User | None, action: str, comparison: Comparison, **details: Any) -> None:
    audit_record(actor=user, action=action, subject=comparison, scope=f"project:{comparison.project_id}", **details)


# qualification --------------------------------------------------------------------------------------------------------


MEMBERSHIP = f"""
    SELECT {columns(Membership, "m")}, {columns(Project, "p")}
    FROM annotate_membership m JOIN annotate_project p ON p.id = m.project_id
    WHERE m.project_id = %s AND m.user_id = %s FOR NO KEY UPDATE OF m
"""  # noqa: S608


def membership_lock(*, project: int, user: int) -> Membership | None:
    """Make the tabs of one person take turns. Taken before any comparison is locked."""
    found = fetch_joined(MEMBERSHIP, [project, user], Membership, Project)
    if found is None:
        return None
    membership, membership.project = found
    return membership


def qualification_judge(membership: Membership) -> Membership:
    """Decide about a locked membership once all qualification comparisons are judged: passed or failed.

    The score is the mean of the scores of its judgements, each the share of gold pairs ordered as in the gold.
    """
    if membership.qualification != Qualification.OPEN:
        return membership
    asked = Comparison.objects.filter(
        project=membership.project_id, purpose=Purpose.QUALIFICATION, gold__isnull=False
    ).count()
    scores = _scores(membership)
    return membership if not asked or len(scores) < asked else _decide_by(scores, membership)


def _scores(membership: Membership) -> list[float]:
    """What the person has on the qualification comparisons that have a known answer now."""
    rows = Judgement.objects.filter(
        annotator=membership.user_id,
        comparison__project=membership.project_id,
        comparison__purpose=Purpose.QUALIFICATION,
        comparison__gold__isnull=False,
        is_current=True,
    )
    return [score for score in rows.values_list("gold_score", flat=True) if score is not None]


def _decide_by(scores: Sequence[float], membership: Membership) -> Membership:
    mean = sum(scores) / len(scores)
    passed = mean >= membership.project.qualification_threshold - 1e-9  # 0.7 is reached by 7 of 10, whatever floats say
    return _decide(membership, Qualification.PASSED if passed else Qualification.FAILED, score=mean)


def _people_lock(comparison: Comparison, purpose: str = "") -> list[Membership]:
    """Lock those who may have to be judged anew: before the comparison is, as everybody who locks both does."""
    if Purpose.QUALIFICATION not in (comparison.purpose, purpose):
        return []
    rows = Membership.objects.select_for_update(of=("self",), no_key=True).select_related("project", "user")
    return list(rows.filter(project=comparison.project_id).order_by("pk"))


def _requalify(people: Sequence[Membership], comparison: Comparison, by: User | None) -> None:
    """Judge those of the locked `people` anew who answered the comparison and whom scores have decided, by what they
    have now. What an admin decided stays, and so does who passed, once there is nothing left to judge them by.
    """
    answered = set(comparison.judgements.filter(is_current=True).values_list("annotator", flat=True))
    for membership in people:
        before = membership.qualification
        if membership.user_id not in answered:
            continue
        if before == Qualification.OPEN:
            qualification_judge(membership)
        elif membership.qualification_score is None:
            continue
        elif scores := _scores(membership):
            _decide_by(scores, membership)
        elif before == Qualification.FAILED:
            _decide(membership, Qualification.OPEN, score=None)
        if membership.qualification != before:
            audit_record(
                actor=by,
                action="membership.requalified",
                subject=membership.user,
                scope=f"project:{membership.project_id}",
                before=before,
                after=str(membership.qualification),
                comparison=comparison.pk,
            )


@transaction.atomic
def membership_qualify(*, membership: Membership, passed: bool | None, by: User | None) -> Membership:
    """An admin's word on a qualification, whatever the scores; None: leave it open and let the scores decide.

    It takes the place of the score, so that another known answer changes nothing about it; the audit trail has both.
    """
    locked = membership_lock(project=membership.project_id, user=membership.user_id)
    if locked is None:
        raise ValidationError("This person is not in the project any more.")
    state = {True: Qualification.PASSED, False: Qualification.FAILED, None: Qualification.OPEN}[passed]
    audit_record(
        actor=by,
        action="membership.qualified",
        subject=locked,
        scope=f"project:{locked.project_id}",
        before=locked.qualification,
        after=state.value,
        **({} if locked.qualification_score is None else {"score": locked.qualification_score}),
    )
    return _decide(locked, state, score=None)


def _decide(membership: Membership, state: str, *, score: float | None) -> Membership:
    membership.qualification, membership.qualification_score = state, score
    membership.qualified_at = timezone.now() if state == Qualification.PASSED else None
    membership.save(update_fields=["qualification", "qualification_score", "qualified_at"])
    return membership


def score_for(comparison: Comparison, rankings: Mapping[str, Mapping[str, int]]) -> float | None:
    """The score of an answer to a gold comparison; None for any other."""
    if comparison.purpose == Purpose.WORK:
        return None
    gold = Gold.objects.filter(comparison=comparison).first()
    return None if gold is None else gold_score(rankings, gold.rankings, only_best=_only_best(comparison.project))
