"""`python -m tests.rl.several RUN_DIR ...`: several runs, one after another, in each of several processes.

A run whose directory has a file `stop_after` is stopped after so many steps and then resumed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from lm.processes import World
from rl.training.work import work
from runs.child import RunDir, Stopped
from tests.rl.worlds import StopAfter


def main(directories: list[str]) -> None:
    World.join()
    for directory in map(Path, directories):
        run = RunDir(directory)
        if run.is_main:
            run.output.mkdir(exist_ok=True)
        stop = directory / "stop_after"
        if stop.exists():
            try:
                work(StopAfter(directory, int(stop.read_text())))
            except Stopped:
                pass
            else:
                raise AssertionError("The run was not stopped.")
        work(run)


if __name__ == "__main__":
    main(sys.argv[1:])
