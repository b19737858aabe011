"""From a run's configuration to the trainer it names."""

from __future__ import annotations

from pydantic import ValidationError

from lm.processes import World
from rl.training.config import EvaluationConfig, MergeConfig, OfflineSettings, run_config
from rl.training.evaluate import evaluate
from rl.training.merge import merge
from rl.training.offline import train_offline
from rl.training.online import train_online
from runs.child import RunDir, UserError


def work(run: RunDir) -> None:
    """Train, evaluate or merge as `run.config` says. Raises UserError for a configuration that is not valid.

    Several processes, started by `lm.launch`, `torchrun` or `accelerate launch`, train together.
    """
    try:
        config = run_config.validate_python(run.config)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "config"
        raise UserError(f"The configuration is not valid: {where}: {first['msg']}.") from error
    if isinstance(config, EvaluationConfig):
        return evaluate(run, config)
    if isinstance(config, MergeConfig):
        return merge(run, config)
    try:
        world = World.join()
    except ValueError as error:
        raise UserError(str(error)) from error
    try:
        if isinstance(config, OfflineSettings):
            train_offline(run, config, world)
        else:
            train_online(run, config, world)
    finally:
        world.leave()
