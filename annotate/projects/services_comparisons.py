"""Changing many comparisons at once: priority, round, overlap, closing and opening again.

The work goes in batches, each its own transaction over rows locked in the order of their ids, so that annotators never
wait for long. Between two batches the time is looked at: what is left over is said, and can be asked for again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from accounts.audit import audit_record
from accounts.models import User
from annotate.projects.models import Project
from annotate.projects.services import scope
from annotate.ranking.models import Assignment, Comparison, Judgement
from annotate.ranking.places import disagreements_of, filled_of, free_slot, imported, seats_of, settle
from annotate.review.models import Adjudication

State = Assignment.State
TAKING = (State.ACTIVE, State.SUBMITTED)  # those that sit on a place
BATCH = 2000
PATIENCE = 30.0  # seconds; a web request has a minute
BOUNDS = {"priority": (-1000, 1000), "overlap": (1, 50), "round": (0, 30_000)}
ACTIONS = {
    "priority": "Set priority",
    "overlap": "Set overlap",
    "round": "Set round",
    "close": "Close",
    "reopen": "Open again",
}


@dataclass(frozen=True, slots=True)
class Changed:
    """count: comparisons that are different now. closed, opened: of them. complete: False when time ran out."""

    count: int
    closed: int
    opened: int
    complete: bool


def comparisons_change(
    *,
    project: Project,
    comparisons: QuerySet[Comparison],
    action: str,
    value: object = None,
    by: User | None,
    asked: Mapping[str, Any],
    patience: float = PATIENCE,
) -> Changed:
    """Do `action` to each of `comparisons`, all of `project`; those that are so already are left alone.

    overlap: what has enough judgements by the new measure is closed, what is short of it again is opened, and leases
    without a place left are given back; comparisons closed by hand stay closed. close: leases are given back, so that
    what is submitted on them is kept as an extra judgement. reopen: only what has room for a judgement. What a reviewer
    has decided needs nobody and is not opened. Gold keeps its overlap and stays closed. `asked` says for the audit
    trail which comparisons were meant.
    Raises ValidationError, before anything is changed, if `value` makes no sense.
    """
    number = _checked(action, value)
    rows = comparisons.filter(project=project)
    if action not in ("priority", "round"):
        rows = rows.filter(purpose=Comparison.Purpose.WORK)
    details = {"set": action, **({"value": number} if number is not None else {}), **asked}
    count = closed = opened = last = 0
    began, complete = time.monotonic(), False
    while not complete and (last == 0 or time.monotonic() - began < patience):
        with transaction.atomic():
            batch = list(rows.filter(pk__gt=last).order_by("pk").select_for_update(of=("self",), no_key=True)[:BATCH])
            complete = len(batch) < BATCH
            if last == 0 and not complete:
                _note(project, by, "comparisons.changing", **details)
            done = _change(batch, action, number)
            count, closed, opened = count + done.count, closed + done.closed, opened + done.opened
            if complete and count:
                _note(project, by, "comparisons.changed", **details, count=count, closed=closed, opened=opened)
        last = batch[-1].pk if batch else last
    if not complete:
        _note(project, by, "comparisons.changed", **details, count=count, closed=closed, opened=opened, rest="not yet")
    return Changed(count, closed, opened, complete)


def _checked(action: str, value: object) -> int | None:
    if action not in ACTIONS:
        raise ValidationError({"action": f"Choose one of: {', '.join(ACTIONS.values())}."})
    if action not in BOUNDS:
        return None
    low, high = BOUNDS[action]
    try:
        number = int(str(value))
    except ValueError:
        number = low - 1
    if not low <= number <= high:
        raise ValidationError({"value": f"Give a whole number from {low} to {high}."})
    return number


def _note(project: Project, by: User | None, action: str, /, **details: Any) -> None:
    audit_record(actor=by, action=action, subject=project, scope=scope(project), **details)


def _change(batch: list[Comparison], action: str, number: int | None) -> Changed:
    """Change locked comparisons."""
    if action == "close":
        return _close([row for row in batch if not row.is_closed])
    if action == "reopen":
        return _reopen([row for row in batch if row.is_closed])
    if action == "overlap":
        assert number is not None
        return _overlap([row for row in batch if row.overlap != number], number)
    ids = [row.pk for row in batch if getattr(row, action) != number]
    return Changed(Comparison.objects.filter(pk__in=ids).update(**{action: number}), 0, 0, True)


def _close(rows: list[Comparison]) -> Changed:
    ids = [row.pk for row in rows]
    Assignment.objects.filter(comparison__in=ids, state=State.ACTIVE).update(
        state=State.RELEASED, slot=None, updated_at=timezone.now()
    )
    _measure(rows)
    Comparison.objects.filter(pk__in=ids).update(is_closed=True)
    return Changed(len(ids), len(ids), 0, True)


def _measure(rows: list[Comparison]) -> None:
    """Keep with each of `rows` how contested it is, as `settle` does for one."""
    shares = disagreements_of([row.pk for row in rows])
    measured = [row for row in rows if shares[row.pk] is not None]
    for row in measured:
        row.disagreement = shares[row.pk]
    Comparison.objects.bulk_update(measured, ["disagreement"], batch_size=1000)


def _reopen(rows: list[Comparison]) -> Changed:
    """Open those that have room. Judgements that came while one was closed take the places that are free."""
    ids = [row.pk for row in rows]
    done, decided, extra = filled_of(ids), _decided(ids), _with_extra(ids)
    short = [row for row in rows if row.pk not in decided and done.get(row.pk, 0) < row.overlap]
    opened = _open(short)
    full = 0
    for row in short:
        if row.pk in extra:
            row.is_closed, row.disagreement = False, None
            settle(row)
            full += row.is_closed
    return Changed(opened.count, 0, opened.opened - full, True)


def _open(rows: list[Comparison]) -> Changed:
    ids = [row.pk for row in rows]
    Comparison.objects.filter(pk__in=ids).update(is_closed=False, disagreement=None)
    return Changed(len(ids), 0, len(ids), True)


def _decided(ids: list[int]) -> set[int]:
    """Those that a reviewer has decided: nobody is asked about them again."""
    rows = Adjudication.objects.filter(comparison__in=ids, is_current=True)
    return set(rows.values_list("comparison", flat=True))


def _with_extra(ids: list[int]) -> set[int]:
    """Those with a judgement that counts and has no place."""
    rows = Judgement.objects.filter(
        comparison__in=ids, is_current=True, assignment__slot=None, assignment__state=State.SUBMITTED
    )
    return set(rows.values_list("comparison", flat=True))


def _overlap(rows: list[Comparison], overlap: int) -> Changed:
    ids = [row.pk for row in rows]
    done, moving, decided = filled_of(ids), _to_reseat(ids, overlap), _decided(ids)
    # One that was closed by hand was short of judgements and closed all the same.
    short = [
        row for row in rows if row.is_closed and row.pk not in decided and row.overlap <= done.get(row.pk, 0) < overlap
    ]
    full = [row for row in rows if not row.is_closed and done.get(row.pk, 0) >= overlap]
    Comparison.objects.filter(pk__in=ids).update(overlap=overlap)
    opened = _open(short).opened
    closed = _close([row for row in full if row.pk not in moving]).closed
    was_open = {row.pk for row in rows if not row.is_closed} | {row.pk for row in short}
    for row in rows:
        if row.pk in moving:
            row.overlap, row.is_closed = overlap, row.pk not in was_open
            closed += _reseat(row) and row.pk in was_open
    return Changed(len(ids), closed, opened, True)


def _to_reseat(ids: list[int], overlap: int) -> set[int]:
    """Those with a late judgement that found no place, a lease beyond the last one, or a judgement beyond a gap; and
    those with imported judgements, which take places without sitting on them."""
    seats = Assignment.objects.filter(comparison__in=ids).order_by().values("comparison")
    counted = seats.annotate(
        within=Count("pk", filter=Q(state=State.SUBMITTED, slot__lt=overlap)),
        beyond=Count("pk", filter=Q(state=State.SUBMITTED, slot__gte=overlap)),
        late=Count("pk", filter=Q(state=State.SUBMITTED, slot=None)),
        leases=Count("pk", filter=Q(state=State.ACTIVE, slot__gte=overlap)),
    )
    mixed = Judgement.objects.filter(comparison__in=ids, assignment=None, is_current=True)
    return {
        row["comparison"]
        for row in counted
        if row["late"] or row["leases"] or (row["beyond"] and row["within"] < overlap)
    } | set(mixed.filter(comparison__assignments__slot__isnull=False).values_list("comparison", flat=True))


def _reseat(comparison: Comparison) -> bool:
    """Seat the assignments of a locked comparison within its new overlap; True if it is closed now.

    Judgements come before leases, and leases that are on screen before those that were fetched ahead.
    """
    seats = settle(comparison)
    kept = [seat for seat in seats if seat.state == State.SUBMITTED and seat.slot is not None]
    leases = [seat for seat in seats if seat.state == State.ACTIVE]
    leases.sort(key=lambda seat: (seat.started_at is None, seat.started_at or timezone.now(), seat.pk))
    places = comparison.overlap - imported(comparison)
    room = 0 if comparison.is_closed else max(places - len(kept), 0)
    surplus = leases[room:]
    Assignment.objects.filter(pk__in=[seat.pk for seat in surplus], state=State.ACTIVE).update(
        state=State.RELEASED, slot=None, updated_at=timezone.now()
    )
    seats = seats_of(comparison)
    for seat in seats:
        if seat.state in TAKING and seat.slot is not None and seat.slot >= places:
            # Judgements beyond a lowered overlap find no other place and keep theirs: they were asked for.
            slot = free_slot(comparison, seats)
            if slot is not None:
                seat.slot = slot
                Assignment.objects.filter(pk=seat.pk).update(slot=slot)
    return comparison.is_closed
