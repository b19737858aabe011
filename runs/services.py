"""What can be done with a run. Every change of state is one conditional UPDATE that must hit exactly one row."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from kombu.exceptions import OperationalError

from accounts.audit import audit_record
from accounts.models import User
from runs import kinds
from runs.models import Run, RunEvent
from runs.states import CLAIMED, FINISHED, RunMoved, State, check

log = structlog.get_logger(__name__)

BACKOFF = timedelta(seconds=10)  # before the second attempt; three times as long before each one after it
NUDGED_AT_ONCE = 20


def run_move(
    *,
    run: Run,
    to: State,
    claim: uuid.UUID | None = None,
    reason: str = "",
    **values: Any,
) -> None:
    """Take `run` from the state it was read in to `to`, and note it in its events.

    With `claim`, only as the holder of that claim. Raises IllegalTransition if the table has no such step and RunMoved
    if the run has meanwhile moved or the claim is lost; nothing is changed then.
    """
    source = State(run.state)
    check(source, to)
    values["finished_at"] = Now() if to in FINISHED else None
    if to not in CLAIMED:
        values["claim"] = None
    if to == State.QUEUED:
        values["queued_at"] = Now()
    held = Q(pk=run.pk, state=source) if claim is None else Q(pk=run.pk, state=source, claim=claim)
    with transaction.atomic():
        # Run by name: through a child model Django would select the keys first and update without the condition.
        if Run.objects.filter(held).update(state=to, **values) != 1:
            raise RunMoved(f"Run {run.pk} is no longer {source} in our hands.")
        RunEvent.objects.create(
            run_id=run.pk,
            type=RunEvent.Type.STATE,
            data={"from": source, "to": to, **({"reason": reason} if reason else {})},
        )
    run.refresh_from_db(fields=["state", *values])
    log.info(
        "run.moved",
        run_id=run.pk,
        kind=run.kind,
        source=source.value,
        target=to.value,
        reason=reason,
    )


def run_enqueue(*, run: Run) -> Run:
    """Hand a new run to the workers once the surrounding transaction is committed. Saves it if need be."""
    kinds.get(run.kind)
    with transaction.atomic():
        if run.pk is None:
            run.save()
        _note(run, run.created_by, "started")
        _hand_over(run)
    return run


def _hand_over(run: Run) -> None:
    transaction.on_commit(lambda: run_nudge(run_id=run.pk, queue=run.queue), robust=True)


def _note(run: Run, actor: User | None, verb: str) -> None:
    """Write into the audit trail what somebody did to a run."""
    kind = kinds.get(run.kind)
    whole = run if isinstance(run, kind.model) else kind.model.objects.get(pk=run.pk)
    subject = f"{kind.label} run {run.pk}: {run.title}"
    audit_record(actor=actor, action=f"run.{verb}", subject=subject, scope=kind.audit_scope(whole), kind=run.kind)


def run_nudge(*, run_id: int, queue: str, countdown: float | None = None) -> None:
    """Tell the workers of `queue` to look at a run. Losing this message costs time only: `runs_nudge` sends another."""
    from runs.tasks import execute

    try:
        # It expires so that nudges for a run that waits for hours do not pile up before a busy worker.
        execute.apply_async(
            [run_id],
            queue=queue,
            countdown=countdown,
            expires=(countdown or 0) + 120,
            retry=False,
        )
    except (OperationalError, OSError) as error:
        log.warning("run.nudge_failed", run_id=run_id, error=str(error))


def run_claim(*, run_id: int, worker: str) -> Run | None:
    """Make a waiting run ours, or return None because it does not wait, must wait longer, or another was faster."""
    claim = uuid.uuid4()
    with transaction.atomic():
        claimed = Run.objects.filter(
            Q(not_before=None) | Q(not_before__lte=Now()), pk=run_id, state=State.QUEUED
        ).update(
            state=State.RUNNING,
            claim=claim,
            worker=worker[:200],
            attempt=F("attempt") + 1,
            started_at=Now(),
            heartbeat_at=Now(),
            progress_from_at=None,
        )
        if claimed != 1:
            return None
        run = Run.objects.get(pk=run_id)
        data = {
            "from": State.QUEUED,
            "to": State.RUNNING,
            "worker": worker,
            "attempt": run.attempt,
        }
        RunEvent.objects.create(run=run, type=RunEvent.Type.STATE, data=data)
    log.info("run.claimed", run_id=run.pk, kind=run.kind, attempt=run.attempt, worker=worker)
    return run


def run_heartbeat(*, run_id: int, claim: uuid.UUID) -> str:
    """Say that the run lives; returns its state. Raises RunMoved if it is no longer ours."""
    if Run.objects.filter(pk=run_id, claim=claim).update(heartbeat_at=Now()) != 1:
        raise RunMoved(f"Run {run_id} was given to another worker.")
    return Run.objects.values_list("state", flat=True).get(pk=run_id)


def run_cancel(*, run: Run, user: User | None) -> Run:
    """End a waiting run now, and ask a running one to stop: it saves a checkpoint and is gone within ten seconds."""
    reason = f"cancelled by {user}" if user else "cancelled"
    for _ in range(5):  # it may be claimed or requeued between reading and writing
        current = Run.objects.get(pk=run.pk)
        if current.state in FINISHED:
            raise ValidationError(
                f"This run has already ended: it {current.get_state_display()}.",
                code="ended",
            )
        if current.state == State.CANCELLING:
            break
        to = State.CANCELLED if current.state == State.QUEUED else State.CANCELLING
        try:
            with transaction.atomic():
                run_move(run=current, to=to, reason=reason)
                _note(current, user, "cancelled")
            break
        except RunMoved:
            continue
    else:
        raise ValidationError("The run is changing hands just now. Try again in a moment.", code="busy")
    run.refresh_from_db()
    return run


def run_retry(*, run: Run, user: User | None) -> Run:
    """Queue a failed or cancelled run again, with all its attempts back. It continues from its last checkpoint."""
    current = Run.objects.get(pk=run.pk)
    if not current.can_retry:
        raise ValidationError(
            f"Only a failed or cancelled run can be retried; this one is {current.get_state_display()}.",
            code="state",
        )
    cleared: dict[str, Any] = {
        "fault": "",
        "error": "",
        "error_detail": "",
        "not_before": None,
        "attempt": 0,
    }
    try:
        with transaction.atomic():
            run_move(
                run=current,
                to=State.QUEUED,
                reason=f"retried by {user}" if user else "retried",
                **cleared,
            )
            _note(current, user, "retried")
            _hand_over(current)
    except RunMoved:
        raise ValidationError("Somebody else has just retried this run.", code="state") from None
    run.refresh_from_db()
    return run


def run_fail(*, run: Run, fault: str, error: str, detail: str = "") -> None:
    """End an attempt that failed. What the machine spoilt is tried again later, as long as attempts are left."""
    if run.state == State.CANCELLING:
        return run_move(run=run, to=State.CANCELLED, claim=run.claim, reason=error)
    if fault == Run.Fault.MACHINE and run.attempt < run.max_attempts:
        wait = BACKOFF * 3 ** (run.attempt - 1)
        run_requeue(run=run, reason=error, wait=wait)
        return None
    run_move(
        run=run,
        to=State.FAILED,
        claim=run.claim,
        reason=error,
        fault=fault,
        error=error,
        error_detail=detail,
    )
    return None


def run_requeue(*, run: Run, reason: str, wait: timedelta | None = None, keep_attempt: bool = True) -> None:
    """Give a running run back, to be continued by whoever claims it. `keep_attempt=False`: this one does not count."""
    values: dict[str, Any] = {"not_before": Now() + wait if wait else None}
    if not keep_attempt:
        values["attempt"] = max(run.attempt - 1, 0)
    run_move(run=run, to=State.QUEUED, claim=run.claim, reason=reason, **values)
    seconds = wait.total_seconds() + 0.5 if wait else None
    transaction.on_commit(
        lambda: run_nudge(run_id=run.pk, queue=run.queue, countdown=seconds),
        robust=True,
    )


def runs_reap() -> int:
    """Take runs whose heart has stopped from their dead workers. Returns how many."""
    silent = Q(
        state__in=CLAIMED,
        heartbeat_at__lt=Now() - timedelta(seconds=settings.HEARTBEAT_TIMEOUT),
    )
    reaped = 0
    for pk in Run.objects.filter(silent).values_list("pk", flat=True):
        with transaction.atomic():
            # A locked row is in somebody's hands, so it is not dead.
            run = Run.objects.select_for_update(skip_locked=True).filter(silent, pk=pk).first()
            if run is None:
                continue
            lost = f"The worker {run.worker} was lost in attempt {run.attempt} of {run.max_attempts}."
            if run.state == State.CANCELLING:
                run_move(run=run, to=State.CANCELLED, claim=run.claim, reason=lost)
            elif run.attempt < run.max_attempts:
                run_requeue(run=run, reason=lost)
            else:
                advice = (
                    "It may have run out of memory; see the worker's log. A retry continues from the last checkpoint."
                )
                values = {"fault": Run.Fault.MACHINE, "error": f"{lost} {advice}"}
                run_move(run=run, to=State.FAILED, claim=run.claim, reason=lost, **values)
            reaped += 1
    return reaped


def runs_nudge(*, queue: str | None = None) -> int:
    """Nudge for the oldest waiting runs of each queue, whose own messages may be lost. Returns how many."""
    nudged = 0
    for name in [queue] if queue else Run.Queue.values:
        waiting = Run.objects.filter(Q(not_before=None) | Q(not_before__lte=Now()), state=State.QUEUED, queue=name)
        for pk in waiting.order_by("id").values_list("pk", flat=True)[:NUDGED_AT_ONCE]:
            run_nudge(run_id=pk, queue=name)
            nudged += 1
    return nudged
