"""The launcher of several processes: their places, and how the end of one is the end of all."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from config.env import BASE_DIR


def start(directory: Path, *hows: str, **environment: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "lm.launch", str(len(hows)), "tests.lm.ranks", str(directory), *hows]
    return subprocess.Popen(command, cwd=BASE_DIR, env={**os.environ, **environment}, start_new_session=True)


def places(directory: Path, count: int) -> list[dict]:
    deadline = time.monotonic() + 60
    files = [directory / f"{rank}.json" for rank in range(count)]
    while not all(file.exists() for file in files):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return [json.loads(file.read_text()) for file in files]


def test_each_process_knows_its_place_and_all_share_the_threads(tmp_path):
    launcher = start(tmp_path, "done", "done", OMP_NUM_THREADS="5")
    assert launcher.wait(60) == 0
    first, second = places(tmp_path, 2)
    assert (first["RANK"], second["RANK"]) == ("0", "1")
    assert (first["LOCAL_RANK"], second["LOCAL_RANK"]) == ("0", "1")
    assert first["WORLD_SIZE"] == "2" and first["MASTER_PORT"] == second["MASTER_PORT"]
    assert first["OMP_NUM_THREADS"] == "2"
    assert first["group"] == second["group"] == launcher.pid


@pytest.mark.parametrize(
    ("hows", "code"),
    [
        (("code3", "stay"), 3),
        (("stay", "code4"), 4),
        (("stay", "kill"), 128 + signal.SIGKILL),
    ],
)
def test_when_one_fails_the_others_end_and_its_code_is_ours(tmp_path, hows, code):
    launcher = start(tmp_path, *hows)
    assert launcher.wait(120) == code
    with pytest.raises(ProcessLookupError):  # nobody is left in the group
        os.killpg(launcher.pid, 0)


def test_who_is_done_first_leaves_the_others_to_finish(tmp_path):
    assert start(tmp_path, "linger", "done").wait(60) == 0
    assert (tmp_path / "finished").exists()


def test_a_request_to_stop_reaches_all(tmp_path):
    launcher = start(tmp_path, "until-told", "until-told")
    places(tmp_path, 2)
    launcher.terminate()
    assert launcher.wait(60) == 5
