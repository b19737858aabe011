"""Real Celery workers: killed, stopped, told twice and not told at all."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Callable

import pytest

from runs import services
from runs.models import RunEvent
from runs.states import State

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


def until(run, condition: Callable[[], bool], patience: float = 60.0) -> None:
    """Wait until the run is as told; fail with how it stands."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        run.refresh_from_db()
        if condition():
            return
        time.sleep(0.1)
    pytest.fail(f"still {run.state}, {run.progress_done} of {run.progress_total}: {run.error}")


def steps_of(run) -> list[int]:
    return list(run.events.filter(type=RunEvent.Type.METRICS).order_by("id").values_list("step", flat=True))


def test_a_run_survives_the_killing_of_its_worker_with_the_result_it_would_have_had(make_run, perform, start_worker):
    untroubled = perform(make_run(steps=30))
    run = make_run(steps=30, delay=0.15)
    worker = start_worker()
    until(run, lambda: run.progress_done >= 9)
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    run.refresh_from_db()
    assert run.state == State.RUNNING, "nobody knows of it yet"

    start_worker()
    until(run, lambda: run.state == State.SUCCEEDED)
    assert run.attempt == 2
    assert run.result["sum"] == untroubled.result["sum"] == 465
    assert run.artifacts.get().sha256 == untroubled.artifacts.get().sha256
    assert steps_of(run) == list(range(1, 31)), "every metric once, in order, across both attempts"
    reasons = [event.data.get("reason", "") for event in run.events.filter(type=RunEvent.Type.STATE)]
    assert any("was lost in attempt 1 of 3" in reason for reason in reasons)
    assert run.events.filter(type=RunEvent.Type.LOG, data__message__startswith="Continued from").exists()


def test_a_worker_that_is_shut_down_gives_its_run_back_with_a_checkpoint(make_run, start_worker):
    run = make_run(steps=400, delay=0.1)
    worker = start_worker()
    until(run, lambda: run.progress_done >= 3)
    worker.send_signal(signal.SIGTERM)
    worker.wait(60)
    run.refresh_from_db()
    assert (run.state, run.attempt, run.claim) == (State.QUEUED, 0, None), "this attempt does not count"
    assert list(run.directory.glob("checkpoints/step-*"))


def test_when_a_worker_is_killed_nothing_of_its_run_works_on(make_run, start_worker):
    run = make_run(steps=400, delay=0.1)
    worker = start_worker()
    until(run, lambda: run.progress_done >= 3)
    worker.kill()
    worker.wait()
    with (run.directory / ".lock").open() as lock:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # its child held it
                return
            except OSError:
                time.sleep(0.1)
    pytest.fail("the child still holds its directory")


def test_doubled_nudges_run_it_once_and_a_lost_nudge_runs_it_all_the_same(make_run, start_worker):
    told_thrice, never_told = make_run(steps=2), make_run(steps=2)
    for _ in range(3):
        services.run_nudge(run_id=told_thrice.pk, queue="default")
    start_worker()
    for run in (told_thrice, never_told):
        until(run, lambda run=run: run.state == State.SUCCEEDED)
        assert run.attempt == 1 and steps_of(run) == [1, 2]


def test_a_run_is_worked_on_as_soon_as_it_is_committed(make_run, start_worker):
    """Without a beat: only the nudge of run_enqueue tells the worker."""
    start_worker(beat=False)
    run = services.run_enqueue(run=make_run(steps=2))
    until(run, lambda: run.state == State.SUCCEEDED)


def test_cancelling_a_run_on_a_worker_stops_it_and_a_retry_continues_from_its_checkpoint(make_run, admin, start_worker):
    run = make_run(steps=60, delay=0.1)
    start_worker()
    until(run, lambda: run.progress_done >= 4)
    services.run_cancel(run=run, user=admin)
    until(run, lambda: run.state == State.CANCELLED)
    kept = list(run.directory.glob("checkpoints/step-*"))
    assert len(kept) == 1 and run.progress_done < 60
    services.run_retry(run=run, user=admin)
    until(run, lambda: run.state == State.SUCCEEDED)
    assert run.result["sum"] == 1830 and steps_of(run) == list(range(1, 61))
