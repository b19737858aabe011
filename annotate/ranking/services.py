"""What an annotator does with an assignment: save a draft, submit, skip, take back.

Nothing here loses work. A judgement is never overwritten; a late one is kept; a repeated one changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from annotate.gold.services import membership_lock, qualification_judge, score_for
from annotate.projects.models import Membership
from annotate.ranking.answer import Answer
from annotate.ranking.edits import edit_keep
from annotate.ranking.models import Assignment, Comparison, Judgement
from annotate.ranking.places import (
    comparison_lock,
    disagreement_keep,
    guidelines_shown,
    is_decided,
    is_full,
    is_worn,
    lease_end,
    lease_regain,
    leases_renew,
    seats_of,
    settle,
)
from annotate.ranking.rows import columns, fetch_all
from annotate.ranking.rules import answer_of, answer_read
from annotate.ranking.vocabulary import SKIP_REASONS

State = Assignment.State
Purpose = Comparison.Purpose
LONGEST_SITTING = 24 * 3600.0  # seconds


class Unsaid(Enum):
    """Stands for what a client did not say, where None says something."""

    UNSAID = "unsaid"


UNSAID = Unsaid.UNSAID


def draft_save(*, assignment: Assignment, draft: Mapping[str, Any]) -> Assignment:
    """Keep unfinished work, and the lease. Returns the assignment as it is now.

    `draft` has the fields of an answer, may be incomplete, and may carry `seconds_active`, `step`, `revises` (the id of
    the judgement it is to replace) and `at` (when it was written, in ms since 1970). A draft that arrives after the
    submission it led to is ignored.
    """
    answer = answer_read(assignment, draft, complete=False)
    content = answer.json() | {
        "seconds_active": _seconds(assignment, draft.get("seconds_active")),
        "step": str(draft.get("step") or "")[:40],
        "at": _moment(draft.get("at")),
    }
    project = assignment.comparison.project
    written = {"draft": content, "updated_at": timezone.now()}
    if Assignment.objects.filter(pk=assignment.pk, state=State.ACTIVE).update(**written):
        for name, value in (written | {"state": State.ACTIVE}).items():
            setattr(assignment, name, value)
        if is_worn(assignment, project):
            leases_renew(annotator=assignment.annotator, project=project)
            assignment.refresh_from_db(fields=["lease_expires_at"])
        return assignment
    with transaction.atomic():
        comparison_lock(assignment.comparison_id, assignment.annotator_id)
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
    guidelines: object = None,
    revises: object = UNSAID,
) -> Judgement:
    """Record what the assignment's annotator says, and return the judgement that was made of it.

    The same answer again returns the judgement that is there. A different one supersedes it, unless what it would
    change is settled: a reviewer decided, the known answer was shown, or the qualification is over. After the lease
    lapsed the answer is taken if a place is free, and otherwise kept beside the others (`outcome_of` says which).
    Somebody who is not in the project any more can hand in what they held; it is kept beside the others.

    guidelines: number of the version that was on the page; without one, or if the project has none of that number,
    the version of this moment is recorded. revises: id of the judgement that the page showed, None if it showed none;
    an answer that does not know of the judgement that counts is kept on record, and does not count.
    Raises ValidationError with field errors when the answer is incomplete or speaks of other responses.
    """
    given = {"rankings": rankings, "strengths": strengths, "ratings": ratings, "all_bad": all_bad, "flags": flags}
    answer = answer_read(assignment, given | {"rationale": rationale, "edit": edit})
    with transaction.atomic():
        membership = _qualifying_lock(assignment)
        comparison = comparison_lock(assignment.comparison_id, assignment.annotator_id)
        comparison.project = assignment.comparison.project
        seats = seats_of(comparison)
        mine = next((seat for seat in seats if seat.pk == assignment.pk), None)
        if mine is None:
            raise ValidationError(_("This comparison is not there any more."))
        mine.comparison, mine.annotator = assignment.comparison, assignment.annotator
        previous = judgement_latest(assignment)
        current = previous if previous is not None and previous.is_current else None
        if current is not None and answer_of(current) == answer:
            current.assignment = mine
            return current
        if comparison.works is None and mine.state not in (State.ACTIVE, State.RELEASED):
            raise ValidationError(_("You are not in this project any more."))
        if current is not None:
            if revises is not UNSAID and revises != current.pk:
                shown = guidelines_shown(comparison, guidelines)
                return _keep_stale(mine, answer, guidelines=shown, seconds=seconds_active, source=source)
            _require_changeable(comparison, current, membership)
            Judgement.objects.filter(pk=current.pk).update(is_current=False)
        elif previous is not None and previous.withdrawal_id is not None:
            raise ValidationError(_("Your work here was withdrawn, so this answer can no longer be changed."))
        judgement = Judgement.objects.create(
            comparison=comparison,
            annotator=mine.annotator,
            assignment=mine,
            **answer.json() | {"edit": edit_keep(mine, answer)},
            guidelines_id=guidelines_shown(comparison, guidelines),
            gold_score=score_for(comparison, answer.rankings),
            seconds_active=_seconds(mine, seconds_active),
            display_order=mine.display_order,
            supersedes=previous,
            source=source or mine.annotator.kind,
        )
        if mine.state != State.SUBMITTED:
            mine.slot = mine.slot if mine.state == State.ACTIVE and comparison.works is not None else None
            mine.state = State.SUBMITTED
        mine.draft, mine.lease_expires_at = {}, None
        mine.save(update_fields=["slot", "state", "draft", "lease_expires_at", "updated_at"])
        was_closed = comparison.is_closed
        seats = settle(comparison, seats)
        if was_closed:
            disagreement_keep(comparison)
        if membership is not None:
            qualification_judge(membership)
        judgement.assignment = next(seat for seat in seats if seat.pk == mine.pk)
        judgement.comparison = mine.comparison
        return judgement


def _keep_stale(
    mine: Assignment, answer: Answer, *, guidelines: int | None, seconds: float | None, source: str | None
) -> Judgement:
    """Put an answer on record that a newer one of the same person overtook. Sent again it is found, not made again."""
    comparison, annotator = mine.comparison, mine.annotator
    for earlier in Judgement.objects.filter(comparison=comparison, annotator=annotator, is_current=False):
        if answer_of(earlier) == answer:
            earlier.assignment, earlier.comparison = mine, comparison
            return earlier
    return Judgement.objects.create(
        comparison=comparison,
        annotator=annotator,
        assignment=mine,
        **answer.json() | {"edit": edit_keep(mine, answer)},
        guidelines_id=guidelines,
        seconds_active=_seconds(mine, seconds),
        display_order=mine.display_order,
        is_current=False,
        source=source or annotator.kind,
    )


def outcome_of(judgement: Judgement) -> str:
    """What became of a submission: accepted; revised (it replaces an earlier one); extra (it came too late); or stale
    (a newer answer of the same person was there, and still counts; this one is only on record).

    An answer to gold is never too late, for gold is given to everybody.
    """
    if not judgement.is_current:
        return "stale"
    seat = judgement.assignment
    if seat is not None and seat.slot is None and judgement.comparison.purpose == Purpose.WORK:
        return "extra"
    return "revised" if judgement.supersedes_id else "accepted"


def judgement_undo(*, assignment: Assignment) -> Assignment:
    """Take a submission back: it no longer counts, stays on record, and becomes the draft of a new one."""
    with transaction.atomic():
        membership = _qualifying_lock(assignment)
        comparison = comparison_lock(assignment.comparison_id)
        assignment = Assignment.objects.select_related("comparison__project", "annotator").get(pk=assignment.pk)
        comparison.project = assignment.comparison.project
        current = judgement_current(assignment)
        if assignment.state != State.SUBMITTED or current is None:
            raise ValidationError(_("There is no submission to take back."))
        _require_changeable(comparison, current, membership)
        # What was closed by hand before it was full stays closed.
        reopens = assignment.slot is not None and comparison.is_closed and is_full(comparison, seats_of(comparison))
        Judgement.objects.filter(pk=current.pk).update(is_current=False)
        assignment.draft = answer_of(current).json() | {"seconds_active": current.seconds_active}
        keeps_place = assignment.slot is not None or comparison.purpose != Purpose.WORK
        assignment.state = State.ACTIVE if keeps_place else State.RELEASED
        assignment.lease_expires_at = lease_end(assignment.comparison.project)
        assignment.save()
        if reopens:
            comparison.is_closed, comparison.disagreement = False, None
            comparison.save(update_fields=["is_closed", "disagreement"])
        elif comparison.is_closed:
            disagreement_keep(comparison)
        return assignment


def assignment_skip(*, assignment: Assignment, reason: str, note: str = "") -> Assignment:
    """Give a comparison back for good. Skipping what was submitted takes the submission back first."""
    if reason not in SKIP_REASONS:
        raise ValidationError({"reason": _("Say why: %(reasons)s.") % {"reasons": ", ".join(SKIP_REASONS)}})
    with transaction.atomic():
        _qualifying_lock(assignment)
        comparison = comparison_lock(assignment.comparison_id)
        if comparison.purpose == Purpose.QUALIFICATION:
            raise ValidationError(_("This one is part of the qualification and cannot be skipped."))
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
    if assignment.started_at is None:
        now = timezone.now()
        Assignment.objects.filter(pk=assignment.pk, started_at__isnull=True).update(started_at=now)
        assignment.started_at = now
    if assignment.state == State.RELEASED:
        lease_regain(assignment=assignment)
    elif assignment.state == State.ACTIVE and is_worn(assignment, assignment.comparison.project):
        leases_renew(annotator=assignment.annotator, project=assignment.comparison.project)
    return assignment


def judgement_current(assignment: Assignment) -> Judgement | None:
    """The judgement that counts, if any. Somebody who holds a lease has none: submitting ends it."""
    if assignment.state == State.ACTIVE:
        return None
    latest = judgement_latest(assignment)
    return latest if latest is not None and latest.is_current else None


LATEST = f"""
    SELECT {columns(Judgement, "j")} FROM annotate_judgement j
    WHERE j.comparison_id = %s AND j.annotator_id = %s
    ORDER BY j.is_current DESC, j.withdrawal_id IS NOT NULL DESC, j.id DESC LIMIT 1
"""  # noqa: S608


def judgement_latest(assignment: Assignment) -> Judgement | None:
    """The one that counts, else the one that was withdrawn, else the last one made."""
    found = fetch_all(LATEST, [assignment.comparison_id, assignment.annotator_id], Judgement)
    return found[0] if found else None


def _qualifying_lock(assignment: Assignment) -> Membership | None:
    """The locked membership if this is part of a qualification, so that two last answers do not miss each other."""
    comparison = assignment.comparison
    if comparison.purpose != Purpose.QUALIFICATION:
        return None
    return membership_lock(project=comparison.project_id, user=assignment.annotator_id)


def _require_changeable(comparison: Comparison, current: Judgement, membership: Membership | None) -> None:
    """Refuse to change what is settled. `comparison` and, if it is about qualification, `membership` are locked."""
    if why := settled_why(comparison, current, membership):
        raise ValidationError(why)


def settled_why(comparison: Comparison, current: Judgement, membership: Membership | None) -> str:
    """Why the current judgement cannot be changed any more, as a sentence; nothing if it can."""
    if is_decided(comparison):
        return _("This one has been decided by a reviewer, so your answer can no longer be changed.")
    if current.gold_score is None:
        return ""
    if comparison.project.gold_feedback:
        return _("You have been told how you did on this one, so your answer can no longer be changed.")
    if membership is not None and membership.qualification != Membership.Qualification.OPEN:
        return _("Your qualification is over, so your answer can no longer be changed.")
    return ""


def _moment(value: object) -> int:
    """When a draft was written, in ms since 1970: the browser's word, but not in the future. Without it, now."""
    now = int(timezone.now().timestamp() * 1000)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= now:
        return now
    return int(value)


def _seconds(assignment: Assignment, value: object) -> float | None:
    """Time on task is the browser's word; it cannot be negative, nor longer than the assignment exists."""
    if not isinstance(value, int | float) or isinstance(value, bool) or value != value or value < 0:
        return None
    exists = (timezone.now() - assignment.created_at).total_seconds()
    return round(min(float(value), exists, LONGEST_SITTING), 1)
