"""What a comparison's judgements say together: a consensus ranking, and a soft label for each pair. Pure.

Three ways to a ranking, all of weighted rankings with ties and unplaced responses:

- "bradley-terry" (default): scores s that maximise sum_ij W_ij log sigma(s_i - s_j) - sum_i s_i^2 / (2 v), where W_ij
  is the
  weight of the rankings that put i before j, a tie giving half to either. The prior variance v keeps scores finite
  where everybody agrees (Bradley and Terry, Biometrika 39, 1952). Weights are best `reliability.weight_of` the judges.
- "borda": the mean share of the other placed responses that a response beats (de Borda, 1781).
- "majority": how many others a weighted majority puts below it, an even pair counting half (Copeland's rule); a cycle
  is a tie.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from annotate.quality.bootstrap import Floats
from annotate.quality.judged import Judged
from annotate.quality.reliability import PRIOR, PRIOR_SPREAD, PRIOR_TIE, soft_label

Ranks = Sequence[int | None]
METHODS = ("bradley-terry", "borda", "majority")
PRIOR_VARIANCE = PRIOR_SPREAD**2 / 2  # of a score: half that of a margin
SAME = 1e-6  # scores closer than this are a tie


@dataclass(frozen=True, slots=True)
class Consensus:
    """ranks: dense, 1 is best, equal is a tie, None where no judgement placed the response. scores: aligned, nan where
    None; their scale is the method's own."""

    ranks: list[int | None]
    scores: list[float]


def consensus(
    rankings: Sequence[Ranks], *, weights: Sequence[float] | None = None, method: str = "bradley-terry"
) -> Consensus:
    """The consensus of one comparison's rankings on one dimension, each aligned with the responses.

    weights: one a ranking, not negative; where they sum to 0, or are not given, all count the same.
    """
    if method not in METHODS:
        raise ValueError(f"There is no consensus method {method!r}: it is one of {', '.join(METHODS)}.")
    if not rankings:
        return Consensus([], [])
    table = np.array([[rank or 0 for rank in ranks] for ranks in rankings], dtype=np.int16)
    weight = np.ones(len(table)) if weights is None else np.asarray(weights, dtype=np.float64)
    if len(weight) != len(table) or (weight < 0).any():
        raise ValueError("Weights are not negative, one for each ranking.")
    if not weight.sum():
        weight = np.ones(len(table))
    counted = table[weight > 0]
    placed = (counted > 0).any(axis=0)
    wins = wins_of(counted, weight[weight > 0]).sum(axis=0)
    if method == "bradley-terry":
        scores = bradley_terry(wins[None])[0]
    elif method == "borda":
        scores = _borda(counted, weight[weight > 0])
    else:
        scores = (np.sign(wins - wins.T) / 2 + 0.5 * (wins + wins.T > 0)).sum(axis=1)
    scores = np.where(placed, scores, np.nan)
    return Consensus(ranks_of(scores), scores.tolist())


def soft_labels(
    rankings: Sequence[Ranks],
    *,
    reliabilities: Sequence[float] | None = None,
    spread: float = PRIOR_SPREAD,
    tie: float = PRIOR_TIE,
) -> dict[tuple[int, int], float]:
    """{(i, j): P(i is preferred)} for every pair i < j that a ranking places, by the model of
    annotate.quality.reliability.

    reliabilities: one a ranking; without, everybody has the prior's.
    """
    eta = [PRIOR.value] * len(rankings) if reliabilities is None else list(reliabilities)
    votes: dict[tuple[int, int], list[tuple[int, float]]] = {}
    for ranks, reliability in zip(rankings, eta, strict=True):
        for i, a in enumerate(ranks):
            for j in range(i + 1, len(ranks)):
                b = ranks[j]
                if a is not None and b is not None:
                    votes.setdefault((i, j), []).append(((a < b) - (a > b), reliability))
    return {pair: _label(tuple(sorted(given)), spread, tie) for pair, given in sorted(votes.items())}


@lru_cache(maxsize=100_000)  # a few people's votes on a pair repeat, and a build asks for hundreds of thousands
def _label(votes: tuple[tuple[int, float], ...], spread: float, tie: float) -> float:
    return soft_label(list(votes), spread=spread, tie=tie)


def wins_of(ranks: NDArray[np.int16], weight: Floats) -> Floats:
    """(J, K, K) of (J, K) ranks (0 not placed) and (J,) weights: [j, a, b] is the weight of a before b, half of it for
    a tie, 0 where either is not placed."""
    a, b = ranks[:, :, None], ranks[:, None, :]
    both = (a > 0) & (b > 0)
    wins = np.where(a < b, 1.0, np.where(a == b, 0.5, 0.0)) * both * weight[:, None, None]
    k = ranks.shape[1]
    wins[:, np.arange(k), np.arange(k)] = 0.0
    return wins


def bradley_terry(wins: Floats, *, variance: float = PRIOR_VARIANCE, steps: int = 50) -> Floats:
    """(N, K) maximum a posteriori scores of N comparisons at once, from (N, K, K) `wins`, by Newton's method.

    The function is strictly concave, so the maximum is one; scores of a comparison sum to 0.
    """
    n, k = wins.shape[:2]
    scores = np.zeros((n, k))
    games = wins + wins.transpose(0, 2, 1)
    ridge = np.eye(k) / variance
    for _ in range(steps):
        chance = 0.5 * (1 + np.tanh((scores[:, :, None] - scores[:, None, :]) / 2))
        slope = (wins - games * chance).sum(axis=2) - scores / variance
        curve = games * chance * (1 - chance)
        hessian = ridge - curve
        hessian[:, np.arange(k), np.arange(k)] += curve.sum(axis=2)
        step = np.linalg.solve(hessian, slope[:, :, None])[:, :, 0]
        # A full step from far away can overshoot; a bounded one cannot diverge.
        scores = scores + np.clip(step, -2.0, 2.0)
        if np.abs(step).max(initial=0.0) < 1e-10:
            break
    return scores


def ranks_of(scores: Floats) -> list[int | None]:
    """Dense ranks by falling score, None for nan."""
    ranks: list[int | None] = [None] * len(scores)
    rank, last = 0, np.inf
    for i in sorted(np.flatnonzero(~np.isnan(scores)).tolist(), key=lambda i: -scores[i]):
        if last - scores[i] > SAME:
            rank += 1
        ranks[i], last = rank, scores[i]
    return ranks


def _borda(ranks: NDArray[np.int16], weight: Floats) -> Floats:
    placed = ranks > 0
    others = np.maximum(placed.sum(axis=1) - 1, 1)
    beaten = wins_of(ranks, np.ones(len(ranks))).sum(axis=2) / others[:, None]
    total = (placed * weight[:, None]).sum(axis=0)
    return (beaten * weight[:, None]).sum(axis=0) / np.where(total > 0, total, 1)


def agreement_with_others(data: Judged, weights: Floats, *, chunk: int = 20_000) -> tuple[Floats, Floats]:
    """(agreeing (J,), of (J,)) pairs that each judgement orders as the consensus of its comparison's *other*
    judgements.

    data: a Judged. weights: (A,) by annotator. Only pairs that the judgement and that consensus both order strictly
    count, so a judgement without others has none.
    """
    weight = weights[data.annotator]
    agreeing, every = np.zeros(len(weight)), np.zeros(len(weight))
    start = 0
    starts = np.searchsorted(data.comparison, np.arange(data.comparisons + 1))
    while start < data.comparisons:
        stop = max(start + 1, int(np.searchsorted(starts, starts[start] + chunk, side="right")) - 1)
        stop = min(stop, data.comparisons)
        rows = slice(starts[start], starts[stop])
        own = wins_of(data.ranks[rows], weight[rows])
        number = data.comparison[rows] - start
        together = np.zeros((stop - start, *own.shape[1:]))
        np.add.at(together, number, own)
        others = np.maximum(together[number] - own, 0.0)  # what is left of rounding is not a vote
        others[others < 1e-9] = 0.0
        scores = bradley_terry(others)
        for i, j in data.pairs():
            margin = scores[:, i] - scores[:, j]
            theirs = np.where(np.abs(margin) > SAME, np.sign(margin), 0)
            theirs *= (others[:, i, j] + others[:, j, i]) > 0
            mine = data.signs(i, j)[rows]
            strict = (theirs != 0) & (mine != 0)
            every[rows] += strict
            agreeing[rows] += strict & (theirs == mine)
        start = stop
    return agreeing, every
