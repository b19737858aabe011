"""Who ranks what next. PostgreSQL arbitrates: row locks, two unique constraints, no counters.

A comparison has `overlap` slots. An assignment that is active or submitted sits on one, and a partial unique constraint
keeps two from sitting on the same, so a comparison cannot get more than its overlap whatever races with whatever.

Locks are taken in one order, so that nothing deadlocks: the annotator's membership (only to hand out: it makes the two
tabs of one person take turns), then one comparison, then assignments of that comparison. All of them leave foreign keys
alone (FOR NO KEY UPDATE), and nobody waits for a comparison while holding another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from accounts.models import User
from annotate.projects.models import Membership, Project
from annotate.ranking.models import Assignment, Comparison

State = Assignment.State

# A try fails only when somebody else took the place between our snapshot and our lock, so the others advance each time.
TRIES = 100


# handing out ----------------------------------------------------------------------------------------------------------


def assignment_next(*, annotator: User, project: Project) -> Assignment | None:
    """What this annotator should rank now: what they already hold, else a new lease; None when nothing is left."""
    return _hand_out(annotator, project, after=None)


def assignment_ahead(*, assignment: Assignment) -> Assignment | None:
    """The one after `assignment`, under a lease of its own, so that a page can load it before it is needed."""
    return _hand_out(assignment.annotator, assignment.comparison.project, after=assignment)


def open_for(annotator: User, project: Project) -> QuerySet[Comparison]:
    """Comparisons with a free place that this annotator has not had, in the order they are handed out.

    One whose lease lapsed may come back to the same annotator: nobody is shut out by a long lunch.
    """
    taken = (
        Assignment.objects.filter(comparison=OuterRef("pk"), slot__isnull=False)
        .filter(Q(state=State.SUBMITTED) | Q(state=State.ACTIVE, lease_expires_at__gt=timezone.now()))
        .order_by()
        .values("comparison")
        .annotate(count=Count("*"))
        .values("count")
    )
    had = Assignment.objects.filter(comparison=OuterRef("pk"), annotator=annotator).exclude(state=State.RELEASED)
    return (
        Comparison.objects.filter(project=project, is_closed=False)
        .filter(~Exists(had))
        .alias(taken=Coalesce(Subquery(taken), 0))
        .filter(taken__lt=F("overlap"))
        .order_by("-priority", "id")
    )


def held(annotator: User, project: Project) -> QuerySet[Assignment]:
    """Leases the annotator holds: first what is on screen, then what was fetched ahead."""
    return Assignment.objects.filter(
        annotator=annotator, comparison__project=project, comparison__is_closed=False, state=State.ACTIVE
    ).order_by(F("started_at").asc(nulls_last=True), "id")


def _hand_out(annotator: User, project: Project, *, after: Assignment | None) -> Assignment | None:
    """Take the first comparison that is not locked; if only locked ones are left, wait for one of them.

    A locked row means that somebody is being served there. Skipping it is right while there are others; at the end of
    a queue it would make the last places seem gone while they are merely busy.
    """
    busy = None
    for _ in range(TRIES):
        try:
            with transaction.atomic():
                if not _membership_lock(annotator, project):
                    return None
                for assignment in held(annotator, project):
                    if (after is None or assignment.pk != after.pk) and _renew(assignment, project):
                        return assignment
                comparison = _first_open(annotator, project, wait_for=busy)
                slot = None if comparison is None else _free_slot(comparison)
                if comparison is not None and slot is not None:
                    return _lease(comparison, annotator, project, slot)
        except IntegrityError:
            continue  # the constraint refused what a lock did not cover: somebody else was faster
        # Looked up in no transaction: a row that was locked and then found wanting stays locked until the end of its
        # transaction, and nobody may wait for a comparison while holding another.
        if comparison is None and busy is None:
            busy = open_for(annotator, project).values_list("pk", flat=True).first()
            if busy is None:
                return None
        else:
            busy = None
    return None


def leases_renew(*, annotator: User, project: Project) -> None:
    """Somebody at work keeps what they hold: what is on screen, and what was fetched ahead."""
    for assignment in held(annotator, project):
        _renew(assignment, project)


def _membership_lock(annotator: User, project: Project) -> Membership | None:
    return (
        Membership.objects.select_for_update(of=("self",), no_key=True)
        .filter(user=annotator, user__is_active=True, project=project, is_active=True, project__is_paused=False)
        .first()
    )


def _renew(assignment: Assignment, project: Project) -> bool:
    """Extend a lease that is still held. Only one of this and `settle` can change the row first; the other sees it."""
    expires = timezone.now() + timedelta(minutes=project.lease_minutes)
    renewed = Assignment.objects.filter(pk=assignment.pk, state=State.ACTIVE).update(lease_expires_at=expires)
    assignment.lease_expires_at = expires
    return renewed == 1


def _first_open(annotator: User, project: Project, *, wait_for: int | None) -> Comparison | None:
    """Lock and return the next comparison, of another prompt than the last one if there is any; or wait for one."""
    candidates = open_for(annotator, project)
    if wait_for is not None:
        return candidates.filter(pk=wait_for).select_for_update(of=("self",), no_key=True).first()
    candidates = candidates.select_for_update(of=("self",), no_key=True, skip_locked=True)
    last = (
        Assignment.objects.filter(annotator=annotator, comparison__project=project)
        .order_by("-id")
        .values_list("comparison__prompt_id", flat=True)
        .first()
    )
    other = None if last is None else candidates.exclude(prompt_id=last).first()
    return other or candidates.first()


def _lease(comparison: Comparison, annotator: User, project: Project, slot: int) -> Assignment:
    expires = timezone.now() + timedelta(minutes=project.lease_minutes)
    assignment = Assignment.objects.filter(comparison=comparison, annotator=annotator).first()
    if assignment is None:
        assignment = Assignment(comparison=comparison, annotator=annotator)
        responses = comparison.members.values_list("response_id", flat=True)
        assignment.display_order = display_order(comparison.pk, annotator.pk, responses)
    assignment.slot, assignment.state, assignment.lease_expires_at = slot, State.ACTIVE, expires
    assignment.started_at = None
    assignment.save()
    return assignment


def display_order(comparison_id: int, annotator_id: int, responses: Iterable[int]) -> list[int]:
    """A shuffle that is each annotator's own and the same every time, so position bias cancels and can be measured."""

    def key(response: int) -> bytes:
        return hashlib.sha256(f"{comparison_id}:{annotator_id}:{response}".encode()).digest()

    return sorted(responses, key=key)


# the places of a comparison -------------------------------------------------------------------------------------------


def comparison_lock(comparison_id: int) -> Comparison:
    return Comparison.objects.select_for_update(no_key=True).get(pk=comparison_id)


def settle(comparison: Comparison) -> None:
    """Bring the places of a locked comparison up to date.

    Lapsed leases are returned; a late judgement that found no place takes one that has become free; and the comparison
    is closed when it has as many judgements as it needs.
    """
    now = timezone.now()
    seats = comparison.assignments
    seats.filter(state=State.ACTIVE, lease_expires_at__lte=now).update(state=State.RELEASED, slot=None, updated_at=now)
    for late in seats.filter(state=State.SUBMITTED, slot__isnull=True).order_by("updated_at", "id"):
        slot = _lowest_free(comparison)
        if slot is None:
            break
        seats.filter(pk=late.pk).update(slot=slot)
    if not comparison.is_closed:
        done = seats.filter(state=State.SUBMITTED, slot__isnull=False).count()
        if done >= comparison.overlap:
            comparison.is_closed = True
            comparison.save(update_fields=["is_closed"])


def _free_slot(comparison: Comparison) -> int | None:
    """The lowest free place of a locked comparison, after settling it."""
    settle(comparison)
    return None if comparison.is_closed else _lowest_free(comparison)


def _lowest_free(comparison: Comparison) -> int | None:
    taken = set(
        comparison.assignments.filter(state__in=[State.ACTIVE, State.SUBMITTED], slot__isnull=False).values_list(
            "slot", flat=True
        )
    )
    return next((slot for slot in range(comparison.overlap) if slot not in taken), None)


def lease_regain(*, assignment: Assignment) -> bool:
    """Take a lapsed lease up again if its comparison still has a place; True if the annotator holds it now."""
    with transaction.atomic():
        comparison = comparison_lock(assignment.comparison_id)
        assignment.refresh_from_db()
        if assignment.state == State.RELEASED and (slot := _free_slot(comparison)) is not None:
            project = comparison.project
            assignment.slot, assignment.state = slot, State.ACTIVE
            assignment.lease_expires_at = timezone.now() + timedelta(minutes=project.lease_minutes)
            assignment.save()
        return assignment.state == State.ACTIVE


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
