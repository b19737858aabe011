"""A whole platform for a benchmark: embedded servers, gunicorn and Celery as `manage.py serve` starts them.

`Platform` sets up Django for its own var/ in this process, so a process has one of them.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil


class Platform:
    """Use it as a context manager. `url` is where the web server listens."""

    def __init__(self, var: Path, *, workers: int = 2, revive_seconds: float = 0.3, celery: bool = True) -> None:
        self.var = var.resolve()
        os.environ["PLUMBLINE_VAR"] = str(self.var)
        os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
        for name in ("DATABASE_URL", "REDIS_URL"):
            os.environ.pop(name, None)
        import django

        django.setup()
        from config.processes import Backoff
        from config.stack import Stack, platform

        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        groups = platform(host="127.0.0.1", port=self.port, workers=workers)
        if not celery:
            groups = [[child for child in group if child.name == "web"] for group in groups]
        self.stack = Stack(groups, logs=self.var / "log", say=lambda text: None)
        for child in self.stack.children:
            child.backoff = Backoff(first=revive_seconds, longest=revive_seconds)
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Platform:
        from django.core.management import call_command
        from django.db import connections

        from config import embedded, static

        embedded.ensure(self.var)
        call_command("migrate", interactive=False, verbosity=0)
        static.collect_if_changed()
        connections.close_all()
        self.stack.start()
        self._watcher.start()
        deadline = time.monotonic() + 90
        while not self.answers():
            if time.monotonic() > deadline:
                raise RuntimeError(f"The web server is not ready; see {self.var / 'log' / 'web.log'}")
            time.sleep(0.1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        from django.db import connections

        from config import embedded

        self._over.set()
        self._watcher.join()
        self.stack.stop()
        connections.close_all()
        embedded.release(self.var)
        embedded.wait_until_stopped(self.var)

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            self.stack.watch()

    def answers(self) -> bool:
        try:
            return urllib.request.urlopen(f"{self.url}/readyz", timeout=5).status == 200
        except (urllib.error.URLError, OSError):
            return False

    # processes ------------------------------------------------------------------------------------------------------

    def process(self, name: str) -> psutil.Process | None:
        """The living process of `serve` with this name: web (gunicorn's master), worker, gpu-worker, beat."""
        child = next(child for child in self.stack.children if child.name == name)
        if child.process is None or child.process.poll() is not None:
            return None
        return psutil.Process(child.process.pid)

    def kill_one(self, dice: Any) -> str | None:
        """SIGKILL something that serves, chosen by `dice` (random.Random); which, or None if it was not there."""
        target = dice.choice(["web worker", "web worker", "web worker", "web master", "celery"])
        try:
            if target == "celery":
                victim = self.process("worker")
            else:
                victim = self.process("web")
                if victim is not None and target == "web worker":
                    children = victim.children()
                    victim = dice.choice(children) if children else None
            if victim is None:
                return None
            victim.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            return None
        return target

    def cpu_seconds(self) -> dict[str, float]:
        """CPU time used so far by: web, postgres, valkey, the rest of the platform, and this process."""
        used = {"web": 0.0, "postgres": 0.0, "valkey": 0.0, "rest": 0.0, "client": _cpu(psutil.Process())}
        for child in self.stack.children:
            process = self.process(child.name)
            if process is not None:
                used["web" if child.name == "web" else "rest"] += _tree(process)
        for process in psutil.process_iter():
            try:
                command = " ".join(process.cmdline()[:1])
                if "valkey-server" in command and process.cwd().startswith(str((self.var / "servers").resolve())):
                    used["valkey"] += _cpu(process)
                elif "postgres" in command and str((self.var / "servers").resolve()) in " ".join(process.cmdline()):
                    used["postgres"] += _tree(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return used


def _tree(process: psutil.Process) -> float:
    total = _cpu(process)
    for child in process.children(recursive=True):
        try:
            total += _cpu(child)
        except psutil.NoSuchProcess:
            continue
    return total


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
