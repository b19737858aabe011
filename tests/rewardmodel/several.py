"""`python -m tests.rewardmodel.several RUN_DIR ...`: trainings one after another, in each of several processes.

Most of a short training's time is the import of torch, so one launch does them all. Where a run's directory has a file
`stop_inside`, the last process alone is asked to stop, in the middle of the work of a step; all must stop with it, and
the run is then resumed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from lm.processes import World
from rewardmodel.training.run import train_reward_model
from runs.child import RunDir, Stopped
from tests.rl.worlds import StopInside


def main(directories: list[str]) -> None:
    world = World.join()
    for directory in map(Path, directories):
        stop = directory / "stop_inside"
        if stop.exists():
            asked = world.rank == world.size - 1
            try:
                train_reward_model(
                    StopInside(directory, **json.loads(stop.read_text())) if asked else RunDir(directory)
                )
            except Stopped:
                pass
            else:
                raise AssertionError("The run was not stopped.")
        train_reward_model(RunDir(directory))
    world.leave()


if __name__ == "__main__":
    main(sys.argv[1:])
