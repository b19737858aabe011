"""Ways of doing one thing side by side: each in a process of its own, taking turns.

A process of its own gives each side its own peak memory, and lets a peer run under another interpreter. Turns keep a
machine that slows down for a while from slowing down only one of them. A side is started as

    PYTHON -m MODULE SIDE JSON

and answers every line on its standard input with one line of JSON. Only `by_step` needs more than the standard library.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

THREADS = 2
ROOT = Path(__file__).resolve().parent.parent


# the child's half ---------------------------------------------------------------------------------------------------


class Turns:
    """What a side holds: `wait` for a turn, do it, `give` what came out."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)  # whatever libraries print goes to the log
        self._phases: dict[str, float] = {}
        self._began = (0.0, 0.0)

    def wait(self) -> None:
        """Until the next turn. The process ends here when no more are wanted."""
        if not sys.stdin.readline():
            os._exit(0)
        self._phases = {}
        self._began = time.perf_counter(), time.process_time()

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the time within towards `name`."""
        began = time.perf_counter()
        yield
        self.add(name, time.perf_counter() - began)

    def add(self, name: str, seconds: float) -> None:
        self._phases[name] = self._phases.get(name, 0.0) + seconds

    def give(self, value: Any = None) -> None:
        """End a turn."""
        seconds, cpu = time.perf_counter() - self._began[0], time.process_time() - self._began[1]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        answer = {"seconds": seconds, "cpu": cpu, "phases": self._phases, "peak": peak, "value": value}
        print(json.dumps(answer), file=self._out, flush=True)


def by_step(turns: Turns, value: Callable[[], Any] | None = None, clear: Callable[[], None] | None = None) -> Any:
    """A callback of transformers' trainers that waits before each step, and gives after it `value()`, or its loss."""
    from transformers import TrainerCallback

    class ByStep(TrainerCallback):
        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            turns.wait()
            if clear:
                clear()

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            if value:
                turns.give({"tokens": value()})

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            if not value and "loss" in logs:
                turns.give({"loss": logs["loss"]})

    return ByStep()


def serve(sides: Mapping[str, Callable[[dict[str, Any], Turns], None]]) -> None:
    """The `__main__` of a module of sides."""
    sides[sys.argv[1]](json.loads(sys.argv[2]), Turns())


# the parent's half --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Turn:
    """One turn: seconds by the clock, CPU seconds of all threads, seconds by phase, and whatever the side gave.

    peak: the most memory the side's process has held so far, in bytes.
    """

    seconds: float
    cpu: float
    phases: dict[str, float]
    peak: int
    value: Any


class Side:
    """A child process that takes turns."""

    def __init__(self, module: str, name: str, what: dict[str, Any], python: str | Path = sys.executable) -> None:
        self.name = name
        self._log: TextIO = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
        # Threads sleep while they wait, as those of a run do (runs/executor.py).
        settings = {
            "OMP_NUM_THREADS": str(THREADS),
            "OMP_WAIT_POLICY": "PASSIVE",
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
        }
        self._process = subprocess.Popen(
            [str(python), "-m", module, name, json.dumps(what)],
            cwd=ROOT,
            env={**os.environ, **settings},
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )

    def turn(self) -> Turn:
        """Let the side do its next turn. Raises SystemExit with what it printed if it died of it."""
        assert self._process.stdin and self._process.stdout
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write("go\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            raise SystemExit(f"{self.name} ended early:\n{self._log.read()[-4000:]}")
        return Turn(**json.loads(line))

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._log.close()


@contextlib.contextmanager
def started(*sides: Side) -> Iterator[None]:
    """Within, the sides run; then they are ended."""
    try:
        yield
    finally:
        for side in sides:
            side.close()


def alternate(sides: Sequence[Side], turns: int, warm_up: int = 1) -> list[list[Turn]]:
    """The turns of each side after the first `warm_up`. Who goes first changes every time."""
    taken: list[list[Turn]] = [[] for _ in sides]
    for number in range(warm_up + turns):
        order = list(range(len(sides)))
        for place in order[:: 1 if number % 2 else -1]:
            taken[place].append(sides[place].turn())
    return [each[warm_up:] for each in taken]


def median(turns: Sequence[Turn], of: Callable[[Turn], float] = lambda turn: turn.seconds) -> float:
    return statistics.median(map(of, turns))


def phases(turns: Sequence[Turn]) -> dict[str, float]:
    """Median seconds by phase, and under `other` what is in none."""
    names = dict.fromkeys(name for turn in turns for name in turn.phases)
    found = {name: median(turns, lambda turn, name=name: turn.phases.get(name, 0.0)) for name in names}
    found["other"] = median(turns, lambda turn: turn.seconds - sum(turn.phases.values()))
    return found
