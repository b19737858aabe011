"""How often annotators agree. Pure.

The unit is a pair of responses that two annotators both ordered strictly; they agree if they prefer the same one. Ties
and unranked responses say nothing here. The interval is a bootstrap over comparisons, since the pairs of one comparison
are not independent evidence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

Ranks = Sequence[int | None]


@dataclass(frozen=True, slots=True)
class Agreement:
    """value: share of agreeing pairs; [low, high]: its 95 % interval, None with fewer than two comparisons; pairs: of
    how many; comparisons: that had such a pair."""

    value: float
    low: float | None
    high: float | None
    pairs: int
    comparisons: int


def pair_counts(rankings: Sequence[Ranks]) -> tuple[int, int]:
    """(agreeing, all) over every two rankings of one comparison and every two responses that both order strictly."""
    agreeing = total = 0
    for first, second in combinations(rankings, 2):
        for i, j in combinations(range(len(first)), 2):
            a, b, c, d = first[i], first[j], second[i], second[j]
            if a is None or b is None or c is None or d is None or a == b or c == d:
                continue
            total += 1
            agreeing += (a < b) == (c < d)
    return agreeing, total


def percent_agreement(
    comparisons: Iterable[Sequence[Ranks]], *, resamples: int = 1000, seed: int = 0
) -> Agreement | None:
    """Pairwise percent agreement over comparisons, each a list of rankings; None if no pair was ordered twice."""
    counted = [counts for rankings in comparisons if (counts := pair_counts(rankings))[1]]
    if not counted:
        return None
    counts = np.array(counted, dtype=np.int64)
    agreeing, total = counts.sum(axis=0)
    low = high = None
    if len(counts) > 1:
        random = np.random.default_rng(seed)
        # Comparisons with equal counts are exchangeable, so it is enough to draw how many of each kind there are.
        kinds, sizes = np.unique(counts, axis=0, return_counts=True)
        drawn = random.multinomial(len(counts), sizes / len(counts), size=resamples) @ kinds
        shares = drawn[:, 0] / drawn[:, 1]
        low, high = (float(bound) for bound in np.quantile(shares, [0.025, 0.975]))
    return Agreement(float(agreeing / total), low, high, int(total), len(counts))


def contested_share(rankings: Mapping[str, Sequence[Mapping[str, int]]]) -> float | None:
    """How much the judgements of one comparison differ: 0 they say the same, 1 they differ on every pair.

    rankings: {dimension: [{response: rank} of each judgement]}. A pair of responses on a dimension counts if at least two
    judgements place both; it is contested unless all of these say the same: first better, second better, or tie.
    The share is of all dimensions' pairs together; None if there is no such pair.
    """
    contested = pairs = 0
    for given in rankings.values():
        responses = sorted({response for ranks in given for response in ranks})
        for first, second in combinations(responses, 2):
            said = [
                (ranks[first] > ranks[second]) - (ranks[first] < ranks[second])
                for ranks in given
                if first in ranks and second in ranks
            ]
            if len(said) > 1:
                pairs += 1
                contested += len(set(said)) > 1
    return contested / pairs if pairs else None
