"""Real Celery workers for tests, as processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connection

from config.env import BASE_DIR


@pytest.fixture
def start_worker(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen]]:
    """`start_worker()` starts a worker on a queue, with a beat that nudges and reaps every second."""
    workers: list[subprocess.Popen] = []

    def start(*, beat: bool = True, queue: str = "default") -> subprocess.Popen:
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.runs.worker_settings",
            "TEST_DATABASE": connection.settings_dict["NAME"],
            "TEST_FOLDER": str(tmp_path),
        }
        command = [sys.executable, "-m", "celery", "-A", "config", "worker", "-Q", queue, "-c", "1", "-n"]
        command += [f"test-{len(workers)}-{os.getpid()}@here", "--without-gossip", "--without-mingle"]
        command += ["-B", "-s", str(tmp_path / f"beat-{len(workers)}")] if beat else []
        with (tmp_path / f"worker-{len(workers)}.log").open("wb") as log:
            worker = subprocess.Popen(
                command, cwd=BASE_DIR, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        workers.append(worker)
        return worker

    yield start
    for worker in workers:
        try:
            os.killpg(worker.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        worker.wait()
    for number in range(len(workers)):
        print((tmp_path / f"worker-{number}.log").read_text()[-4000:])
