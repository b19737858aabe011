"""What a comparison's rankings ask of a policy, as tensors: every edge of every dimension, with its weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from annotate.pairs import Edge
from rewardmodel.training.data import Comparison
from rewardmodel.training.losses import comparison_weight
from rl.training import losses
from rl.training.config import DPOConfig


@dataclass(frozen=True)
class Preferences:
    """The edges of one comparison over all dimensions: indices i, j [E]; weight, p, margin [E].

    Within a dimension the edges share the comparison's weight, so a K-wise ranking counts as one comparison and not as
    K(K-1)/2 of them (Ouyang et al. 2022, section 3.5).
    """

    i: Tensor
    j: Tensor
    weight: Tensor
    p: Tensor
    margin: Tensor

    @property
    def total(self) -> float:
        return float(self.weight.sum())


@dataclass(frozen=True)
class Signal:
    """What a comparison said to the policy: its weighted loss, and figures for people over its decided edges."""

    loss: Tensor
    outcomes: list[float]
    chosen: list[float]
    rejected: list[float]


def preferences(comparison: Comparison, config: DPOConfig) -> Preferences | None:
    """The edges that `config` lets count; None if none does."""
    found: list[tuple[Edge, float]] = []
    for dimension, edges in comparison.edges.items():
        importance = config.dimension_weights.get(dimension, 0.0) if config.dimension_weights else 1.0
        kept = [edge for edge in edges if config.soft_labels or edge.p != 0.5]
        if not importance or not kept:
            continue
        share = importance * comparison_weight(kept) / sum(edge.weight for edge in kept)
        found += [(edge, share * edge.weight) for edge in kept]
    if not found:
        return None

    def label(edge: Edge) -> float:
        return edge.p if config.soft_labels else float(edge.p > 0.5)

    return Preferences(
        i=torch.tensor([edge.i for edge, _ in found]),
        j=torch.tensor([edge.j for edge, _ in found]),
        weight=torch.tensor([weight for _, weight in found]),
        p=torch.tensor([label(edge) for edge, _ in found]),
        margin=torch.tensor([config.margin_scale * edge.margin for edge, _ in found]),
    )


def signal(policy: Tensor, reference: Tensor, wanted: Preferences, config: DPOConfig) -> Signal:
    """Loss and figures of one comparison.

    policy, reference: [K] log-probs of its responses, summed over tokens. The loss is summed over edges times their
    weights; divide by the `total` of all comparisons in the step.
    """
    implicit = losses.implicit_rewards(policy, reference)
    device = implicit.device
    i, j = wanted.i.to(device), wanted.j.to(device)
    gap = implicit[i] - implicit[j]
    p, margin = wanted.p.to(device), wanted.margin.to(device)
    if config.loss == "sigmoid":
        each = losses.dpo_loss(gap, p, margin, beta=config.beta, label_smoothing=config.label_smoothing)
    elif config.loss == "ipo":
        each = losses.ipo_loss(gap, p, beta=config.beta)
    else:
        each = losses.hinge_loss(gap, p, margin, beta=config.beta)
    rewards = [config.beta * value for value in implicit.detach().tolist()]
    outcomes, chosen, rejected = [], [], []
    for first, second, share in zip(wanted.i.tolist(), wanted.j.tolist(), wanted.p.tolist(), strict=True):
        if share == 0.5:
            continue
        better, worse = (first, second) if share > 0.5 else (second, first)
        chosen.append(rewards[better])
        rejected.append(rewards[worse])
        difference = rewards[better] - rewards[worse]
        outcomes.append(0.5 if difference == 0 else float(difference > 0))
    return Signal((wanted.weight.to(device) * each).sum(), outcomes, chosen, rejected)


def counted_dimensions(weights: Mapping[str, float]) -> Sequence[str]:
    """The dimensions that have a weight above 0; empty means all."""
    return [dimension for dimension, weight in weights.items() if weight > 0]
