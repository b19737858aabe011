"""Processes and their traces, for tests of what starts and stops: whatever belongs to one var/ can be found."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import psutil

from config import embedded, processes
from config.env import BASE_DIR


def environment(var: Path, **variables: str) -> dict[str, str]:
    """That of a process of its own platform: nothing is taken over from the tests but PATH and the like."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("PLUMBLINE_", "DJANGO_", "DATABASE_", "REDIS_"))}
    return own | {"PLUMBLINE_VAR": str(var), "PYTHONPATH": str(BASE_DIR)} | variables


USE = "import os, pathlib; from config import embedded; embedded.ensure(pathlib.Path(os.environ['PLUMBLINE_VAR']))"


def python(var: Path, code: str = USE) -> subprocess.Popen[str]:
    """A process that uses the servers of `var` until it is told a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", f"{code}\nprint('here', flush=True)\ninput()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(var),
        cwd=BASE_DIR,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    return process


def manage(var: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        env=environment(var, **variables),
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
        timeout=120,
    )


def living(var: Path) -> list[str]:
    """The command lines of all processes that work on `var`."""
    marks = (str(var.resolve()), str(embedded.socket_dir(var)))
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            command = " ".join(process.cmdline())
            if process.environ().get("PLUMBLINE_VAR") in marks or any(mark in command for mark in marks):
                found.append(f"{process.pid} {command}")
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def gone(var: Path, seconds: float = 30) -> bool:
    return processes.wait_until(lambda: not living(var), seconds)


def pid_of(var: Path, *words: str) -> int:
    """The process on `var` with all these words in its command line; the oldest, if there are several."""
    pids = [int(line.split()[0]) for line in living(var) if all(word in line for word in words)]
    assert pids, f"no {words} among {living(var)}"
    return min(pids)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(url: str) -> bool:
    try:
        return urllib.request.urlopen(url, timeout=5).status == 200
    except (urllib.error.URLError, OSError):
        return False


class Serve:
    """`manage.py serve` on a var/ of its own, in a process."""

    def __init__(self, var: Path, **variables: str) -> None:
        self.var = var
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.output = var.with_name("serve-output.txt")
        with self.output.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "serve", "--port", str(self.port), "--workers", "1"],
                env=environment(var, **variables),
                cwd=BASE_DIR,
                stdout=out,
                stderr=out,
            )

    def said(self, text: str) -> bool:
        return text in self.output.read_text()

    def await_ready(self) -> None:
        ready = processes.wait_until(lambda: self.said("Press Ctrl-C") or self.process.poll() is not None, 120)
        assert ready and self.process.poll() is None, self.output.read_text()

    def stop(self, signum: int = signal.SIGTERM) -> int:
        self.process.send_signal(signum)
        return self.process.wait(60)
