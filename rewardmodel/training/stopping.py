"""Early stopping: the best weights so far, and how long ago they were."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lm.checkpoint import load_state, save_state
from runs.child import RunDir, fsync_tree


@dataclass
class Best:
    """The lowest validation loss and its step. `since` counts the measurements after it."""

    loss: float = math.inf
    step: int = -1
    since: int = 0

    def saw(self, loss: float, step: int) -> bool:
        """Take note of a measurement; say whether it is the best."""
        if loss < self.loss:
            self.loss, self.step, self.since = loss, step, 0
            return True
        self.since += 1
        return False

    def state(self) -> dict[str, Any]:
        """As JSON, which knows no infinity."""
        return {"loss": self.loss if math.isfinite(self.loss) else None, "step": self.step, "since": self.since}

    @classmethod
    def of(cls, state: Mapping[str, Any] | None) -> Best:
        if not state:
            return cls()
        return cls(math.inf if state["loss"] is None else state["loss"], state["step"], state["since"])


def keep_best(run: RunDir, step: int, parameters: Mapping[str, torch.Tensor]) -> None:
    """Write the weights of `step` beside the checkpoints.

    The best ones before stay until `drop_worse`: a checkpoint that still speaks of them may be the newest.
    """
    final = _directory(run, step)
    partial = final.with_name(f".partial-{final.name}")
    shutil.rmtree(partial, ignore_errors=True)
    save_state(partial, parameters=parameters)
    fsync_tree(partial)
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)


def drop_worse(run: RunDir, step: int) -> None:
    """Remove what was best before `step`."""
    for directory in run.checkpoints.glob("best-*"):
        if directory != _directory(run, step):
            shutil.rmtree(directory, ignore_errors=True)


def restore_best(run: RunDir, step: int, parameters: Mapping[str, torch.Tensor]) -> None:
    """Bring the weights of `step` back, in place."""
    load_state(_directory(run, step), parameters=parameters)


def _directory(run: RunDir, step: int) -> Path:
    return run.checkpoints / f"best-{step:08d}"
