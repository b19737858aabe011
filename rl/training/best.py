"""The best weights so far, kept beside the checkpoints: training may go on after them and get worse."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from runs.child import fsync_tree

FOLDER = "best"
WEIGHTS, META = "weights.safetensors", "best.json"


class Best:
    """Weights by the figure that they reached. Higher is better; of equal figures the earlier weights stay.

    Of several processes only the main one `writes`; all know what is kept.
    """

    def __init__(self, directory: Path, parameters: Mapping[str, torch.nn.Parameter], *, writes: bool = True) -> None:
        self.folder = directory / FOLDER
        self.parameters = parameters
        self.writes = writes
        self.step: int | None = None
        self.figure: float = float("-inf")

    def offer(self, step: int, figure: float) -> bool:
        """Keep the weights as they are now if `figure` is the highest yet; whether that was so."""
        if not figure > self.figure:
            return False
        self.step, self.figure = step, figure
        if not self.writes:
            return True
        partial = self.folder.with_name(f".{FOLDER}-partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        tensors = {name: value.detach().to("cpu", copy=True).contiguous() for name, value in self.parameters.items()}
        save_file(tensors, partial / WEIGHTS)
        (partial / META).write_text(json.dumps({"step": step, "figure": figure}), encoding="utf-8")
        fsync_tree(partial)
        shutil.rmtree(self.folder, ignore_errors=True)
        partial.rename(self.folder)
        return True

    def restore(self) -> int:
        """Bring the best weights back; the step they are of."""
        kept = json.loads((self.folder / META).read_text(encoding="utf-8"))
        tensors = load_file(self.folder / WEIGHTS)
        with torch.no_grad():
            for name, value in self.parameters.items():
                value.copy_(tensors[name])
        return int(kept["step"])

    def state(self) -> dict[str, Any] | None:
        """What a checkpoint remembers of it, as JSON."""
        return None if self.step is None else {"step": self.step, "figure": self.figure}

    def resume(self, state: Mapping[str, Any] | None) -> None:
        """Go on from a checkpoint. A better one that was found after it is found again."""
        if state is not None and (self.folder / META).is_file():
            self.step, self.figure = int(state["step"]), float(state["figure"])
