"""A tiny policy, a tiny reward model, and small datasets."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rewardmodel.worlds import easy_rows, two_dimensions, write_dataset
from tests.rewardmodel.worlds import write_run as write_reward_run
from tests.rl.worlds import prompts, write_jsonl
from tests.tiny import tiny_model


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("easy"), easy_rows())


@pytest.fixture(scope="session")
def dataset_of_two(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("two"), two_dimensions(easy_rows()))


@pytest.fixture(scope="session")
def judge(tmp_path_factory, tiny, dataset) -> Path:
    """A reward model, trained for a few steps, as a directory."""
    from rewardmodel.training.run import train_reward_model
    from runs.child import RunDir

    config = {"learning_rate": 1e-2, "epochs": 2, "comparisons_per_step": 4, "lora": {"rank": 4}}
    run = RunDir(write_reward_run(tmp_path_factory.mktemp("judge") / "run", dataset, tiny, config))
    train_reward_model(run)
    return run.output


@pytest.fixture(scope="session")
def prompt_file(tmp_path_factory) -> Path:
    return write_jsonl(tmp_path_factory.mktemp("prompts") / "prompts.jsonl", prompts())
