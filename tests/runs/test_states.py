"""Who may take a run where: the transition table, claims, races and the reaper."""

from __future__ import annotations

import socket
import threading
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from runs import services
from runs.events import events_ingest
from runs.models import Run, RunEvent
from runs.states import TRANSITIONS, IllegalTransition, RunMoved, State, check

pytestmark = pytest.mark.django_db(transaction=True)


def in_threads(count: int, work) -> list:
    """What `work` returned or raised in each of `count` threads let loose together."""
    barrier, results = threading.Barrier(count), [None] * count

    def one(index: int) -> None:
        barrier.wait()
        try:
            results[index] = work()
        except Exception as error:
            results[index] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=one, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def silence(run: Run, seconds: int = 600) -> None:
    Run.objects.filter(pk=run.pk).update(heartbeat_at=timezone.now() - timedelta(seconds=seconds))


def test_success_is_final_and_every_state_is_in_the_table() -> None:
    assert set(TRANSITIONS) == set(State) and not TRANSITIONS[State.SUCCEEDED]
    with pytest.raises(IllegalTransition, match="succeeded cannot become running"):
        check("succeeded", "running")
    with pytest.raises(IllegalTransition):
        check("queued", "succeeded")


def test_an_illegal_step_changes_nothing(make_run) -> None:
    run = make_run()
    with pytest.raises(IllegalTransition):
        services.run_move(run=run, to=State.SUCCEEDED)
    run.refresh_from_db()
    assert run.state == State.QUEUED and not run.events.exists()


def test_a_step_from_a_state_that_is_no_longer_true_is_refused(make_run, admin) -> None:
    run = make_run()
    stale = Run.objects.get(pk=run.pk)
    services.run_cancel(run=run, user=admin)
    with pytest.raises(RunMoved):
        services.run_move(run=stale, to=State.CANCELLED)


@pytest.mark.parametrize(
    "values",
    [
        {"state": "confused"},
        {"state": "running"},
        {"state": "succeeded"},
        {"state": "failed", "finished_at": timezone.now()},
        {"fault": "machine"},
    ],
)
def test_the_database_itself_refuses_a_run_that_contradicts_itself(make_run, values) -> None:
    run = make_run()
    with pytest.raises(IntegrityError), transaction.atomic():
        Run.objects.filter(pk=run.pk).update(**values)


def test_of_sixteen_workers_exactly_one_claims_a_run(make_run) -> None:
    run = make_run()
    claims = in_threads(16, lambda: services.run_claim(run_id=run.pk, worker="one of many"))
    won = [claim for claim in claims if claim is not None]
    assert len(won) == 1 and isinstance(won[0], Run)
    run.refresh_from_db()
    assert (run.attempt, run.claim) == (1, won[0].claim)


def test_of_many_retries_one_is_taken(make_run, admin) -> None:
    run = make_run()
    services.run_cancel(run=run, user=admin)
    results = in_threads(8, lambda: services.run_retry(run=run, user=admin))
    assert sum(isinstance(result, Run) for result in results) == 1
    assert sum(isinstance(result, ValidationError) for result in results) == 7


def test_of_many_reapers_one_reaps(make_run) -> None:
    run = services.run_claim(run_id=make_run().pk, worker="dead")
    silence(run)
    assert sum(in_threads(8, services.runs_reap)) == 1
    run.refresh_from_db()
    assert (run.state, run.attempt, run.claim) == (State.QUEUED, 1, None)


def test_a_living_run_is_not_reaped(make_run) -> None:
    services.run_claim(run_id=make_run().pk, worker="alive")
    assert services.runs_reap() == 0


def test_a_run_that_lost_its_last_attempt_fails_by_the_machine(make_run) -> None:
    run = services.run_claim(run_id=make_run(max_attempts=1).pk, worker="dead")
    silence(run)
    services.runs_reap()
    run.refresh_from_db()
    assert (run.state, run.fault) == (State.FAILED, "machine") and "The worker dead was lost" in run.error


def test_a_run_that_was_being_cancelled_when_its_worker_died_is_cancelled(make_run, admin) -> None:
    run = services.run_claim(run_id=make_run().pk, worker="dead")
    services.run_cancel(run=run, user=admin)
    silence(run)
    services.runs_reap()
    run.refresh_from_db()
    assert run.state == State.CANCELLED


def test_who_lost_the_claim_can_write_nothing(make_run, tmp_path) -> None:
    zombie = services.run_claim(run_id=make_run().pk, worker="zombie")
    silence(zombie)
    services.runs_reap()
    owner = services.run_claim(run_id=zombie.pk, worker="owner")
    line = '{"type": "metrics", "step": 1, "at": 1.0, "data": {"loss": 666}}\n'
    (tmp_path / "events.jsonl").write_text(line)
    with pytest.raises(RunMoved):
        services.run_heartbeat(run_id=zombie.pk, claim=zombie.claim)
    with pytest.raises(RunMoved):
        events_ingest(run=zombie, path=tmp_path / "events.jsonl")
    for to in (State.SUCCEEDED, State.FAILED, State.QUEUED):
        with pytest.raises(RunMoved):
            services.run_move(run=zombie, to=to, claim=zombie.claim)
    current = Run.objects.get(pk=owner.pk)
    assert (current.state, current.claim, current.worker) == (State.RUNNING, owner.claim, "owner")
    assert not current.events.filter(type=RunEvent.Type.METRICS).exists()


def test_a_run_is_announced_only_when_its_transaction_is_committed(make_run, monkeypatch) -> None:
    sent = []
    monkeypatch.setattr(services, "run_nudge", lambda **nudge: sent.append(nudge["run_id"]))
    with transaction.atomic():
        services.run_enqueue(run=make_run())
        transaction.set_rollback(True)
    assert sent == []
    with transaction.atomic():
        run = services.run_enqueue(run=make_run())
        assert sent == []
    assert sent == [run.pk]


def test_without_a_broker_a_run_is_queued_all_the_same(make_run, monkeypatch) -> None:
    from runs.tasks import execute

    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = execute.app.connection_for_write(f"redis://127.0.0.1:{closed.getsockname()[1]}/0")
        nowhere.transport_options = {"max_retries": 0}
        original = execute.apply_async
        monkeypatch.setattr(execute, "apply_async", lambda *a, **k: original(*a, **k, connection=nowhere))
        run = services.run_enqueue(run=make_run())
    assert Run.objects.get(pk=run.pk).state == State.QUEUED


def test_a_run_of_a_kind_that_nobody_registered_is_refused(make_run) -> None:
    with pytest.raises(KeyError):
        services.run_enqueue(run=Run(kind="unheard of", title="?"))


def test_a_retry_gives_back_all_attempts_and_forgets_the_error(make_run, admin) -> None:
    run = services.run_claim(run_id=make_run(max_attempts=1).pk, worker="dead")
    silence(run)
    services.runs_reap()
    run = services.run_retry(run=run, user=admin)
    assert (run.state, run.attempt, run.fault, run.error, run.finished_at) == (State.QUEUED, 0, "", "", None)
    with pytest.raises(ValidationError, match="Only a failed or cancelled run"):
        services.run_retry(run=run, user=admin)
