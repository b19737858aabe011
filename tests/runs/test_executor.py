"""One attempt at a run, with a real child process and a real database."""

from __future__ import annotations

import json
import threading
import time
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from runs import executor, services
from runs.executor import run_execute
from runs.models import Artifact, Run, RunEvent
from runs.states import State

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_run_succeeds_and_leaves_metrics_a_result_and_an_artifact(make_run, perform) -> None:
    run = perform(make_run(steps=4))
    assert (run.state, run.result["sum"], run.attempt, run.claim) == (State.SUCCEEDED, 10, 1, None)
    metrics = run.events.filter(type=RunEvent.Type.METRICS)
    assert [(event.step, event.data["sum"]) for event in metrics] == [(1, 1), (2, 3), (3, 6), (4, 10)]
    assert run.events.get(type=RunEvent.Type.SAMPLE).data["response"] == "It is 10."
    assert (run.progress_done, run.progress_total, run.progress_note) == (4, 4, "counting")
    artifact = run.artifacts.get()
    assert artifact.manifest["seed"] == 7 and artifact.manifest["lineage"] == {"parent": "none"}
    assert json.loads((run.directory / "run.json").read_text())["inputs"] == {"from": "the test"}


def test_what_is_of_no_use_after_success_is_removed(make_run, perform) -> None:
    run = perform(make_run(steps=4))
    assert not (run.directory / "checkpoints").exists() and not (run.directory / "output").exists()
    assert "counting from 0 to 4" in (run.directory / "log.txt").read_text()


@pytest.mark.parametrize(
    ("config", "fault", "words"),
    [
        ({"steps": 0}, "user", "Set steps to 1 or more"),
        ({"misdeed": "user"}, "user", "Line 3 of the prompts is not JSON"),
        ({"misdeed": "crash"}, "ours", "ZeroDivisionError: a bug of ours"),
        ({"misdeed": "abort"}, "ours", "SIGABRT"),
        ({"misdeed": "silent exit"}, "ours", "exit code 7"),
        ({"misdeed": "killed"}, "machine", "ran out of memory"),
        ({"misdeed": "disk full"}, "machine", "disk is full"),
        ({"finish": "disk full"}, "machine", "disk is full"),
        ({"finish": "crash"}, "ours", "finish failed"),
        ({"output": False}, "ours", "left nothing in output/"),
    ],
)
def test_a_failure_says_whose_it_is_and_leaves_no_artifact(make_run, perform, settings, config, fault, words) -> None:
    run = perform(make_run(max_attempts=1, **config))
    assert (run.state, run.fault) == (State.FAILED, fault)
    assert words in run.error
    assert run.title == "Count" and run.result == {}
    assert not Artifact.objects.exists()
    assert not list(settings.ARTIFACTS_DIR.rglob("*.json"))


def test_the_last_log_lines_are_kept_with_the_error(make_run, perform) -> None:
    run = perform(make_run(misdeed="crash"))
    assert "counting from 0 to 5" in run.error_detail and "Traceback" in run.error_detail


def test_what_the_machine_spoilt_waits_and_is_tried_again_from_the_checkpoint(make_run, perform) -> None:
    run = perform(make_run(steps=6, misdeed="killed", at=5, once=True))
    assert (run.state, run.attempt, run.fault, run.error) == (State.QUEUED, 1, "", "")
    assert run.not_before > run.queued_at
    assert perform(run).state == State.QUEUED, "it must wait first"
    Run.objects.filter(pk=run.pk).update(not_before=None)
    run = perform(run)
    assert (run.state, run.attempt, run.result["sum"]) == (State.SUCCEEDED, 2, 21)
    steps = list(run.events.filter(type=RunEvent.Type.METRICS).values_list("step", flat=True))
    assert steps == [1, 2, 3, 4, 5, 6], "step 5 was counted twice, and is there once"
    assert run.events.filter(type=RunEvent.Type.LOG, data__message__icontains="checkpoint of step 4").exists()


def test_attempts_are_limited(make_run, perform) -> None:
    run = make_run(misdeed="killed", max_attempts=2)
    perform(run)
    Run.objects.filter(pk=run.pk).update(not_before=None)
    run = perform(run)
    assert (run.state, run.attempt, run.fault) == (State.FAILED, 2, "machine")


def test_a_fault_of_the_user_or_of_ours_is_not_tried_again(make_run, perform) -> None:
    assert perform(make_run(misdeed="user")).state == State.FAILED
    assert perform(make_run(misdeed="crash")).state == State.FAILED


def test_the_child_gets_no_secrets(make_run, perform, monkeypatch, tmp_path) -> None:
    from runs import kinds

    monkeypatch.setenv("PLUMBLINE_SECRET_KEY", "s" * 40)
    monkeypatch.setenv("DATABASE_URL", "postgresql://secret")
    kind = kinds.get("counting")
    monkeypatch.setattr(type(kind), "command", lambda self, run, run_dir: ["env"])
    monkeypatch.setattr(type(kind), "artifact_kind", "")
    run = perform(make_run())
    log = (run.directory / "log.txt").read_text()
    assert run.state == State.SUCCEEDED and "PLUMBLINE_PARENT_PIPE=1" in log
    assert "SECRET_KEY" not in log and "DATABASE_URL" not in log


def in_background(run: Run) -> threading.Thread:
    """A worker that works on `run` while the test goes on."""

    def work() -> None:
        try:
            run_execute(run_id=run.pk, worker="background")
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def reached(run: Run, step: int) -> None:
    for _ in range(600):
        run.refresh_from_db()
        if run.progress_done >= step:
            return
        time.sleep(0.05)
    pytest.fail(f"never got to step {step}: {run.state} {run.error}")


def test_a_cancelled_run_stops_and_keeps_its_last_checkpoint(make_run, admin) -> None:
    run = make_run(steps=1000, delay=0.05)
    worker = in_background(run)
    reached(run, 3)
    services.run_cancel(run=run, user=admin)
    worker.join(10)
    assert not worker.is_alive(), "a cancelled run is gone within ten seconds"
    run.refresh_from_db()
    assert (run.state, run.fault, run.claim) == (State.CANCELLED, "", None)
    assert len(list(run.directory.glob("checkpoints/step-*"))) == 1
    assert not Artifact.objects.exists()


def test_a_child_that_does_not_listen_is_killed(make_run, admin, monkeypatch) -> None:
    assert executor.GRACE + 2 * executor.TICK < 10
    monkeypatch.setattr(executor, "GRACE", 0.5)
    run = make_run(steps=1000, delay=0.05, misdeed="ignore stop")
    worker = in_background(run)
    reached(run, 4)
    services.run_cancel(run=run, user=admin)
    worker.join(30)
    run.refresh_from_db()
    assert run.state == State.CANCELLED and list(run.directory.glob("checkpoints/step-*"))


def test_an_executor_whose_run_was_given_away_kills_its_child_and_writes_nothing(
    make_run, perform, monkeypatch
) -> None:
    """It slept through its deadline (a suspended laptop, a frozen disk) and wakes up while another works on the run."""
    run = make_run(steps=40, delay=0.05)
    zombie = in_background(run)
    reached(run, 5)
    with transaction.atomic():
        Run.objects.filter(pk=run.pk).update(heartbeat_at=timezone.now() - timedelta(hours=1))
        assert services.runs_reap() == 1
    run = perform(run, "the next one")
    zombie.join(30)
    assert not zombie.is_alive()
    run.refresh_from_db()
    assert (run.state, run.attempt, run.worker, run.result["sum"]) == (State.SUCCEEDED, 2, "the next one", 820)
    steps = list(run.events.filter(type=RunEvent.Type.METRICS).values_list("step", flat=True))
    assert steps == list(range(1, 41)) and run.artifacts.count() == 1


def test_cancelling_in_the_last_moment_leaves_no_artifact(make_run, admin, perform, monkeypatch, settings) -> None:
    run = make_run(steps=2)
    store = executor.artifact_store

    def store_and_cancel(**arguments: object) -> dict:
        stored = store(**arguments)
        services.run_cancel(run=run, user=admin)
        return stored

    monkeypatch.setattr(executor, "artifact_store", store_and_cancel)
    assert perform(run).state == State.CANCELLED
    assert not Artifact.objects.exists() and not list(settings.ARTIFACTS_DIR.rglob("*.json"))
