"""Training state on disk: safetensors and JSON, never a pickle, restored to the last bit.

state.safetensors   parameters, optimizer moments, the random generators, and whatever tensors the caller adds
state.json          optimizer settings and the caller's `meta`
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

TENSORS, META = "state.safetensors", "state.json"


def save_state(
    directory: str | os.PathLike[str],
    *,
    parameters: Mapping[str, torch.Tensor],
    optimizers: Mapping[str, torch.optim.Optimizer] | None = None,
    tensors: Mapping[str, torch.Tensor] | None = None,
    meta: Mapping[str, Any] | None = None,
) -> None:
    """Write everything that training needs to continue as if it had not stopped.

    `parameters` are what training changes, `tensors` whatever else is worth keeping, `meta` plain JSON (step, position
    in the data, adaptive coefficients). The global torch and python generators are kept too.
    """
    blobs: dict[str, torch.Tensor] = {}
    for name, value in parameters.items():
        blobs[f"parameter/{name}"] = value
    for name, value in (tensors or {}).items():
        blobs[f"tensor/{name}"] = value
    groups: dict[str, Any] = {}
    plain: dict[str, Any] = {}
    for label, optimizer in (optimizers or {}).items():
        state = optimizer.state_dict()
        groups[label] = state["param_groups"]
        for index, entries in state["state"].items():
            for key, value in entries.items():
                if isinstance(value, torch.Tensor):
                    blobs[f"optimizer/{label}/{index}/{key}"] = value
                else:
                    plain.setdefault(label, {}).setdefault(str(index), {})[key] = value
    blobs["random/torch"] = torch.get_rng_state()
    for number in range(torch.cuda.device_count()):
        blobs[f"random/cuda/{number}"] = torch.cuda.get_rng_state(number)
    # Tied or sliced tensors share storage, which safetensors refuses: each is written as a copy of its own.
    copies = {name: value.detach().to("cpu", copy=True).contiguous() for name, value in blobs.items()}
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(copies, folder / TENSORS)
    version, internal, gauss = random.getstate()
    document = {
        "optimizers": groups,
        "optimizer_values": plain,
        "random": {"python": [version, list(internal), gauss]},
        "meta": dict(meta or {}),
    }
    (folder / META).write_text(json.dumps(document, indent=1, sort_keys=True), encoding="utf-8")


def load_state(
    directory: str | os.PathLike[str],
    *,
    parameters: Mapping[str, torch.Tensor],
    optimizers: Mapping[str, torch.optim.Optimizer] | None = None,
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Restore parameters (in place), optimizers and random generators; return `meta` and the extra tensors.

    Raises ValueError if the checkpoint is of another model or other settings.
    """
    folder = Path(directory)
    document = json.loads((folder / META).read_text(encoding="utf-8"))
    with safe_open(folder / TENSORS, framework="pt") as file:
        blobs = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping: it has keys only)
    kept = {name.removeprefix("parameter/"): value for name, value in blobs.items() if name.startswith("parameter/")}
    wrong = set(kept) ^ set(parameters)
    wrong |= {name for name in set(kept) & set(parameters) if kept[name].shape != parameters[name].shape}
    if wrong:
        raise ValueError(
            f"The checkpoint in {folder} is of another model: it differs in {', '.join(sorted(wrong)[:5])}."
        )
    with torch.no_grad():
        for name, value in kept.items():
            parameters[name].copy_(value)
    for label, optimizer in (optimizers or {}).items():
        _load_optimizer(optimizer, label, document, blobs)
    torch.set_rng_state(blobs["random/torch"])
    for number in range(torch.cuda.device_count()):
        if f"random/cuda/{number}" in blobs:
            torch.cuda.set_rng_state(blobs[f"random/cuda/{number}"], number)
    version, internal, gauss = document["random"]["python"]
    random.setstate((version, tuple(internal), gauss))
    extra = {name.removeprefix("tensor/"): value for name, value in blobs.items() if name.startswith("tensor/")}
    return document["meta"], extra


def _load_optimizer(
    optimizer: torch.optim.Optimizer, label: str, document: dict[str, Any], blobs: dict[str, torch.Tensor]
) -> None:
    if label not in document["optimizers"]:
        raise ValueError(f"The checkpoint holds no optimizer called {label}.")
    groups = document["optimizers"][label]
    for group in groups:
        # JSON has no tuples, and the optimizer wants its betas as one.
        group.update({key: tuple(value) for key, value in group.items() if key == "betas"})
    state: dict[int, dict[str, Any]] = {}
    for name, value in blobs.items():
        if name.startswith(f"optimizer/{label}/"):
            index, _, key = name.removeprefix(f"optimizer/{label}/").partition("/")
            state.setdefault(int(index), {})[key] = value
    for index, entries in document["optimizer_values"].get(label, {}).items():
        state.setdefault(int(index), {}).update(entries)
    optimizer.load_state_dict({"state": state, "param_groups": groups})
