"""Every line of a log says which request, task or run it belongs to."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from django.test import Client

from config.env import BASE_DIR
from tests.config.house import environment


def lines(tmp_path: Path, code: str, **variables: str) -> list[str]:
    """What `code`, run with the platform's settings, writes to stderr."""
    env = environment(tmp_path, DJANGO_SETTINGS_MODULE="config.settings", **variables)
    setup = "import logging, structlog, django; django.setup()\n"
    done = subprocess.run([sys.executable, "-c", setup + code], env=env, cwd=BASE_DIR, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines()


BOTH = """
with structlog.contextvars.bound_contextvars(run=12):
    structlog.get_logger("runs").info("started", attempt=2)
    logging.getLogger("a.library").warning("slow %s", "disk")
"""


def test_json_lines_carry_the_run_whoever_writes_them(tmp_path: Path) -> None:
    ours, theirs = (json.loads(line) for line in lines(tmp_path, BOTH, PLUMBLINE_LOG_FORMAT="json"))
    assert (ours["event"], ours["run"], ours["attempt"], ours["level"]) == ("started", 12, 2, "info")
    assert (theirs["event"], theirs["run"], theirs["logger"]) == ("slow disk", 12, "a.library")


def test_console_lines_are_for_people(tmp_path: Path) -> None:
    ours, theirs = lines(tmp_path, BOTH)
    assert "started" in ours and "run=12" in ours and "attempt=2" in ours
    assert "slow disk" in theirs and "run=12" in theirs


def test_an_exception_in_json_is_one_line(tmp_path: Path) -> None:
    code = "try:\n    1 / 0\nexcept ZeroDivisionError:\n    structlog.get_logger().exception('broken')"
    (line,) = lines(tmp_path, code, PLUMBLINE_LOG_FORMAT="json")
    assert "ZeroDivisionError" in json.dumps(json.loads(line)["exception"])


def test_the_level_is_a_setting(tmp_path: Path) -> None:
    assert lines(tmp_path, BOTH.replace("warning", "info"), PLUMBLINE_LOG_LEVEL="WARNING") == []


@pytest.mark.django_db
def test_a_request_keeps_the_id_it_came_with_if_it_is_harmless() -> None:
    client = Client()
    assert client.get("/account/login/", headers={"x-request-id": "abc-1"})["X-Request-ID"] == "abc-1"
    forged = client.get("/account/login/", headers={"x-request-id": "a\tlevel=info"})["X-Request-ID"]
    assert forged and "level" not in forged


@pytest.mark.django_db
def test_a_request_is_one_line_with_its_id(capsys, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "config.middleware"):
        Client().get("/account/login/", headers={"x-request-id": "abc-2"})
    (record,) = [record.msg for record in caplog.records if record.name == "config.middleware"]
    assert record["request_id"] == "abc-2"
    assert (record["method"], record["path"], record["status"]) == ("GET", "/account/login/", 200)
