"""From a run's configuration to the trainer it names."""

from __future__ import annotations

from pydantic import ValidationError

from rl.training.config import EvaluationConfig, OfflineSettings, run_config
from rl.training.evaluate import evaluate
from rl.training.offline import train_offline
from rl.training.online import train_online
from runs.child import RunDir, UserError


def work(run: RunDir) -> None:
    """Train or evaluate as `run.config` says. Raises UserError for a configuration that is not valid."""
    try:
        config = run_config.validate_python(run.config)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "config"
        raise UserError(f"The configuration is not valid: {where}: {first['msg']}.") from error
    if isinstance(config, EvaluationConfig):
        evaluate(run, config)
    elif isinstance(config, OfflineSettings):
        train_offline(run, config)
    else:
        train_online(run, config)
