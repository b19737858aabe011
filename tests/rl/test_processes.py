"""Several processes share every step, and come to what one comes to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from lm.processes import World
from rl.training.judge import Verdict
from rl.training.work import work
from runs.child import EXIT_STOPPED, EXIT_USER, RunDir
from tests.rl.test_online import FAST as ONLINE
from tests.rl.test_online import many_prompts, start  # noqa: F401
from tests.rl.worlds import events, result, weights, write_run

OFFLINE = {
    "learning_rate": 1e-2,
    "comparisons_per_step": 5,
    "lora": {"rank": 4},
    "sampling": {"max_tokens": 4},
    "sample_prompts": 1,
    "evaluate_every": 2,
    "checkpoint_every": 1,
    "save": "best",
}
SHORT = {**ONLINE, "steps": 2, "evaluate_every": 1, "checkpoint_every": 1, "prompts_per_step": 3}
ADAPTIVE = {"kl_control": "adaptive", "kl_target": 0.01, "kl_horizon": 100, "reward_scaling": "running"}
CASES = {
    "sft": OFFLINE,
    "dpo": OFFLINE,
    "kto": OFFLINE,
    "ppo": {**SHORT, **ADAPTIVE, "ptx_coef": 0.5},
    "grpo": {**SHORT, "kl_coef": 0.1},
    "rloo": SHORT,
    "reinforce": SHORT,
    "best_of_n": SHORT,
}
STOPPED = ("dpo", "ppo")
STEP_FIGURES = (
    "loss",
    "grad_norm",
    "reward",
    "kl",
    "policy_loss",
    "value_loss",
    "ptx_loss",
    "test_loss",
    "test_reward",
)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory, tiny, judge, dataset, many_prompts):  # noqa: F811
    """For every algorithm (what one process came to, what two came to)."""
    root = tmp_path_factory.mktemp("processes")
    inputs = {"model": tiny, "adapter": None, "models_dir": None, "dataset": dataset}
    found = {}
    for name, config in CASES.items():
        online = {} if config is OFFLINE else {"prompts": many_prompts, "reward_model": judge}
        found[name] = [
            write_run(root / f"{name}-{count}", {"algorithm": name, **config}, **inputs, **online) for count in (1, 2)
        ]
        if name in STOPPED:
            (found[name][1] / "stop_after").write_text("1")
        work(RunDir(found[name][0]))
    command = [sys.executable, "-m", "lm.launch", "2", "tests.rl.several", *(str(two) for _, two in found.values())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return found


@pytest.mark.parametrize("algorithm", CASES)
def test_two_processes_come_to_what_one_comes_to(pairs, algorithm):
    one, two = pairs[algorithm]
    steps = [
        {event["step"]: event["data"] for event in events(directory) if "grad_norm" in event["data"]}
        for directory in (one, two)
    ]
    assert steps[0].keys() == steps[1].keys()
    for step, figures in steps[0].items():
        for name in STEP_FIGURES:
            if name in figures:
                assert figures[name] == pytest.approx(steps[1][step][name], rel=2e-3, abs=2e-4), (step, name)
    expected, found = weights(one), weights(two)
    assert all(torch.allclose(expected[name], found[name], atol=2e-4) for name in expected)
    assert result(one)["saved_step"] == result(two)["saved_step"]


@pytest.mark.parametrize("algorithm", ["ppo", "grpo", "best_of_n"])
def test_two_processes_sample_the_same_texts(pairs, algorithm):
    shown = [[event["data"]["response"] for event in events(each, "sample")] for each in pairs[algorithm]]
    assert shown[0] and shown[0] == shown[1][-len(shown[0]) :]


@pytest.mark.parametrize("algorithm", STOPPED)
def test_two_processes_resumed_where_they_were_stopped(pairs, algorithm):
    assert [event["step"] for event in events(pairs[algorithm][1], "resumed")] == [1]


def run_in_two(directory):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "lm.launch", "2", "rl.training", str(directory)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)


def test_a_stop_reaches_every_process_and_is_a_stop(start):  # noqa: F811
    directory = start("grpo", steps=10_000, evaluate_every=0, sample_every=0)
    child = run_in_two(directory)
    while not (directory / "checkpoints").exists() and child.poll() is None:
        if (directory / "events.jsonl").exists() and len(events(directory)) >= 1:
            break
        time.sleep(0.1)
    child.send_signal(signal.SIGTERM)
    assert child.wait(60) == EXIT_STOPPED, child.stderr.read()[-2000:]
    assert RunDir(directory).latest_checkpoint() is not None
    assert not (directory / "error.json").exists()


def test_what_all_processes_refuse_is_said_once_and_in_words(start):  # noqa: F811
    directory = start("grpo", inputs={"reward_model": ""})
    child = run_in_two(directory)
    assert child.wait(120) == EXIT_USER
    assert "Choose a reward model, or add a check" in json.loads((directory / "error.json").read_text())["message"]


def test_the_platform_starts_as_many_as_were_asked_for(tmp_path):
    from rl.kind import PolicyKind
    from rl.models import PolicyRun

    def command(**config):
        return PolicyKind().command(PolicyRun(config=config), tmp_path)[1:]

    assert command() == command(processes=1) == ["-m", "rl.training", str(tmp_path)]
    assert command(processes=3) == ["-m", "lm.launch", "3", "rl.training", str(tmp_path)]


def test_shares_are_even_and_leave_nothing_out():
    costs = [5, 1, 1, 1, 4, 4]
    shares = [World(rank, 3).mine(costs) for rank in range(3)]
    assert sorted(index for share in shares for index in share) == list(range(6))
    assert sorted(sum(costs[index] for index in share) for share in shares) == [5, 5, 6]


def test_verdicts_are_taken_apart_and_joined_again():
    whole = Verdict([1.0, 2.0, 3.0], {"a": [4.0, 5.0, 6.0]}, [7.0, 8.0, 9.0])
    first, second = whole.split([1, 2])
    assert (first.rewards, first.columns, first.watched) == ([1.0], {"a": [4.0]}, [])
    assert Verdict.joined([first, second]) == whole
