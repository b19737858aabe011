"""The platform's own processes on one machine: started, watched, started again when they die, stopped in order."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from config import processes
from config.env import BASE_DIR

GUNICORN = [sys.executable, "-m", "gunicorn", "-c", "python:config.gunicorn"]
CELERY = [sys.executable, "-m", "celery", "-A", "config"]
POLITE = 10  # niceness of statistics and training: people at their browsers do not wait for them


@dataclass
class Child:
    """One process of the platform. `stop_steps`: (signal, seconds to wait before the next one)."""

    name: str
    argv: Sequence[str]
    stop_steps: Sequence[tuple[int, float]]
    on_parent_death: int = signal.SIGTERM
    niceness: int = 0
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    retry_at: float | None = None
    backoff: processes.Backoff = field(default_factory=processes.Backoff)


def platform(*, host: str, port: int, workers: int) -> list[list[Child]]:
    """The processes of `serve`, in groups that stop one after another: nothing new comes in, then work ends."""
    # SIGTERM asks a worker to end: the executor stops its run, which is queued again and resumes later. SIGQUIT is for
    # a worker that does not get there, and for one whose parent was killed.
    worker_stop = ((signal.SIGTERM, 12.0), (signal.SIGQUIT, 3.0))
    quiet = ("--without-gossip", "--without-mingle")
    beat = Child(
        "beat",
        [*CELERY, "beat", "--pidfile="],
        ((signal.SIGTERM, 5.0),),
    )
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    web = Child(
        "web",
        [*GUNICORN, "--bind", address, "--workers", str(workers), "config.wsgi"],
        ((signal.SIGTERM, 7.0),),
    )
    worker = Child(
        "worker",
        [*CELERY, "worker", "-Q", "default", "-c", "2", "-n", "default@%h", *quiet],
        worker_stop,
        on_parent_death=signal.SIGQUIT,
        niceness=POLITE,
    )
    gpu_worker = Child(
        "gpu-worker",
        [*CELERY, "worker", "-Q", "gpu", "-c", "1", "-n", "gpu@%h", *quiet],
        worker_stop,
        on_parent_death=signal.SIGQUIT,
        niceness=POLITE,
    )
    return [[beat, web], [worker, gpu_worker]]


class Stack:
    """Groups of children. Later groups start first and stop last."""

    def __init__(self, groups: Sequence[Sequence[Child]], *, logs: Path, say: Callable[[str], None]) -> None:
        self.groups = groups
        self.logs = logs
        self.say = say

    @property
    def children(self) -> list[Child]:
        return [child for group in self.groups for child in group]

    def log(self, child: Child) -> Path:
        return self.logs / f"{child.name}.log"

    def start(self) -> None:
        for group in reversed(self.groups):
            for child in group:
                self._spawn(child)

    def watch(self) -> None:
        """Call it often: a child that has died is started again, at first after a second, then later and later."""
        now = time.monotonic()
        for child in self.children:
            if child.process is None or child.process.poll() is None:
                continue
            if child.retry_at is None:
                delay = child.backoff.after(now - child.started)
                child.retry_at = now + delay
                processes.stop(child.process)  # what is left of its session
                self.say(
                    f"{child.name} ended ({_manner(child.process.returncode)}); "
                    f"starting it again in {delay:.0f} s. See {self.log(child)}"
                )
            elif now >= child.retry_at:
                child.retry_at = None
                self._spawn(child)

    def stop(self) -> None:
        for group in self.groups:
            threads = [threading.Thread(target=self._stop, args=(child,)) for child in group]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    def _spawn(self, child: Child) -> None:
        # Unbuffered, or the last words of a child that is killed would be lost.
        env = os.environ | {"PYTHONUNBUFFERED": "1"}
        child.process = processes.spawn(
            child.argv, log=self.log(child), cwd=BASE_DIR, env=env, on_parent_death=child.on_parent_death
        )
        child.started = time.monotonic()
        if child.niceness:
            _make_polite(child.process.pid, child.niceness)

    def _stop(self, child: Child) -> None:
        if child.process is not None:
            processes.stop(child.process, *child.stop_steps)


def _make_polite(pid: int, niceness: int) -> None:
    """Linux may weigh whole sessions against each other, and then a process's niceness counts only within its own."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, niceness)
        Path(f"/proc/{pid}/autogroup").write_text(str(niceness))


def _manner(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
