"""The optimizer and its learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import torch

Schedule = Literal["constant", "linear", "cosine"]


def make_optimizer(
    params: Iterable[torch.nn.Parameter],
    lr: float,
    weight_decay: float = 0.0,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2017). Vectors, such as norms and biases, are not decayed."""
    wanted = [parameter for parameter in params if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in wanted if parameter.ndim >= 2], "weight_decay": weight_decay},
        {"params": [parameter for parameter in wanted if parameter.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=lr, betas=betas, eps=eps, fused=True)


def learning_rate_at(step: int, total: int, warmup_ratio: float = 0.0, schedule: Schedule = "linear") -> float:
    """The share of the peak learning rate at `step` of `total` (steps count from 0).

    It rises linearly over the first `warmup_ratio` of the steps, then stays, falls linearly, or falls as a half cosine,
    towards 0 at `total`. The first step is never 0: a step that changes nothing is wasted.
    """
    warmup = math.ceil(warmup_ratio * total)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if schedule == "constant":
        return 1.0
    done = min(1.0, (step - warmup) / max(1, total - warmup))
    return 1.0 - done if schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Use `lr` for every parameter from the next step on."""
    for group in optimizer.param_groups:
        group["lr"] = lr
