"""What one step minimises, put together from the losses that the configuration asks for."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from rewardmodel.training import length, losses
from rewardmodel.training.config import RewardConfig
from rewardmodel.training.data import Comparison, Encoded
from rewardmodel.training.ensembles import bootstrap_count


class Objective:
    """The loss of a stream's forwards. `heads` members share the stream."""

    def __init__(self, config: RewardConfig, dimensions: Sequence[str], heads: int) -> None:
        self.config, self.dimensions, self.heads = config, tuple(dimensions), heads
        self.controls_length = config.length_control != "none" and config.length_weight > 0

    def loss(self, outputs: Tensor, item: Encoded) -> Tensor:
        """Weighted loss of one comparison, the mean over heads. outputs: [K, heads, parts, dimensions]."""
        total = outputs.new_zeros(())
        for head in range(self.heads):
            count = self.count(item.comparison, head)
            if count:
                scores = outputs[:, head].sum(dim=1)
                total = total + count * comparison_loss(scores, item.comparison, self.dimensions, self.config)
        return total / self.heads

    def count(self, comparison: Comparison, head: int) -> int:
        """How often a head counts a comparison: once, if it is alone."""
        return 1 if self.heads == 1 else bootstrap_count(self.config.seed, head, comparison.prompt_key)

    def moments(self, outputs: Tensor, item: Encoded) -> Tensor:
        """What a comparison adds to the correlation of score and length: [heads, parts, dimensions, 3]."""
        tokens = torch.tensor([len(response) for response in item.group.responses], device=outputs.device)
        judged = [float(bool(item.comparison.edges.get(dimension))) for dimension in self.dimensions]
        return length.moments(outputs, tokens) * outputs.new_tensor(judged)[:, None]

    def length_penalty(self, sums: Tensor) -> Tensor:
        """The length term of a step from its summed moments."""
        term = length.odin if self.config.length_control == "odin" else length.decorrelation
        return self.config.length_weight * term(sums)

    def orthogonality(self, rows: Tensor) -> Tensor | None:
        """ODIN's term on the score layer's rows, or None if there is no length head."""
        if self.config.length_control != "odin" or not self.controls_length:
            return None
        return self.config.length_weight * length.orthogonality(rows)


def comparison_loss(scores: Tensor, comparison: Comparison, dimensions: Sequence[str], config: RewardConfig) -> Tensor:
    """Weighted loss of one comparison, summed over the dimensions it was judged on. scores: [K, dimensions]."""
    total = scores.new_zeros(())
    for column, dimension in enumerate(dimensions):
        edges = comparison.edges.get(dimension)
        if not edges:
            continue
        values = scores[:, column]
        if config.loss == "plackett_luce":
            loss = losses.plackett_luce(values, comparison.rankings[dimension])
        else:
            loss = losses.bradley_terry(
                values, edges, label_smoothing=config.label_smoothing, use_margin=config.use_margin
            )
        if config.centering:
            loss = loss + config.centering * losses.centering(values, edges)
        total = total + losses.comparison_weight(edges) * loss
    return total


def total_weight(comparisons: Sequence[Comparison]) -> float:
    """What a mean loss over `comparisons` is divided by."""
    return sum(losses.comparison_weight(edges) for item in comparisons for edges in item.edges.values())


def mean_loss(
    scores: Sequence[Tensor], comparisons: Sequence[Comparison], dimensions: Sequence[str], config: RewardConfig
) -> float:
    """The ranking loss as one figure over `comparisons`; NaN if there are none. scores: [K, dimensions] each."""
    whole = total_weight(comparisons)
    if not whole:
        return math.nan
    parts = [
        comparison_loss(values, item, dimensions, config) for values, item in zip(scores, comparisons, strict=True)
    ]
    return float(torch.stack(parts).sum()) / whole
