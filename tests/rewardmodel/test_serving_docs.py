"""The examples of docs/serving.md work as they stand there."""

import os
import re
import shlex
import subprocess
import sys

import pytest
from django.core.management import call_command

from config.env import BASE_DIR
from rewardmodel.models import ScoreRun
from tests.rewardmodel.serving import reward_server

TEXT = (BASE_DIR / "docs" / "serving.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def test_the_examples_of_the_server_print_rewards(trained_directory):
    asking = next(block for block in blocks("bash") if "$SERVER" in block)
    [program] = blocks("python")
    with reward_server(trained_directory) as served:
        environment = {**os.environ, "SERVER": served.url}
        for command in (["bash", "-c", asking], [sys.executable, "-c", program]):
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, done.stderr
            assert done.stdout.count("helpfulness") >= 2, done.stdout


@pytest.mark.django_db(transaction=True)
def test_the_examples_of_the_api_queue_scorings(trained, admin, live_server, tmp_path):
    from knox.models import AuthToken

    asking = next(block for block in blocks("bash") if "$PLUMBLINE" in block)
    (tmp_path / "answers.jsonl").write_text('{"prompt": "Why?", "responses": ["a", "b"]}\n')
    _, token = AuthToken.objects.create(admin)
    environment = {**os.environ, "PLUMBLINE": live_server.url, "MODEL": str(trained.pk), "TOKEN": token}
    done = subprocess.run(
        ["bash", "-c", asking], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert ScoreRun.objects.filter(state="queued").count() == 2, done.stdout


def test_the_commands_score_a_file(trained, tmp_path, monkeypatch):
    (tmp_path / "answers.jsonl").write_text('{"prompt": "Why?", "responses": ["a", "b"]}\n')
    monkeypatch.chdir(tmp_path)
    commands = [line.partition("#")[0] for line in TEXT.splitlines() if line.startswith("manage.py score")]
    for command in commands:
        call_command(*shlex.split(command)[1:])
    assert {"answers.jsonl.scores.jsonl", "best.jsonl"} <= {path.name for path in tmp_path.iterdir()}


def test_the_command_of_the_server_is_understood():
    from rewardmodel.serve.__main__ import _parser

    [command] = re.findall(r"^python -m rewardmodel\.serve (.*)$", TEXT, re.MULTILINE)
    assert _parser().parse_args(shlex.split(command)).dimension == "helpfulness"
    offered = _parser().format_help()
    for option in set(re.findall(r"`(--[a-z-]+)`", TEXT)) - {"--best-only"}:
        assert option in offered, option
