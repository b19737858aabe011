"""Scores and the length of responses: their correlation within comparisons, and two ways to keep it small.

Preferences compare responses to one prompt, so score and length are taken as deviations from their means over the
comparison. All that is known of a batch is three sums a score, its *moments*, which add up over comparisons: so a
correlation over the whole step has an exact gradient however the step is cut into forwards.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def moments(scores: Tensor, lengths: Tensor) -> Tensor:
    """Sums over one comparison of ds dl, ds^2 and dl^2, the deviations of scores [K, ...] and lengths [K]: [..., 3]."""
    length = (lengths.to(scores) - lengths.to(scores).mean()).view(-1, *[1] * (scores.dim() - 1))
    score = scores - scores.mean(dim=0)
    return torch.stack([(score * length).sum(0), score.square().sum(0), length.square().sum(0).expand_as(score[0])], -1)


def correlation(sums: Tensor) -> Tensor:
    """Pearson's correlation from moments [..., 3], 0 where scores or lengths do not differ: [...]."""
    product, score, length = sums.unbind(-1)
    spread = score * length
    safe = torch.where(spread > 0, spread, torch.ones_like(spread))
    return torch.where(spread > 0, product / safe.sqrt(), torch.zeros_like(product))


def decorrelation(sums: Tensor) -> Tensor:
    """The sum over dimensions of rho(score, length)^2, the mean over an ensemble's heads.

    sums: [heads, 1, dimensions, 3]. Returns a scalar.
    """
    return correlation(sums)[:, 0].square().sum(dim=-1).mean()


def odin(sums: Tensor) -> Tensor:
    """ODIN's length loss |rho(quality, length)| - rho(length head, length) (Chen et al. 2024, arXiv:2402.07319).

    The preference loss sees the sum of both heads. The paper correlates over a batch of responses; here over deviations
    within comparisons. sums: [heads, 2, dimensions, 3]. Returns a scalar, dimensions summed, heads averaged.
    """
    quality, length = correlation(sums).unbind(1)
    return (quality.abs() - length).sum(dim=-1).mean()


def orthogonality(rows: Tensor) -> Tensor:
    """ODIN's |cos| between the rows of quality and length head, which keeps one from repeating the other.

    With normalised rows, for a product falls also if the rows shrink. rows: [heads, 2, dimensions, d].
    """
    quality, length = rows.unbind(1)
    return torch.cosine_similarity(quality, length, dim=-1).abs().sum(dim=-1).mean()


def pooled_correlation(scores: Sequence[Sequence[float]], lengths: Sequence[Sequence[int]]) -> float | None:
    """Correlation of score and length within comparisons, over all of them; None if there is nothing to tell."""
    sums = torch.zeros(3, dtype=torch.float64)
    for values, tokens in zip(scores, lengths, strict=True):
        sums += moments(torch.tensor(values, dtype=torch.float64), torch.tensor(tokens))
    return float(correlation(sums)) if float(sums[1] * sums[2]) > 0 else None
