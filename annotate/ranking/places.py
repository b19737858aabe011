"""The places of a comparison: who sits on them, when they are returned, and when the comparison is done.

A comparison has `overlap` places. An assignment that is active or submitted sits on one, and a partial unique
constraint keeps two from sitting on the same, so a comparison cannot get more than its overlap whatever races with
whatever. An imported judgement has no assignment and takes one of the places away. Gold is different: everybody is
given it, so its assignments need no place and it is never open.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from annotate.projects.models import Guidelines, Membership, Project
from annotate.quality.agreement import disagreement
from annotate.ranking.models import Assignment, Comparison, Judgement
from annotate.ranking.rows import columns, fetch_all
from annotate.review.models import Adjudication

State = Assignment.State
Purpose = Comparison.Purpose

# A lease is written anew only when a tenth of it is used up: an annotator at work would otherwise cost a write a click.
WORN = 0.1


# A judgement that fills a place: one whose author sits on it, or an imported one. Late ones, kept as extras, do not.
def _fills(path: str = "") -> Q:
    seated = Q(**{f"{path}assignment": None}) | Q(**{f"{path}assignment__slot__isnull": False})
    return Q(**{f"{path}is_current": True}) & seated


FILLS = _fills()
FILLED = Count("judgements", filter=_fills("judgements__"))  # of a comparison

# How many places imported judgements take of comparison `c`.
IMPORTED = """(
    SELECT count(*) FROM annotate_judgement i
    WHERE i.comparison_id = c.id AND i.is_current AND i.assignment_id IS NULL
)"""

LOCK = f"""
    SELECT c.*, {IMPORTED} AS imported, (
        SELECT g.id FROM annotate_guidelines g WHERE g.project_id = c.project_id ORDER BY g.number DESC LIMIT 1
    ) AS guidelines_now, (
        SELECT m.is_active FROM annotate_membership m WHERE m.project_id = c.project_id AND m.user_id = %(annotator)s
    ) AS works
    FROM annotate_comparison c WHERE c.id = %(comparison)s FOR NO KEY UPDATE OF c
"""  # noqa: S608


SEATS = f"""
    SELECT {columns(Assignment, "a")} FROM annotate_assignment a WHERE a.comparison_id = %s ORDER BY a.updated_at, a.id
"""  # noqa: S608


def comparison_lock(comparison_id: int, annotator_id: int | None = None) -> Comparison:
    """Lock a comparison. It also knows, as `guidelines_now`, the version of its project's guidelines, and, as `works`,
    whether the annotator is in the project: True, False while paused there, None if not at all.

    Raises ValidationError if it has been deleted meanwhile.
    """
    for comparison in Comparison.objects.raw(LOCK, {"comparison": comparison_id, "annotator": annotator_id}):
        return comparison
    raise ValidationError(_("This comparison is not there any more."))


def guidelines_shown(comparison: Comparison, number: object) -> int | None:
    """Id of the version of that number of the project's guidelines; the version of now, if there is none such."""
    if isinstance(number, int) and not isinstance(number, bool) and 0 < number < 2**31:
        found = Guidelines.objects.filter(project=comparison.project_id, number=number).values_list("pk", flat=True)
        if (pk := found.first()) is not None:
            return pk
    return comparison.guidelines_now


def is_decided(comparison: Comparison) -> bool:
    """Whether a reviewer has decided a locked comparison. Asked before locking, it could miss a decision just made."""
    return Adjudication.objects.filter(comparison=comparison, is_current=True).exists()


def seats_of(comparison: Comparison) -> list[Assignment]:
    """All assignments of a comparison; those that changed last come last."""
    return fetch_all(SEATS, [comparison.pk], Assignment)


def settle(comparison: Comparison, seats: list[Assignment] | None = None) -> list[Assignment]:
    """Bring the places of a locked comparison up to date; returns its assignments as they are then.

    Lapsed leases are returned; a late judgement that found no place takes one that has become free; and the comparison
    is closed when it has as many judgements as it needs. How contested a closed one is, is kept with it. What was
    closed by hand needs nobody, so nobody sits down there.
    """
    seats = _return_lapsed(comparison, seats_of(comparison) if seats is None else seats)
    if comparison.purpose != Purpose.WORK or comparison.is_closed:
        return seats
    for late in seats:
        if late.state == State.SUBMITTED and late.slot is None and _counts(comparison, late):
            slot = free_slot(comparison, seats)
            if slot is None:
                break
            late.slot = slot
            Assignment.objects.filter(pk=late.pk).update(slot=slot)
    if is_full(comparison, seats):
        comparison.is_closed = True
        several = sum(seat.state == State.SUBMITTED for seat in seats) + imported(comparison) > 1
        comparison.disagreement = disagreement_of(comparison) if several else None
        comparison.save(update_fields=["is_closed", "disagreement"])
    return seats


def _counts(comparison: Comparison, seat: Assignment) -> bool:
    """Whether its judgement may take a place: not if it was withdrawn, nor while its author is not in the project."""
    works = Membership.objects.filter(project=comparison.project_id, user=OuterRef("annotator"), is_active=True)
    mine = Judgement.objects.filter(Exists(works), comparison=comparison.pk, annotator=seat.annotator_id)
    return mine.filter(is_current=True).exists()


def imported(comparison: Comparison) -> int:
    """How many of its places imported judgements take."""
    if not hasattr(comparison, "imported"):
        comparison.imported = imported_of([comparison.pk]).get(comparison.pk, 0)
    return comparison.imported


def imported_of(comparisons: Iterable[int]) -> dict[int, int]:
    """{id: how many places imported judgements take} of those comparisons that have any."""
    rows = Judgement.objects.filter(comparison__in=list(comparisons), assignment=None, is_current=True).order_by()
    return dict(rows.values_list("comparison").annotate(Count("pk")))


def is_full(comparison: Comparison, seats: Iterable[Assignment]) -> bool:
    """Whether it has as many judgements as it needs, counted as in FILLED."""
    seated = sum(seat.state == State.SUBMITTED and seat.slot is not None for seat in seats)
    return seated + imported(comparison) >= comparison.overlap


def filled_of(comparisons: Iterable[int]) -> dict[int, int]:
    """{id: how many judgements fill a place} of those comparisons that have any."""
    rows = Judgement.objects.filter(FILLS, comparison__in=list(comparisons)).order_by()
    return dict(rows.values_list("comparison").annotate(Count("pk")))


def _return_lapsed(comparison: Comparison, seats: list[Assignment]) -> list[Assignment]:
    now = timezone.now()
    lapsed = [s for s in seats if s.state == State.ACTIVE and s.lease_expires_at and s.lease_expires_at <= now]
    if not lapsed:
        return seats
    # The lease may be renewed at this moment, which needs no lock on the comparison: whoever writes first is right.
    Assignment.objects.filter(pk__in=[s.pk for s in lapsed], state=State.ACTIVE, lease_expires_at__lte=now).update(
        state=State.RELEASED, slot=None, updated_at=now
    )
    return seats_of(comparison)


def free_slot(comparison: Comparison, seats: list[Assignment]) -> int | None:
    """The lowest free place of a locked comparison that has been settled."""
    taken = {seat.slot for seat in seats if seat.state in (State.ACTIVE, State.SUBMITTED)}
    return next((slot for slot in range(comparison.overlap - imported(comparison)) if slot not in taken), None)


def disagreements_of(comparisons: Iterable[int]) -> dict[int, float | None]:
    """{id: share of contested pairs among the judgements that count}, None with fewer than two. One query."""
    given: dict[int, list[Any]] = {pk: [] for pk in comparisons}
    rows = Judgement.objects.filter(comparison__in=list(given), is_current=True).order_by("pk")
    for pk, rankings, all_bad in rows.values_list("comparison", "rankings", "all_bad"):
        given[pk].append((rankings, all_bad))
    return {pk: disagreement(judgements) for pk, judgements in given.items()}


def disagreement_of(comparison: Comparison) -> float | None:
    """Share of contested pairs among the judgements of one comparison that count; None with fewer than two."""
    return disagreements_of([comparison.pk])[comparison.pk]


def disagreement_keep(comparison: Comparison) -> None:
    """Measure a closed comparison anew after one of its judgements changed."""
    measured = disagreement_of(comparison) if comparison.is_closed and comparison.purpose == Purpose.WORK else None
    if measured != comparison.disagreement:
        comparison.disagreement = measured
        comparison.save(update_fields=["disagreement"])


# leases ---------------------------------------------------------------------------------------------------------------


def held(annotator: User, project: Project) -> QuerySet[Assignment]:
    """Leases the annotator holds: first what is on screen, then what was fetched ahead."""
    return (
        Assignment.objects.filter(annotator=annotator, comparison__project=project, state=State.ACTIVE)
        .filter(Q(comparison__is_closed=False) | ~Q(comparison__purpose=Purpose.WORK))
        .order_by(F("started_at").asc(nulls_last=True), "id")
    )


def lease_end(project: Project) -> datetime:
    """When a lease that begins now lapses."""
    return timezone.now() + timedelta(minutes=project.lease_minutes)


def is_worn(assignment: Assignment, project: Project) -> bool:
    """Whether so much of the lease is used up that it is worth renewing."""
    fresh = lease_end(project) - timedelta(minutes=WORN * project.lease_minutes)
    return assignment.lease_expires_at is None or assignment.lease_expires_at < fresh


def lease_renew(assignment: Assignment, project: Project) -> bool:
    """Extend a lease that is still held. Only one of this and `settle` can change the row first; the other sees it."""
    if not is_worn(assignment, project):
        return True
    end = lease_end(project)
    renewed = Assignment.objects.filter(pk=assignment.pk, state=State.ACTIVE).update(lease_expires_at=end)
    if renewed:
        assignment.lease_expires_at = end
    return renewed == 1


def leases_renew(*, annotator: User, project: Project) -> None:
    """Somebody at work keeps what they hold: what is on screen, and what was fetched ahead. Not who is not at work:
    paused in the project, or not in it any more."""
    worn = lease_end(project) - timedelta(minutes=WORN * project.lease_minutes)
    works = Membership.objects.filter(project=project, user=annotator, is_active=True)
    rows = held(annotator, project).order_by().filter(Exists(works), lease_expires_at__lt=worn)
    rows.update(lease_expires_at=lease_end(project))


def lease_regain(*, assignment: Assignment) -> bool:
    """Take a lapsed lease up again if its comparison still has a place; True if the annotator holds it now.

    Nobody does who is paused in the project or not in it any more.
    """
    with transaction.atomic():
        comparison = comparison_lock(assignment.comparison_id, assignment.annotator_id)
        assignment.refresh_from_db()
        if assignment.state == State.RELEASED and comparison.works and _has_room(comparison, assignment):
            assignment.state = State.ACTIVE
            assignment.lease_expires_at = lease_end(comparison.project)
            assignment.save(update_fields=["slot", "state", "lease_expires_at", "updated_at"])
        return assignment.state == State.ACTIVE


def _has_room(comparison: Comparison, assignment: Assignment) -> bool:
    """Whether a released assignment of a locked comparison may sit down again; sets its slot."""
    seats = settle(comparison)
    if comparison.purpose != Purpose.WORK:
        assignment.slot = None
        return hasattr(comparison, "gold")  # without its known answer it is handed out no more
    assignment.slot = None if comparison.is_closed else free_slot(comparison, seats)
    return assignment.slot is not None


def leases_expire(*, limit: int = 1000) -> int:
    """Return lapsed leases; how many comparisons were looked at. Handing out does the same as it goes."""
    lapsed = Assignment.objects.filter(state=State.ACTIVE, lease_expires_at__lte=timezone.now())
    comparisons = sorted(set(lapsed.values_list("comparison_id", flat=True)[:limit]))
    for comparison_id in comparisons:
        with transaction.atomic():
            locked = Comparison.objects.select_for_update(no_key=True, skip_locked=True).filter(pk=comparison_id)
            if comparison := locked.first():
                settle(comparison)
    return len(comparisons)
