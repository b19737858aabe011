"""Who ranks what next. PostgreSQL arbitrates: row locks, two unique constraints, no counters.

Locks are taken in one order, so that nothing deadlocks: the annotator's membership (to hand out, and to submit what
qualifies: it makes the tabs of one person take turns), then one comparison, then assignments of that comparison. All of
them leave foreign keys alone (FOR NO KEY UPDATE), and nobody waits for a comparison while holding another.

What is handed out: to somebody who has yet to qualify, qualification comparisons only; to everybody else the open
comparisons, those of higher priority first and then the older, with hidden gold between them. Never more than a limit
allows: what is held counts, so that nothing is fetched ahead past it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db import IntegrityError, connection, transaction
from django.db.models import OuterRef
from django.utils import timezone

from accounts.models import User
from annotate.gold.selectors import Candidate, gold_due, gold_unseen, qualification_open
from annotate.gold.services import membership_lock, qualification_judge
from annotate.projects.models import Membership, Project, Prompt
from annotate.ranking.limits import allowance
from annotate.ranking.models import Assignment, Comparison, ComparisonResponse
from annotate.ranking.places import (
    IMPORTED,
    free_slot,
    held,
    is_worn,
    lease_end,
    lease_renew,
    settle,
)
from annotate.ranking.questions import with_questions

State = Assignment.State
Purpose = Comparison.Purpose

# A try fails only when somebody else took the place between our snapshot and our lock, so the others advance each time.
TRIES = 100


def assignment_next(*, annotator: User, project: Project) -> Assignment | None:
    """What this annotator should rank now: what they already hold, else a new lease; None when nothing is left."""
    return _hand_out(annotator, project, after=None)


def assignment_ahead(*, assignment: Assignment) -> Assignment | None:
    """The one after `assignment`, under a lease of its own, so that a page can load it before it is needed.

    That it is asked for means that `assignment` is on screen.
    """
    return _hand_out(assignment.annotator, assignment.comparison.project, after=assignment)


# what may be handed out -----------------------------------------------------------------------------------------------


# Comparisons with a free place that the annotator has not had, neither themselves nor as a gold copy. One whose lease
# lapsed may come back to the same annotator: nobody is shut out by a long lunch. In SQL, because it runs for every item
# of every annotator, and Django takes longer to write it than PostgreSQL to answer it.
OPEN = f"""
    FROM annotate_comparison c
    WHERE c.project_id = %(project)s AND NOT c.is_closed
    AND NOT EXISTS (
        SELECT FROM annotate_assignment a
        WHERE a.comparison_id = c.id AND a.annotator_id = %(annotator)s AND a.state <> 'released')
    AND c.id <> ALL (ARRAY(
        SELECT substr(g.dedup_key, 6)::bigint
        FROM annotate_comparison g JOIN annotate_assignment a ON a.comparison_id = g.id
        WHERE g.project_id = %(project)s AND NOT (g.purpose = 'work') AND starts_with(g.dedup_key, 'gold:')
        AND a.annotator_id = %(annotator)s AND a.state <> 'released'))
    AND c.overlap > {IMPORTED} + (
        SELECT count(*) FROM annotate_assignment a
        WHERE a.comparison_id = c.id AND a.slot IS NOT NULL
        AND (a.state = 'submitted' OR (a.state = 'active' AND a.lease_expires_at > %(now)s)))
"""  # noqa: S608
IN_ORDER = "ORDER BY c.priority DESC, c.id LIMIT 1"
WITH_SHOWN = f"""
    SELECT c.*, p.messages, {IMPORTED} AS imported, ARRAY(
        SELECT m.response_id FROM annotate_comparisonresponse m WHERE m.comparison_id = c.id ORDER BY m.position
    ) AS shown
    FROM ({{found}}) c JOIN annotate_prompt p ON p.id = c.prompt_id
"""  # noqa: S608


def open_count(annotator: User, project: Project, *, most: int) -> int:
    """How many open comparisons there are for the annotator; counting stops at `most`."""
    sql = f"SELECT count(*) FROM (SELECT 1 {OPEN} LIMIT %(most)s) counted"  # noqa: S608  OPEN is ours
    return _open(annotator, project, sql, most=most)[0]


def open_first(annotator: User, project: Project) -> int | None:
    """The id of the one that would be handed out next, whoever is being served there."""
    row = _open(annotator, project, f"SELECT c.id {OPEN} {IN_ORDER}")
    return row[0] if row else None


def _open(annotator: User, project: Project, sql: str, **more: object) -> tuple[int, ...]:
    with connection.cursor() as cursor:
        cursor.execute(sql, _values(annotator, project) | more)
        return cursor.fetchone()


def _values(annotator: User, project: Project) -> dict[str, object]:
    return {"annotator": annotator.pk, "project": project.pk, "now": timezone.now()}


def _open_lock(annotator: User, project: Project, *, condition: str = "", skip: bool, **more: object) -> Any:
    """Lock the next open comparison and return it with its prompt and the ids of its responses, `shown`; or None."""
    lock = "FOR NO KEY UPDATE OF c" + (" SKIP LOCKED" if skip else "")
    found = WITH_SHOWN.format(found=f"SELECT c.* {OPEN} {condition} {IN_ORDER} {lock}")
    for comparison in Comparison.objects.raw(found, _values(annotator, project) | more):
        fields = (comparison.prompt_id, project.pk, json.loads(comparison.messages))
        comparison.prompt = Prompt.from_db(None, ["id", "project_id", "messages"], fields)
        return comparison
    return None


def is_qualifying(membership: Membership, project: Project) -> bool:
    """Whether only qualification comparisons are handed out to this person."""
    return project.must_qualify and membership.qualification != Membership.Qualification.PASSED


# handing out ----------------------------------------------------------------------------------------------------------


class _GoneError(Exception):
    """What was chosen is not there any more."""


@dataclass(frozen=True, slots=True)
class _Last:
    """What the annotator was handed last, in any project."""

    number: int = 0
    prompt: int | None = None


@dataclass(frozen=True, slots=True)
class _Choice:
    """A locked comparison with a place for the annotator, and the assignment they had on it before, if any."""

    comparison: Comparison
    slot: int | None
    before: Assignment | None


def _hand_out(annotator: User, project: Project, *, after: Assignment | None) -> Assignment | None:
    """Take the first comparison that is not locked; if only locked ones are left, wait for one of them.

    A locked row means that somebody is being served there. Skipping it is right while there are others; at the end of
    a queue it would make the last places seem gone while they are merely busy.
    """
    busy = None
    for _ in range(TRIES):
        comparison = None
        try:
            with transaction.atomic():
                membership = membership_lock(project=project.pk, user=annotator.pk)
                if membership is None or not membership.is_active or not annotator.is_active:
                    return None
                project = with_questions(membership.project)
                if project.is_paused:
                    break
                qualifying = is_qualifying(membership, project)
                if qualifying and membership.qualification == Membership.Qualification.FAILED:
                    break  # more of it would decide nothing
                desk = _desk(annotator, project, qualifying)
                # Counted after the desk was read: a submission between the two is then seen twice, never not at all.
                room = None if qualifying else allowance(membership, project).left
                if room == 0:
                    break
                for pk, started in desk:
                    # Ahead of what is on screen comes only what never was: what was there before is on its way in.
                    fits = after is None or (pk != after.pk and started is None)
                    if fits and (assignment := _pick_up(pk, annotator, project)):
                        _show(after, project)
                        return assignment
                if room is not None and len(desk) >= room:
                    break
                last = _last_handed(annotator)
                if qualifying:
                    choice = _qualification(annotator, project, last)
                    if choice is None and not is_qualifying(qualification_judge(membership), project):
                        continue  # that was all of it
                    if choice is None:
                        break
                else:
                    choice = _gold(annotator, project, last)
                if choice is None:
                    comparison = _first_open(annotator, project, last, wait_for=busy)
                    choice = None if comparison is None else _place(comparison, annotator)
                if choice is not None:
                    assignment = _lease(choice, annotator, project, last.number + 1)
                    _show(after, project)
                    return assignment
        except (IntegrityError, _GoneError):
            continue  # the constraint refused what a lock did not cover: somebody else was faster
        # Looked up in no transaction: a row that was locked and then found wanting stays locked until the end of its
        # transaction, and nobody may wait for a comparison while holding another.
        if comparison is None and busy is None:
            busy = open_first(annotator, project)
            if busy is None:
                break
        else:
            busy = None
    _show(after, project)
    return None


def _desk(annotator: User, project: Project, qualifying: bool) -> list[tuple[int, datetime | None]]:
    """(id, when it was first on screen) of what is held and may be judged now."""
    asked = [Purpose.QUALIFICATION] if qualifying else [Purpose.WORK, Purpose.GOLD]
    rows = held(annotator, project).values_list("pk", "started_at", "comparison__purpose")
    return [(pk, started) for pk, started, purpose in rows if purpose in asked]


def _pick_up(pk: int, annotator: User, project: Project) -> Assignment | None:
    """Something that is held, with all that a page shows; None if it has been lost at this moment."""
    assignment = Assignment.objects.select_related("comparison__prompt").filter(pk=pk, state=State.ACTIVE).first()
    if assignment is None or not lease_renew(assignment, project):
        return None
    return _with(assignment, annotator, project)


def _with(assignment: Assignment, annotator: User, project: Project) -> Assignment:
    """With what is known already, so that nothing of it is fetched again."""
    assignment.annotator = annotator
    assignment.comparison.project = project
    return assignment


LAST = """
    SELECT a.number, c.prompt_id FROM annotate_assignment a JOIN annotate_comparison c ON c.id = a.comparison_id
    WHERE a.annotator_id = %s ORDER BY a.number DESC LIMIT 1
"""


def _last_handed(annotator: User) -> _Last:
    with connection.cursor() as cursor:
        cursor.execute(LAST, [annotator.pk])
        row = cursor.fetchone()
    return _Last(*row) if row else _Last()


def _show(assignment: Assignment | None, project: Project) -> None:
    """What is on screen keeps its lease. Done last: an assignment is locked after its comparison, if at all."""
    if assignment is None:
        return
    if assignment.started_at is None:
        now = timezone.now()
        Assignment.objects.filter(pk=assignment.pk, started_at__isnull=True).update(started_at=now)
        assignment.started_at = now
    if assignment.state == State.ACTIVE and is_worn(assignment, project):
        lease_renew(assignment, project)


def _first_open(annotator: User, project: Project, last: _Last, *, wait_for: int | None) -> Comparison | None:
    """Lock and return the next comparison, of another prompt than the last one if there is any; or wait for one."""
    if wait_for is not None:
        return _open_lock(annotator, project, condition="AND c.id = %(pk)s", skip=False, pk=wait_for)
    other = None
    if last.prompt is not None:
        other = _open_lock(annotator, project, condition="AND c.prompt_id <> %(last)s", skip=True, last=last.prompt)
    return other or _open_lock(annotator, project, skip=True)


def _place(comparison: Comparison, annotator: User) -> _Choice | None:
    """A place on a locked open comparison, or None if it has none after all."""
    seats = settle(comparison)
    slot = None if comparison.is_closed else free_slot(comparison, seats)
    before = next((seat for seat in seats if seat.annotator_id == annotator.pk), None)
    return None if slot is None else _Choice(comparison, slot, before)


def _gold(annotator: User, project: Project, last: _Last) -> _Choice | None:
    """Hidden gold if it is due: of another prompt than the last one, and only while there is work to hide it in."""
    if not gold_due(annotator.pk, last.number + 1, project.gold_rate):
        return None
    unseen = [candidate for candidate in gold_unseen(annotator, project) if candidate.prompt != last.prompt]
    if not unseen or open_first(annotator, project) is None:
        return None
    return _known(unseen, annotator, Purpose.GOLD)


def _qualification(annotator: User, project: Project, last: _Last) -> _Choice | None:
    """The next qualification comparison, of another prompt than the last one if there is any."""
    left = qualification_open(annotator, project)
    return _known(sorted(left, key=lambda candidate: candidate.prompt == last.prompt), annotator, Purpose.QUALIFICATION)


def _known(candidates: Sequence[Candidate], annotator: User, purpose: Any) -> _Choice | None:
    """The first candidate. Its row is locked, so that it is not retired at this moment."""
    members = ComparisonResponse.objects.filter(comparison=OuterRef("pk")).order_by("position").values("response")
    for candidate in candidates[:1]:
        comparison = (
            Comparison.objects.filter(purpose=purpose, gold__isnull=False)
            .select_related("prompt")
            .annotate(shown=ArraySubquery(members))
            .select_for_update(of=("self",), no_key=True)
            .filter(pk=candidate.comparison)
            .first()
        )
        if comparison is None:
            raise _GoneError  # retired at this moment: try again with what there is now
        return _Choice(comparison, None, Assignment.objects.filter(comparison=comparison, annotator=annotator).first())
    return None


def _lease(choice: _Choice, annotator: User, project: Project, number: int) -> Assignment:
    comparison, assignment = choice.comparison, choice.before
    if assignment is None:
        assignment = Assignment(comparison=comparison, annotator=annotator)
        assignment.display_order = display_order(comparison.pk, annotator.pk, comparison.shown)
    assignment.slot, assignment.state, assignment.number = choice.slot, State.ACTIVE, number
    assignment.lease_expires_at, assignment.started_at = lease_end(project), None
    assignment.save()
    assignment.comparison = comparison
    return _with(assignment, annotator, project)


def display_order(comparison_id: int, annotator_id: int, responses: Iterable[int]) -> list[int]:
    """A shuffle that is each annotator's own and the same every time, so position bias cancels and can be measured."""

    def key(response: int) -> bytes:
        return hashlib.sha256(f"{comparison_id}:{annotator_id}:{response}".encode()).digest()

    return sorted(responses, key=key)
