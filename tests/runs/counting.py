"""A run kind for tests with a real child: it counts, reports, saves checkpoints, and misbehaves when told to.

`python -m tests.runs.counting RUN_DIR` is the child; `kind()` is what an app would register.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from runs import child


def work(run: child.RunDir) -> None:
    """Sum 1..steps, one step at a time. The sum is the state that a resumed run must not lose."""
    steps, delay = run.config.get("steps", 5), run.config.get("delay", 0.0)
    misdeed, at = run.config.get("misdeed"), run.config.get("at", 3)
    start, total = 0, 0
    checkpoint = run.latest_checkpoint()
    if checkpoint:
        start = checkpoint[0]
        total = json.loads((checkpoint[1] / "sum.json").read_text())
        run.resumed(start)
    print(f"counting from {start} to {steps}")
    for step in range(start + 1, steps + 1):
        total += step
        run.metrics(step, sum=total, reward=step / steps)
        run.progress(step, steps, "counting")
        if step == at and misdeed and not (run.path / "repented").exists():
            if run.config.get("once"):
                (run.path / "repented").touch()
            misbehave(misdeed)
        if step % 2 == 0:
            save(run, step, total)
        time.sleep(delay)
        if run.stop_requested and misdeed != "ignore stop":
            save(run, step, total)
            raise child.Stopped
    run.sample(steps, prompt="Count.", response=f"It is {total}.", reward=1.0)
    if run.config.get("output", True):
        (run.output / "sum.json").write_text(json.dumps(total))
    run.result(sum=total)


def save(run: child.RunDir, step: int, total: int) -> None:
    run.save_checkpoint(step, lambda folder: (folder / "sum.json").write_text(json.dumps(total)))


def misbehave(misdeed: str) -> None:
    if misdeed == "user":
        raise child.UserError("Line 3 of the prompts is not JSON. Correct it and import again.")
    if misdeed == "crash":
        raise ZeroDivisionError("a bug of ours")
    if misdeed == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if misdeed == "abort":
        os.abort()
    if misdeed == "disk full":
        with open("/dev/full", "w") as full:
            full.write("x" * 10_000)
    if misdeed == "silent exit":
        os._exit(7)


def kind() -> Any:
    """The RunKind. Made in a function, so that the child does not import Django."""
    from runs.kinds import RunKind
    from runs.models import Run

    class Counting(RunKind):
        kind = "counting"
        label = "counting"
        model = Run
        artifact_kind = "sum"

        def prepare(self, run: Run, run_dir: Path) -> dict[str, Any]:
            from runs.faults import UserFault

            if run.config.get("steps", 1) < 1:
                raise UserFault("There is nothing to count. Set steps to 1 or more.")
            return {"from": "the test"}

        def command(self, run: Run, run_dir: Path) -> list[str]:
            return [sys.executable, "-m", "tests.runs.counting", str(run_dir)]

        def lineage(self, run: Run) -> dict[str, Any]:
            return {"parent": "none"}

        def finish(self, run: Run, run_dir: Path, result: dict[str, Any]) -> None:
            if run.config.get("finish") == "disk full":
                raise OSError(28, "No space left on device")
            if run.config.get("finish") == "crash":
                Run.objects.filter(pk=run.pk).update(title="half applied")
                raise RuntimeError("finish failed")

    return Counting()


if __name__ == "__main__":
    child.child_main(work)
