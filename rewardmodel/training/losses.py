"""Losses of a reward model: pure functions of the scores of one comparison's responses.

All take `scores` [K], one dimension's scores of the K responses to one prompt, and return a scalar that does not depend
on K in scale, so that a comparison of eight responses pulls no harder than one of two.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from annotate.pairs import Edge


def bradley_terry(
    scores: Tensor, edges: Sequence[Edge], *, label_smoothing: float = 0.0, use_margin: bool = False
) -> Tensor:
    """K-wise Bradley-Terry loss of one comparison, with soft labels, weights and margins.

        L = -(1 / sum_E w_ij) sum_E w_ij [ p_ij log sigma(s_i - s_j - m_ij) + (1 - p_ij) log sigma(s_j - s_i + m_ij) ]

    All pairs of one ranking are averaged within their comparison (Ouyang et al. 2022, arXiv:2203.02155, eq. 1); the
    margin is Llama 2's (Touvron et al. 2023, arXiv:2307.09288, eq. 2). p = 1/2 is a tie. With label smoothing e,
    p becomes p(1 - e) + (1 - p)e.

    scores: [K]. edges: at least one, of positive weight. Returns a scalar.
    """
    i, j, w, p, m = _columns(edges, scores)
    p = p * (1 - label_smoothing) + (1 - p) * label_smoothing
    difference = scores[i] - scores[j]
    if use_margin:
        difference = difference - m
    return -(w * (p * logsigmoid(difference) + (1 - p) * logsigmoid(-difference))).sum() / w.sum()


def centering(scores: Tensor, edges: Sequence[Edge]) -> Tensor:
    """Mean of (s_i + s_j)^2 over the edges, by their weights: scores far from zero cost something.

    Bradley-Terry fixes only differences; this fixes the origin (Eisenstein et al. 2023, arXiv:2312.09244, section 2).
    scores: [K]. Returns a scalar.
    """
    i, j, w, _, _ = _columns(edges, scores)
    return (w * (scores[i] + scores[j]).square()).sum() / w.sum()


def plackett_luce(scores: Tensor, rankings: Iterable[Mapping[str, Any]]) -> Tensor:
    """Plackett-Luce loss of one comparison: the likelihood of each ranking as a sequence of choices.

        L = (1 / sum_r w_r) sum_r w_r (1 / (n_r - 1)) sum_{t=1}^{n_r - 1} [ logsumexp_{u >= t} s_u - s_t ]

    for the n_r responses that ranking r places, in order from the best (Plackett 1975; Luce 1959). Divided by the
    number of choices, so with two responses it equals Bradley-Terry. A tie is every order of the tied responses,
    equally likely: the loss is the exact mean over those orders, so two tied responses give Bradley-Terry with p = 1/2.
    Unranked responses take no part.

    scores: [K]. rankings: {"ranks": [K], "weight"} each, at least one of positive weight that places two responses.
    Returns a scalar.
    """
    total, weights = scores.new_zeros(()), 0.0
    for ranking in rankings:
        weight = float(ranking.get("weight", 1.0))
        groups = _tie_groups(ranking["ranks"])
        placed = sum(len(group) for group in groups)
        if placed < 2 or weight <= 0:
            continue
        total = total + weight * _ordered_choices(scores, groups) / (placed - 1)
        weights += weight
    if not weights:
        raise ValueError("No ranking places two responses, so there is nothing to learn from.")
    return total / weights


def comparison_weight(edges: Sequence[Edge]) -> float:
    """How much one comparison counts beside others: the mean weight of its edges.

    A comparison that three annotators judged counts three times one that a single annotator judged, whatever its K.
    """
    return sum(edge.weight for edge in edges) / len(edges)


def _ordered_choices(scores: Tensor, groups: list[list[int]]) -> Tensor:
    """-log likelihood of the groups in order, averaged over the orders within each group.

    Over all orders of a group of g, the set S already taken when the (|S|+1)-th is chosen is equally likely to be any
    subset of that size: so the mean needs the 2^g - 1 subsets and not the g! orders.
    """
    loss = scores.new_zeros(())
    for position, group in enumerate(groups):
        later = [response for following in groups[position + 1 :] for response in following]
        loss = loss - scores[torch.tensor(group, device=scores.device)].sum()
        pool = torch.tensor(group + later, device=scores.device)
        for taken in range(len(group)):
            subsets = list(itertools.combinations(range(len(group)), taken))
            gone = torch.zeros(len(subsets), len(pool), dtype=torch.bool)
            if taken:
                gone.scatter_(1, torch.tensor(subsets), True)
            left = scores[pool].expand(len(subsets), -1).masked_fill(gone.to(scores.device), -torch.inf)
            loss = loss + left.logsumexp(dim=1).mean()
    return loss


def _tie_groups(ranks: Sequence[int | None]) -> list[list[int]]:
    """Indices of the ranked responses from the best group to the worst."""
    placed = sorted({rank for rank in ranks if rank is not None})
    return [[index for index, rank in enumerate(ranks) if rank == value] for value in placed]


def _columns(edges: Sequence[Edge], like: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    device, dtype = like.device, like.dtype
    i = torch.tensor([edge.i for edge in edges], device=device)
    j = torch.tensor([edge.j for edge in edges], device=device)
    w = torch.tensor([edge.weight for edge in edges], device=device, dtype=dtype)
    p = torch.tensor([edge.p for edge in edges], device=device, dtype=dtype)
    m = torch.tensor([edge.margin for edge in edges], device=device, dtype=dtype)
    return i, j, w, p, m
