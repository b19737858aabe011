"""`manage.py serve` brings up all of the platform, keeps it up, and takes all of it down again."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import embedded, processes
from tests.config.house import Serve, answers, environment, gone, living, manage, pid_of, python

PROCESSES = {
    "web": ("gunicorn",),
    "worker": ("celery", "default@%h"),
    "gpu worker": ("celery", "gpu@%h"),
    "beat": ("celery", "beat"),
    "postgres": ("bin/postgres", "-D"),
    "valkey": ("valkey-server",),
    "keeper": ("config.keeper",),
}


@pytest.fixture(scope="module")
def var() -> Iterator[Path]:
    """One var/ for all tests here: each platform finds what the one before left."""
    above = Path(tempfile.mkdtemp())
    above.chmod(0o755)
    yield above / "var"
    shutil.rmtree(above)
    shutil.rmtree(embedded.socket_dir(above / "var"), ignore_errors=True)


@pytest.fixture(scope="module")
def platforms(var: Path) -> Iterator[list[Serve]]:
    started: list[Serve] = []
    yield started
    for platform in started:
        if platform.process.poll() is None:
            platform.stop()
    assert gone(var), living(var)


@pytest.fixture
def serve(var: Path, platforms: list[Serve]) -> Serve:
    """A running platform: the one of the test before, unless that test ended it."""
    if not platforms or platforms[-1].process.poll() is not None:
        platforms.append(Serve(var))
        platforms[-1].await_ready()
    return platforms[-1]


def test_a_port_that_is_taken_is_named_before_anything_starts(var: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        done = manage(var, "serve", "--port", port)
    assert done.returncode == 1
    assert f"Cannot listen on 127.0.0.1:{port}" in done.stderr and "Traceback" not in done.stderr
    assert gone(var), living(var)


def test_everything_is_up_and_says_where(serve: Serve, var: Path) -> None:
    for name, words in PROCESSES.items():
        assert pid_of(var, *words), name
    assert serve.said(serve.url) and serve.said(str(var)) and serve.said(str(var / "log"))
    assert answers(f"{serve.url}/healthz") and answers(f"{serve.url}/readyz")
    logs = {path.name for path in (var / "log").iterdir()}
    assert logs >= {"web.log", "worker.log", "gpu-worker.log", "beat.log", "postgres.log", "valkey.log"}


def test_a_second_platform_on_the_same_folder_is_refused_and_harms_nothing(serve: Serve, var: Path) -> None:
    second = manage(var, "serve", "--port", str(serve.port + 1))
    assert second.returncode == 1
    assert f"already running on {var}" in second.stderr and serve.url in second.stderr
    assert "Traceback" not in second.stderr
    assert answers(f"{serve.url}/readyz")


def test_static_files_have_hashed_names_and_may_be_kept_for_ever(serve: Serve) -> None:
    page = urllib.request.urlopen(f"{serve.url}/account/login/").read().decode()
    link = next(part for part in page.split('"') if part.startswith("/static/") and part.endswith(".css"))
    answer = urllib.request.urlopen(serve.url + link)
    assert link.count(".") >= 2
    assert "immutable" in answer.headers["Cache-Control"]


def test_the_secret_key_is_made_once_and_nobody_else_may_read_it(serve: Serve, var: Path) -> None:
    urllib.request.urlopen(f"{serve.url}/account/login/")
    key = var / "secret-key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert len(key.read_text()) >= 50
    assert environment(var).get("PLUMBLINE_SECRET_KEY") is None


def test_a_process_that_dies_is_started_again(serve: Serve, var: Path) -> None:
    for name in ("web", "worker"):
        os.kill(old := pid_of(var, *PROCESSES[name]), signal.SIGKILL)
        assert processes.wait_until(lambda name=name: serve.said(f"{name} ended (killed by SIGKILL)"), 20)
        assert processes.wait_until(
            lambda name=name, old=old: any(
                all(word in line for word in PROCESSES[name]) and not line.startswith(f"{old} ") for line in living(var)
            ),
            30,
        )
    assert processes.wait_until(lambda: answers(f"{serve.url}/readyz"), 60)


def test_ctrl_c_leaves_no_process_and_the_data_is_there_the_next_time(serve: Serve, var: Path) -> None:
    name = f"name-{os.getpid()}"
    made = manage(var, "shell", "-c", f"from accounts.models import User; User.objects.create_user('{name}')")
    assert made.returncode == 0, made.stderr
    assert serve.stop(signal.SIGINT) == 0
    assert living(var) == []
    again = Serve(var)
    again.await_ready()
    asked = manage(var, "shell", "-c", "from accounts.models import User; print(*User.objects.values_list('username'))")
    assert name in asked.stdout
    assert again.stop(signal.SIGTERM) == 0
    assert living(var) == []


def test_nothing_survives_a_platform_that_is_killed(serve: Serve, var: Path) -> None:
    serve.process.kill()
    serve.process.wait()
    assert gone(var, 40), living(var)


def test_a_shell_that_is_open_keeps_the_database_until_it_ends(serve: Serve, var: Path) -> None:
    shell = python(var)
    assert serve.stop() == 0
    assert serve.said("The database stays up: another process uses it")
    assert pid_of(var, "bin/postgres", "-D")
    shell.communicate("\n")
