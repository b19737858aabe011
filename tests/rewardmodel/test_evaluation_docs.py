"""The examples of docs/reward-models.md work as they stand there, and it names every key of a line."""

import json
import os
import re
import shlex
import subprocess

import pytest
from django.core.management import load_command_class

from config.env import BASE_DIR
from rewardmodel.models import RewardEvaluation

TEXT = (BASE_DIR / "docs" / "reward-models.md").read_text(encoding="utf-8")


@pytest.mark.django_db(transaction=True)
def test_the_examples_of_the_api_queue_evaluations(trained, admin, live_server, tmp_path):
    from knox.models import AuthToken

    [asking] = re.findall(r"^```bash\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    (tmp_path / "pairs.jsonl").write_text('{"prompt": "Why?", "chosen": "a", "rejected": "b"}\n')
    _, token = AuthToken.objects.create(admin)
    environment = {**os.environ, "PLUMBLINE": live_server.url, "MODEL": str(trained.pk), "TOKEN": token}
    done = subprocess.run(
        ["bash", "-c", asking], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert RewardEvaluation.objects.filter(state="queued").count() == 2, done.stdout


def test_the_commands_are_understood():
    parser = load_command_class("rewardmodel", "evaluate_reward_model").create_parser("manage.py", "evaluate")
    commands = [line.partition("#")[0] for line in TEXT.splitlines() if line.startswith("manage.py evaluate")]
    given = [parser.parse_args(shlex.split(command)[2:]) for command in commands]
    assert [each.reward_model for each in given] == ["Judge"] * 3
    assert (given[1].file.name, given[2].dataset, given[2].second) == ("pairs.jsonl", 7, "Judge 2")


def test_every_key_of_a_line_is_named(trained_directory, dataset_of_two, tmp_path):
    from rewardmodel.training.evaluation import ITEMS, evaluate_reward_model
    from tests.rewardmodel.test_evaluation_run import prepared

    run = prepared(tmp_path / "run", trained_directory, dataset=dataset_of_two, second=trained_directory)
    evaluate_reward_model(run)
    keys = json.loads((run.output / ITEMS).read_text().splitlines()[0])
    table = TEXT.split("| key |")[1].split("\n\n")[0]
    assert set(re.findall(r"`([a-z_]+)`", table)) - {"exact", "near"} == set(keys)
