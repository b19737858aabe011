"""Trainers on the tiny model, and what their tests compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from rewardmodel.training.config import RewardConfig
from rewardmodel.training.data import encode, held_aside, read_rankings
from rewardmodel.training.model import new_reward_net
from rewardmodel.training.train import Trainer
from runs.child import RunDir
from tests.rewardmodel.worlds import write_run

LORA = {"rank": 4, "alpha": 8.0}
# Settings under which each method learns something of a tiny model in a few steps.
METHODS: dict[str, dict[str, Any]] = {
    "lora": {},
    "dora": {"method": "dora"},
    "ia3": {"method": "ia3", "learning_rate": 0.1},
    "prefix": {"method": "prefix", "virtual_tokens": 5, "learning_rate": 0.1},
    "prompt": {"method": "prompt", "virtual_tokens": 5, "learning_rate": 0.1},
    "ptuning": {"method": "ptuning", "virtual_tokens": 5},
    "bitfit": {"method": "bitfit"},
    "head": {"method": "head", "learning_rate": 0.1},
    "full": {"method": "full"},
    "frozen lora": {"frozen_layers": 1},
    "frozen full": {"method": "full", "frozen_layers": 1},
    "heads": {"ensemble": 3},
    "adapters": {"ensemble": 2, "ensemble_of": "adapters"},
    "ia3 adapters": {"ensemble": 2, "ensemble_of": "adapters", "method": "ia3", "learning_rate": 0.1},
    "decorrelate": {"length_control": "decorrelate"},
    "odin": {"length_control": "odin"},
    "odin heads": {"length_control": "odin", "ensemble": 2},
    "prompt heads": {"method": "prompt", "virtual_tokens": 5, "ensemble": 2},
}


def settings_of(**changes: Any) -> dict[str, Any]:
    return {"learning_rate": 1e-2, "comparisons_per_step": 8, "lora": LORA, "dtype": "float32", **changes}


def trainer_for(directory: Path, dataset: Path, tiny: Path, **changes: Any) -> Trainer:
    settings = settings_of(**changes)
    config = RewardConfig.model_validate(settings)
    run = RunDir(directory if directory.exists() else write_run(directory, dataset, tiny, settings))
    rankings = read_rankings(dataset, config.dimensions)
    net = new_reward_net(config, rankings.dimensions, str(tiny))

    def encoded(comparisons):
        return [encode(item, net.chat, max_prompt_tokens=256, max_response_tokens=256) for item in comparisons]

    train, validation = encoded(rankings.train), []
    if config.patience:
        train, validation = held_aside(train, config.validation_share)
    return Trainer(run, config, net, train, encoded(rankings.test), validation=validation)


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in trainer.parameters.items()}


def assert_same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor], atol: float = 0.0) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(
            value, theirs[name], atol=atol, rtol=0, msg=lambda text, name=name: f"{name}: {text}"
        )


def stop_during(trainer: Trainer, step: int) -> None:
    """Ask for a stop in the middle of a backward pass of the step after `step`."""
    outputs = trainer.net.outputs

    def watched(groups, stream=0):
        found = outputs(groups, stream)
        if trainer.step == step:
            trainer.run.stop_requested = True
        return found

    trainer.net.outputs = watched


def stop_while_measuring(trainer: Trainer, step: int) -> None:
    """Ask for a stop at the beginning of the measurement after `step`, so that its first forward is left."""
    measured = trainer.measured

    def watched(items, *, whole=False):
        trainer.run.stop_requested = trainer.run.stop_requested or trainer.step == step
        return measured(items, whole=whole)

    trainer.measured = watched
