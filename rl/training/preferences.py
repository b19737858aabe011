"""What a comparison's rankings ask of a policy: edges with weights, the best response, or a label for each."""

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


def preferences(comparison: Comparison, config: DPOConfig) -> Preferences | None:
    """The edges that `config` lets count; None if none does."""
    found: list[tuple[Edge, float]] = []
    for edges, importance in _counted(comparison, config.dimension_weights):
        kept = [edge for edge in edges if config.soft_labels or edge.p != 0.5]
        if not kept:
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


def edge_losses(
    logprobs: Sequence[Tensor], reference: Tensor | None, wanted: Preferences, config: DPOConfig
) -> tuple[Tensor, Tensor]:
    """Loss of every edge [E], and the figure [K] by which responses are compared with one another.

    logprobs: of the tokens of each of the K responses. reference: [K], their sums under the reference; None for losses
    that have none. The figure is the implicit reward without its factor beta, or, without a reference, the log-prob per
    token.
    """
    total = torch.stack([tokens.sum() for tokens in logprobs])
    mean = torch.stack([tokens.mean() for tokens in logprobs])
    device = total.device
    i, j = wanted.i.to(device), wanted.j.to(device)
    p, margin = wanted.p.to(device), wanted.margin.to(device)
    if config.loss == "simpo":
        each = losses.simpo_loss(mean[i], mean[j], p, margin, beta=config.beta, target=config.target_gap)
        return each + config.sft_weight * _nll_of_better(mean, i, j, p), mean
    if config.loss == "orpo":
        each = config.beta * losses.odds_ratio_loss(mean[i], mean[j], p, margin)
        return each + (1.0 + config.sft_weight) * _nll_of_better(mean, i, j, p), mean
    assert reference is not None
    implicit = losses.implicit_rewards(total, reference)
    gap = implicit[i] - implicit[j]
    if config.loss == "sigmoid":
        each = losses.dpo_loss(gap, p, margin, beta=config.beta, label_smoothing=config.label_smoothing)
    elif config.loss == "robust":
        each = losses.robust_dpo_loss(gap, p, margin, beta=config.beta, flip_rate=config.label_smoothing)
    elif config.loss == "ipo":
        each = losses.ipo_loss(gap, p, beta=config.beta)
    else:
        each = losses.hinge_loss(gap, p, margin, beta=config.beta)
    if config.sft_weight:
        each = each + config.sft_weight * _nll_of_better(mean, i, j, p)
    return each, implicit


def _nll_of_better(mean: Tensor, i: Tensor, j: Tensor, p: Tensor) -> Tensor:
    """Supervised loss per token of each edge's two responses, by the share that prefers them. [E]."""
    return p * losses.sft_loss(mean[i]) + (1.0 - p) * losses.sft_loss(mean[j])


def standings(comparison: Comparison, weights: Mapping[str, float]) -> list[float | None]:
    """How often each response is preferred to those it was compared with, from 0 to 1; None where it was not compared.

    Dimensions count by their weights. The same rule makes the unpaired files of an export.
    """
    wins = [0.0] * len(comparison.responses)
    whole = [0.0] * len(comparison.responses)
    for edges, importance in _counted(comparison, weights):
        for edge in edges:
            weight = importance * edge.weight
            for response, share in ((edge.i, edge.p), (edge.j, 1.0 - edge.p)):
                wins[response] += weight * share
                whole[response] += weight
    return [won / total if total else None for won, total in zip(wins, whole, strict=True)]


def counted_dimensions(weights: Mapping[str, float]) -> Sequence[str]:
    """The dimensions that have a weight above 0; empty means all."""
    return [dimension for dimension, weight in weights.items() if weight > 0]


def _counted(comparison: Comparison, weights: Mapping[str, float]) -> list[tuple[list[Edge], float]]:
    found = [(edges, weights.get(dimension, 0.0) if weights else 1.0) for dimension, edges in comparison.edges.items()]
    return [(edges, importance) for edges, importance in found if importance]
