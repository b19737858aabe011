"""Child processes that cannot outlive their parent: started in a session of their own, stopped with rising force."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
LOG_LIMIT = 16 * 2**20  # bytes; a longer log is set aside as NAME.1 when its process next starts


def dies_with_parent(signum: int) -> Callable[[], None]:
    """A preexec function: the kernel sends `signum` to the child when the parent dies, however it dies (Linux only)."""
    parent = os.getpid()

    def arrange() -> None:
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, signum)
            if os.getppid() != parent:  # it died between fork and prctl
                os._exit(1)

    return arrange


def spawn(
    argv: Sequence[str | Path],
    *,
    log: Path,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    on_parent_death: int = signal.SIGTERM,
    **options: Any,
) -> subprocess.Popen[bytes]:
    """Start `argv` in a session of its own, so that Ctrl-C reaches only the parent; all it prints goes to `log`."""
    rotate(log)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        return subprocess.Popen(
            [str(part) for part in argv],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=None if env is None else dict(env),
            start_new_session=True,
            preexec_fn=dies_with_parent(on_parent_death),
            **options,
        )


def rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_LIMIT:
        log.replace(log.with_name(log.name + ".1"))


def tail(log: Path, lines: int = 12) -> str:
    """The last lines of a log, for messages."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def stop(process: subprocess.Popen[bytes], *steps: tuple[int, float]) -> None:
    """Send each (signal, seconds to wait) until the process is gone; then kill what is left of its session."""
    for signum, seconds in steps:
        if process.poll() is not None:
            break
        process.send_signal(signum)
        wait(process, seconds)
    try:
        os.killpg(process.pid, signal.SIGKILL)  # its session: also the children of a leader that died badly
    except (ProcessLookupError, PermissionError):
        pass
    process.wait()


def wait(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """True once the process is gone."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def wait_until(condition: Callable[[], bool], seconds: float, interval: float = 0.05) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(interval)
    return True


class Backoff:
    """How long to wait before a process is started again: doubling, forgotten after a minute of health."""

    def __init__(self, first: float = 1.0, longest: float = 30.0, healthy: float = 60.0) -> None:
        self.first, self.longest, self.healthy = first, longest, healthy
        self.delay = first

    def after(self, uptime: float) -> float:
        """Seconds to wait after a life of `uptime` seconds."""
        if uptime > self.healthy:
            self.delay = self.first
        delay, self.delay = self.delay, min(self.delay * 2, self.longest)
        return delay
