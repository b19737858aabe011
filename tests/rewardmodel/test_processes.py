"""Two processes over gloo, started as the platform starts them: the training of one, and its end when one dies."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rewardmodel.kind import RewardModelKind
from rewardmodel.models import RewardModelRun
from rewardmodel.training.run import train_reward_model
from runs.child import EXIT_STOPPED, RunDir
from tests.rewardmodel.trainers import settings_of
from tests.rewardmodel.worlds import easy_rows, events, two_dimensions, write_dataset, write_run

SETTINGS = {"epochs": 2, "comparisons_per_step": 5, "learning_rate": 1e-3}
HOWS = {
    "plain": {},
    "adapters with odin and early stopping": {
        "length_control": "odin",
        "ensemble": 2,
        "ensemble_of": "adapters",
        "patience": 3,
        "evaluate_every": 2,
        "validation_share": 0.3,
    },
}


def as_the_platform(directory: Path) -> list[str]:
    config = json.loads((directory / "run.json").read_text())["config"]
    return RewardModelKind().command(RewardModelRun(config=config), directory)


def by_accelerate(directory: Path) -> list[str]:
    many = ["--cpu", "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    launcher = [sys.executable, "-m", "accelerate.commands.launch", *many, "--num_cpu_threads_per_process", "1"]
    return [*launcher, "--main_process_port", "0", "-m", "rewardmodel.training", str(directory)]


def start(command: list[str], directory: Path) -> subprocess.Popen:
    with open(directory / "log.txt", "ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "OMP_NUM_THREADS": "2"},
            start_new_session=True,
        )


def log_of(directory: Path) -> str:
    return (directory / "log.txt").read_text()[-3000:]


def weights(directory: Path) -> dict[str, torch.Tensor]:
    files = sorted((directory / "output").rglob("*.safetensors"))
    return {
        f"{file.relative_to(directory)}: {name}": value for file in files for name, value in load_file(file).items()
    }


def assert_the_same_training(ours: Path, theirs: Path, atol: float) -> None:
    """Sums of two halves round otherwise than one sum, and Adam enlarges that where a gradient is nearly 0."""
    for name, expected in weights(theirs).items():
        torch.testing.assert_close(weights(ours)[name], expected, atol=atol, rtol=0, msg=lambda text, n=name: n + text)
    steps, others = ([event for event in events(each) if "loss" in event["data"]] for each in (ours, theirs))
    assert [event["step"] for event in steps] == [event["step"] for event in others]
    for mine, other in zip(steps, others, strict=True):
        for figure in ("loss", "grad_norm", "score_mean", "accuracy"):
            assert mine["data"][figure] == pytest.approx(other["data"][figure], abs=2e-4), figure


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"), two_dimensions(easy_rows()))


@pytest.fixture(scope="module")
def alone(tmp_path_factory, data, tiny):
    """`alone(how)`: the directory of that training in one process."""

    def train(how: str) -> Path:
        directory = write_run(tmp_path_factory.mktemp("alone") / "1", data, tiny, settings_of(**SETTINGS, **HOWS[how]))
        train_reward_model(RunDir(directory))
        return directory

    return train


@pytest.mark.parametrize(
    ("how", "command"),
    [*((how, as_the_platform) for how in HOWS), ("plain", by_accelerate)],
    ids=[*HOWS, "by accelerate launch"],
)
def test_two_processes_train_as_one_does(tmp_path, data, tiny, alone, how, command):
    directory = write_run(tmp_path / "two", data, tiny, settings_of(**SETTINGS, **HOWS[how], processes=2))
    assert start(command(directory), directory).wait(200) == 0, log_of(directory)
    single = alone(how)
    assert_the_same_training(directory, single, atol=1e-4)
    ours, theirs = (json.loads((each / "result.json").read_text()) for each in (directory, single))
    assert ours["accuracy"] == theirs["accuracy"]
    assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-4)
    assert (ours["steps"], ours["kept_step"]) == (theirs["steps"], theirs["kept_step"])


def ranks(launcher: subprocess.Popen) -> dict[int, int]:
    """{rank: process id} of a launcher's children."""
    found = {}
    for pid in Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split():
        for each in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            if each.startswith(b"RANK="):
                found[int(each[5:])] = int(pid)
    return found


def steps_done(directory: Path) -> int:
    """The last step of the whole lines; the last line may be in the middle of being written."""
    if not (directory / "events.jsonl").exists():
        return 0
    lines = [json.loads(line) for line in (directory / "events.jsonl").read_bytes().split(b"\n")[:-1]]
    return max((line["step"] for line in lines if line["type"] == "metrics"), default=0)


def wait_for_step(directory: Path, step: int, launcher: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while steps_done(directory) < step:
        assert launcher.poll() is None, log_of(directory)
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_when_a_process_is_killed_all_end_and_the_next_attempt_ends_at_the_same_weights(tmp_path, tiny):
    data = write_dataset(tmp_path / "data", easy_rows(train=40, test=6))
    config = settings_of(epochs=5, comparisons_per_step=2, checkpoint_every=7, learning_rate=1e-3, processes=2)
    cut, whole = (write_run(tmp_path / name, data, tiny, config) for name in ("cut", "whole"))
    launcher = start(as_the_platform(cut), cut)
    wait_for_step(cut, 20, launcher)
    os.kill(ranks(launcher)[1], signal.SIGKILL)
    assert launcher.wait(60) == 128 + signal.SIGKILL, log_of(cut)
    with pytest.raises(ProcessLookupError):
        os.killpg(launcher.pid, 0)
    assert not (cut / "result.json").exists()
    assert RunDir(cut).latest_checkpoint()[0] >= 14
    assert start(as_the_platform(cut), cut).wait(200) == 0, log_of(cut)
    assert events(cut, "resumed")[0]["step"] % 7 == 0
    assert start(as_the_platform(whole), whole).wait(200) == 0, log_of(whole)
    ours, theirs = weights(cut), weights(whole)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_both_stop_together_with_a_checkpoint(tmp_path, tiny):
    data = write_dataset(tmp_path / "data", easy_rows(train=40, test=6))
    config = settings_of(epochs=50, comparisons_per_step=2, checkpoint_every=1000, processes=2)
    directory = write_run(tmp_path / "run", data, tiny, config)
    launcher = start(as_the_platform(directory), directory)
    wait_for_step(directory, 5, launcher)
    os.killpg(launcher.pid, signal.SIGTERM)
    assert launcher.wait(60) == EXIT_STOPPED, log_of(directory)
    assert RunDir(directory).latest_checkpoint()[0] >= 5
    assert not (directory / "error.json").exists()
