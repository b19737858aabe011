"""Small datasets and run directories for the policy trainers' tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from runs.child import RunDir


def write_run(directory: Path, config: dict[str, Any], **inputs: Any) -> Path:
    """A run directory as the executor would prepare it."""
    directory.mkdir(parents=True)
    spec = {
        "run": 1,
        "kind": "policy",
        "seed": 0,
        "config": config,
        "inputs": {key: str(value) if isinstance(value, Path) else value for key, value in inputs.items()},
    }
    (directory / "run.json").write_text(json.dumps(spec), encoding="utf-8")
    return directory


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def prompts(count: int = 6) -> list[dict[str, Any]]:
    """Prompts of different lengths."""
    return [
        {"id": str(number), "messages": [{"role": "user", "content": "Why? " * (number % 3 + 1) + str(number)}]}
        for number in range(count)
    ]


def events(directory: Path, kind: str = "metrics") -> list[dict[str, Any]]:
    lines = (directory / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return [event for event in map(json.loads, lines) if event["type"] == kind]


def result(directory: Path) -> dict[str, Any]:
    return json.loads((directory / "result.json").read_text(encoding="utf-8"))


def weights(directory: Path) -> dict[str, Any]:
    """The tensors of a saved policy."""
    from safetensors.torch import load_file

    [file] = (directory / "output").glob("*.safetensors")
    return load_file(file)


class StopAfter(RunDir):
    """A run that is asked to stop as soon as it has reported `steps` steps."""

    def __init__(self, path: Path, steps: int) -> None:
        super().__init__(path)
        self.steps = steps

    def metrics(self, step: int, **values: float) -> None:
        super().metrics(step, **values)
        if step >= self.steps:
            self.stop_requested = True


class StopInside(RunDir):
    """A run that is asked to stop in the middle of the work of a step: after `looks` looks, once `steps` are done.

    Whoever trains looks before every layer, forwards and backwards.
    """

    def __init__(self, path: Path, steps: int, looks: int, note: str = "") -> None:
        self.steps, self.looks, self.note, self.counting = steps, looks, note, False
        super().__init__(path)

    @property
    def stop_requested(self) -> bool:  # type: ignore[override]
        if self.counting:
            self.looks -= 1
        return self.looks < 0

    @stop_requested.setter
    def stop_requested(self, value: bool) -> None:
        """It decides for itself."""

    def metrics(self, step: int, **values: float) -> None:
        super().metrics(step, **values)
        self.counting = self.counting or (not self.note and step >= self.steps)

    def progress(self, done: int, total: int, note: str = "") -> None:
        super().progress(done, total, note)
        self.counting = self.counting or (note == self.note and done >= self.steps)
