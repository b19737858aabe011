"""What an annotator does with an assignment: save a draft, submit, skip, take back.

Nothing here loses work. A judgement is never overwritten; a late one is kept; a repeated one changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from annotate.ranking.edits import edit_keep
from annotate.ranking.engine import comparison_lock, lease_regain, leases_renew, settle
from annotate.ranking.models import Assignment, Judgement
from annotate.ranking.rules import answer_of, answer_read
from annotate.ranking.vocabulary import SKIP_REASONS

State = Assignment.State
LONGEST_SITTING = 24 * 3600.0  # seconds


def draft_save(*, assignment: Assignment, draft: Mapping[str, Any]) -> Assignment:
    """Keep unfinished work and extend the lease. Returns the assignment as it is now.

    `draft` has the fields of an answer, may be incomplete, and may carry `seconds_active`, `step` and `revises` (the
    id of the judgement it is to replace). A draft that arrives after the submission it led to is ignored.
    """
    answer = answer_read(assignment, draft, complete=False)
    content = answer.json() | {
        "seconds_active": _seconds(assignment, draft.get("seconds_active")),
        "step": str(draft.get("step") or "")[:40],
    }
    mine = Assignment.objects.filter(pk=assignment.pk, state=State.ACTIVE)
    if mine.update(draft=content, updated_at=timezone.now()):
        leases_renew(annotator=assignment.annotator, project=assignment.comparison.project)
        assignment.refresh_from_db()
        return assignment
    with transaction.atomic():
        comparison_lock(assignment.comparison_id)
        assignment.refresh_from_db()
        current = judgement_current(assignment)
        if current is None or draft.get("revises") == current.pk:
            assignment.draft = content | ({} if current is None else {"revises": current.pk})
            assignment.save(update_fields=["draft", "updated_at"])
    if assignment.state == State.RELEASED:
        lease_regain(assignment=assignment)
    return assignment


def judgement_submit(
    *,
    assignment: Assignment,
    rankings: Mapping[str, Mapping[Any, int]] | None,
    strengths: Mapping[str, Mapping[Any, int]] | None = None,
    ratings: Mapping[str, Mapping[Any, int]] | None = None,
    all_bad: Sequence[str] | None = None,
    flags: Sequence[Any] | None = None,
    rationale: str | None = None,
    edit: Mapping[str, Any] | None = None,
    seconds_active: float | None = None,
    source: str | None = None,
) -> Judgement:
    """Record what the assignment's annotator says, and return the judgement that counts.

    The same answer again returns the judgement that is there. A different one supersedes it. After the lease lapsed the
    answer is taken if a place is free, and otherwise kept beside the others: then `judgement.assignment.slot` is None.
    Raises ValidationError with field errors when the answer is incomplete or speaks of other responses.
    """
    given = {"rankings": rankings, "strengths": strengths, "ratings": ratings, "all_bad": all_bad, "flags": flags}
    answer = answer_read(assignment, given | {"rationale": rationale, "edit": edit})
    with transaction.atomic():
        comparison = comparison_lock(assignment.comparison_id)
        assignment = Assignment.objects.select_related("annotator").get(pk=assignment.pk)
        current = judgement_current(assignment)
        if current is not None and answer_of(current) == answer:
            return current
        previous = current or judgement_latest(assignment)
        if current is not None:
            Judgement.objects.filter(pk=current.pk).update(is_current=False)
        judgement = Judgement.objects.create(
            comparison=comparison,
            annotator=assignment.annotator,
            assignment=assignment,
            **answer.json() | {"edit": edit_keep(assignment, answer)},
            seconds_active=_seconds(assignment, seconds_active),
            display_order=assignment.display_order,
            supersedes=previous,
            source=source or assignment.annotator.kind,
        )
        if assignment.state != State.SUBMITTED:
            assignment.slot = assignment.slot if assignment.state == State.ACTIVE else None
            assignment.state = State.SUBMITTED
        assignment.draft, assignment.lease_expires_at = {}, None
        assignment.save()
        settle(comparison)
        assignment.refresh_from_db(fields=["slot"])
        return judgement


def judgement_undo(*, assignment: Assignment) -> Assignment:
    """Take a submission back: it no longer counts, stays on record, and becomes the draft of a new one."""
    with transaction.atomic():
        comparison = comparison_lock(assignment.comparison_id)
        assignment = Assignment.objects.get(pk=assignment.pk)
        current = judgement_current(assignment)
        if assignment.state != State.SUBMITTED or current is None:
            raise ValidationError("There is no submission to take back.")
        Judgement.objects.filter(pk=current.pk).update(is_current=False)
        assignment.draft = answer_of(current).json() | {"seconds_active": current.seconds_active}
        assignment.state = State.ACTIVE if assignment.slot is not None else State.RELEASED
        assignment.lease_expires_at = timezone.now() + timedelta(minutes=comparison.project.lease_minutes)
        assignment.save()
        if assignment.slot is not None and comparison.is_closed:
            comparison.is_closed = False
            comparison.save(update_fields=["is_closed"])
        return assignment


def assignment_skip(*, assignment: Assignment, reason: str, note: str = "") -> Assignment:
    """Give a comparison back for good. Skipping what was submitted takes the submission back first."""
    if reason not in SKIP_REASONS:
        raise ValidationError({"reason": f"Say why: {', '.join(SKIP_REASONS)}."})
    with transaction.atomic():
        comparison = comparison_lock(assignment.comparison_id)
        assignment = Assignment.objects.get(pk=assignment.pk)
        if assignment.state == State.SUBMITTED:
            assignment = judgement_undo(assignment=assignment)
            comparison.refresh_from_db()
        assignment.state, assignment.slot, assignment.lease_expires_at = State.SKIPPED, None, None
        assignment.skip_reason = f"{reason}: {note.strip()}"[:300] if note.strip() else reason
        assignment.save()
        settle(comparison)
        return assignment


def assignment_start(*, assignment: Assignment) -> Assignment:
    """The annotator sees it now; until then it was only fetched ahead. A lapsed lease is taken up again if possible."""
    now = timezone.now()
    Assignment.objects.filter(pk=assignment.pk, started_at__isnull=True).update(started_at=now)
    if assignment.state == State.RELEASED:
        lease_regain(assignment=assignment)
    elif assignment.state == State.ACTIVE:
        leases_renew(annotator=assignment.annotator, project=assignment.comparison.project)
    return assignment


def judgement_current(assignment: Assignment) -> Judgement | None:
    """The judgement that counts, if any."""
    return Judgement.objects.filter(
        comparison_id=assignment.comparison_id, annotator_id=assignment.annotator_id, is_current=True
    ).first()


def judgement_latest(assignment: Assignment) -> Judgement | None:
    """The last one made, whether it counts or was taken back."""
    return (
        Judgement.objects.filter(comparison_id=assignment.comparison_id, annotator_id=assignment.annotator_id)
        .order_by("-id")
        .first()
    )


def _seconds(assignment: Assignment, value: object) -> float | None:
    """Time on task is the browser's word; it cannot be negative, nor longer than the assignment exists."""
    if not isinstance(value, int | float) or isinstance(value, bool) or value != value or value < 0:
        return None
    exists = (timezone.now() - assignment.created_at).total_seconds()
    return round(min(float(value), exists, LONGEST_SITTING), 1)
