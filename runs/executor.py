"""One attempt at a run: claim it, start its child, carry its events to the database, and say truthfully how it ended.

The executor owns the lifecycle; what the work is belongs to the RunKind, and the work itself is done in the child
process. It does not retry by itself: it moves the run, and whoever claims it next goes on.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, connection, transaction

from config.env import BASE_DIR
from runs import child, kinds, services, shutdown
from runs.artifacts import artifact_record, artifact_store, artifacts_sweep
from runs.events import clean, events_ingest, events_restart
from runs.faults import classify
from runs.logs import log_tail
from runs.models import Run
from runs.states import RunMoved, State

log = structlog.get_logger(__name__)

TICK = 0.5  # seconds between looks at the child and at the database
GRACE = 8.0  # seconds a child has to save its checkpoint before it is killed; a cancelled run is gone within 10
REAP_EVERY = 10.0
DETAIL_LINES = 60
# OpenMP threads that wait by spinning take the cores from whoever they wait for. On a machine that also serves pages,
# training was 4 to 7 times slower that way than with threads that sleep.
PATIENT = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
# The child answers through files. It needs none of the platform's secrets, so it does not get them.
KEPT_FROM_CHILD = frozenset({"DATABASE_URL", "REDIS_URL", "PLUMBLINE_SECRET_KEY"})


def run_execute(*, run_id: int, worker: str) -> None:
    """Work on a run if it waits and nobody else has claimed it."""
    if shutdown.requested():
        return
    run = services.run_claim(run_id=run_id, worker=worker)
    if run is None:
        return
    with structlog.contextvars.bound_contextvars(run_id=run.pk, kind=run.kind, attempt=run.attempt):
        Execution(run).perform()
    if not shutdown.requested():
        services.runs_nudge(queue=run.queue)  # its messages may have expired while we were busy


class Execution:
    """One attempt. Every write it makes is under its claim; when that is lost it kills its child and leaves."""

    def __init__(self, run: Run) -> None:
        assert run.claim is not None
        self.run = run
        self.claim = run.claim
        self.dir = run.directory
        self.pulse = Pulse(run)
        self.stopping = ""  # why we asked the child to stop

    def perform(self) -> None:
        try:
            with self.pulse:
                self._prepare()
                code = self._supervise()
                self._conclude(code)
        except RunMoved as error:
            log.warning("run.lost", reason=str(error))
        except Exception as error:
            # The one place where a failure on our side of the run is named; it must not take the worker with it.
            fault, message = classify(error)
            log.error("run.attempt_failed", fault=fault, error=message, exc_info=fault == "ours")
            self._fail(fault, message, traceback.format_exc())

    def _prepare(self) -> None:
        kind = kinds.get(self.run.kind)
        typed = kinds.typed(self.run)
        if typed.claim != self.claim:
            raise RunMoved("The run was given to another worker.")
        self.run, self.kind = typed, kind
        self.dir.mkdir(parents=True, exist_ok=True)
        for stale in (child.ERROR, child.RESULT):
            (self.dir / stale).unlink(missing_ok=True)
        self._ingest()
        if not any(self.dir.glob("checkpoints/step-*")) and not any(self.dir.glob("output/*")):
            events_restart(run=self.run, path=self.dir / child.EVENTS)
        inputs = kind.prepare(self.run, self.dir)
        spec = {"run": self.run.pk, "kind": self.run.kind, "seed": self.run.seed}
        child.write_json(self.dir / child.SPEC, {**spec, "config": self.run.config, "inputs": inputs})

    def _start(self) -> subprocess.Popen[bytes]:
        kept = () if self.kind.uses_database else KEPT_FROM_CHILD
        environment = {name: value for name, value in os.environ.items() if name not in kept}
        environment = PATIENT | environment | {"PYTHONUNBUFFERED": "1", "PLUMBLINE_PARENT_PIPE": "1"}
        if settings.TORCH_THREADS:
            environment |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(settings.TORCH_THREADS))
        with (self.dir / child.LOG).open("ab") as output:
            output.write(f"--- attempt {self.run.attempt}, {time.strftime('%Y-%m-%d %H:%M:%S %Z')} ---\n".encode())
            output.flush()
            return subprocess.Popen(
                self.kind.command(self.run, self.dir),
                cwd=BASE_DIR,
                env=environment,
                stdin=subprocess.PIPE,  # never written to: its closing tells the child that we are gone
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _supervise(self) -> int:
        """Watch the child to its end; returns its exit code. Whatever happens, nothing of it is left running."""
        process = self._start()
        log.info("run.child_started", pid=process.pid)
        deadline = float("inf")
        reap_at = time.monotonic() + REAP_EVERY
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(TICK)
                code = process.returncode
                if self.pulse.lost:
                    raise RunMoved("The run was given to another worker, or the database is out of reach.")
                try:
                    state = self._look(final=code is not None)
                    if time.monotonic() > reap_at:
                        services.runs_reap()  # all workers of this queue may be busy for hours
                        reap_at = time.monotonic() + REAP_EVERY
                except (OperationalError, InterfaceError) as error:
                    log.warning("run.database_away", error=str(error))
                    connection.close()
                    time.sleep(TICK)
                    continue
                if code is not None:
                    return code
                reason = "cancelled" if state == State.CANCELLING else "shutdown" if shutdown.requested() else ""
                if reason and not self.stopping:
                    self.stopping, deadline = reason, time.monotonic() + GRACE
                    log.info("run.child_stopping", reason=reason)
                    _signal(process, signal.SIGTERM)
                if time.monotonic() > deadline:
                    _signal(process, signal.SIGKILL)
        finally:
            _signal(process, signal.SIGKILL)  # also what the child has left behind in its group
            process.wait()
            if process.stdin:
                process.stdin.close()

    def _look(self, *, final: bool) -> str:
        """Carry over new events; returns the run's state as the database has it."""
        while self._ingest() and final:
            pass
        state = Run.objects.filter(pk=self.run.pk, claim=self.claim).values_list("state", flat=True).first()
        if state is None:
            raise RunMoved("The run was given to another worker.")
        self.run.state = state
        return state

    def _ingest(self) -> bool:
        return events_ingest(run=self.run, path=self.dir / child.EVENTS)

    def _conclude(self, code: int) -> None:
        log.info("run.child_ended", code=code, asked=self.stopping)
        if code == child.EXIT_OK and self.run.state == State.RUNNING:
            self._succeed()
        elif self.stopping == "shutdown" and code in (child.EXIT_STOPPED, -signal.SIGTERM, -signal.SIGKILL):
            reason = "The worker was shut down; the run continues when one is free."
            self._end(lambda: services.run_requeue(run=self.run, reason=reason, keep_attempt=False))
        else:
            self._fail(*verdict(code, _read_json(self.dir / child.ERROR)))

    def _succeed(self) -> None:
        """Store the artifact, then in one transaction record it, let the kind take over, and mark the run succeeded."""
        result = clean(_read_json(self.dir / child.RESULT))
        kind, run = self.kind, self.run
        stored = None
        if kind.artifact_kind:
            lineage = kind.lineage(run)
            stored = artifact_store(run=run, source=self.dir / "output", kind=kind.artifact_kind, lineage=lineage)
        with transaction.atomic():
            run.state = self._hold()
            if run.state == State.CANCELLING:
                services.run_move(run=run, to=State.CANCELLED, claim=self.claim)
            else:
                if stored:
                    artifact_record(run=run, kind=kind.artifact_kind, **stored)
                kind.finish(run, self.dir, result)
                services.run_move(run=run, to=State.SUCCEEDED, claim=self.claim, result=result)
            artifacts_sweep(run=run)
        if run.state == State.SUCCEEDED:
            _tidy(self.dir, published=run.artifacts.exists())

    def _fail(self, fault: str, message: str, detail: str) -> None:
        tail = "\n".join(log_tail(self.dir / child.LOG, DETAIL_LINES))
        detail = f"{detail}\n\nLast lines of the log:\n{tail}".strip() if tail else detail.strip()
        close_old_connections()
        self._end(lambda: services.run_fail(run=self.run, fault=fault, error=clean(message), detail=clean(detail)))

    def _end(self, move: Callable[[], None]) -> None:
        """End the attempt with `move`, or as cancelled if that was asked for, even in this last moment."""
        try:
            with transaction.atomic():
                self.run.state = self._hold()
                artifacts_sweep(run=self.run)  # a finish that was rolled back may have stored files
                if self.run.state == State.CANCELLING:
                    services.run_move(run=self.run, to=State.CANCELLED, claim=self.claim)
                else:
                    move()
        except RunMoved as error:
            log.warning("run.lost", reason=str(error))

    def _hold(self) -> str:
        """Lock the run until the transaction ends; returns its state. Nobody else cancels or reaps it meanwhile."""
        state = Run.objects.select_for_update().filter(pk=self.run.pk, claim=self.claim).values_list("state", flat=True)
        for held in state:
            return held
        raise RunMoved("The run was given to another worker.")


class Pulse:
    """The run's heartbeat while the block lasts, on a thread and a connection of its own: storing an artifact of many
    gigabytes must not look like death."""

    def __init__(self, run: Run) -> None:
        assert run.claim is not None
        self.run_id, self.claim = run.pk, run.claim
        self.lost = False
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"pulse-{run.pk}", daemon=True)

    def __enter__(self) -> Pulse:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _beat(self) -> None:
        heard = time.monotonic()
        try:
            while not self._done.wait(settings.HEARTBEAT_SECONDS):
                try:
                    services.run_heartbeat(run_id=self.run_id, claim=self.claim)
                    heard = time.monotonic()
                except RunMoved:
                    # Also so in the moment after the run has been moved to its end, when nobody asks any more.
                    self.lost = True
                    return
                except (OperationalError, InterfaceError):
                    connection.close()
                    # By now the reaper may have given the run away; two children must not work on it.
                    self.lost = time.monotonic() - heard > settings.HEARTBEAT_TIMEOUT
        finally:
            connection.close()


def verdict(code: int, error: dict[str, Any]) -> tuple[str, str, str]:
    """What the end of a child that did not succeed means: (fault, message for people, detail).

    `error` is its error.json, empty if it left none.
    """
    signum = -code if code < 0 else code - 128 if code > 128 else 0
    if signum == signal.SIGKILL:
        advice = "It probably ran out of memory: use a smaller batch or a shorter maximum length."
        return "machine", f"The system killed the process of this run. {advice}", ""
    if error.get("fault") in Run.Fault.values:
        return error["fault"], str(error.get("message")) or "It gave no reason.", str(error.get("detail", ""))
    if code == child.EXIT_STOPPED or signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        return "machine", "Somebody outside Plumbline stopped the process of this run.", ""
    if signum:
        name = signal.Signals(signum).name if signum in set(signal.Signals) else f"signal {signum}"
        return "ours", f"The process of this run crashed ({name}).", ""
    fault = {child.EXIT_USER: "user", child.EXIT_MACHINE: "machine"}.get(code, "ours")
    # A machine fault without error.json: there was no room to write it.
    message = "The process had no room to say why it failed: is the disk full?" if fault == "machine" else ""
    return fault, message or f"The process of this run ended with exit code {code} and gave no reason.", ""


def _signal(process: subprocess.Popen[bytes], signum: int) -> None:
    """Signal the child's whole group: a launcher's ranks and loader processes are in it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signum)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _tidy(directory: Path, *, published: bool) -> None:
    """After success the checkpoints are of no use, and the output is in the artifact."""
    shutil.rmtree(directory / "checkpoints", ignore_errors=True)
    if published:
        shutil.rmtree(directory / "output", ignore_errors=True)
