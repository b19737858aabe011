"""Intervals: the cluster bootstrap of a statistic of sums, and Wilson's of a share. Pure.

Judgements of one comparison (or prompt) are not independent evidence, so whole clusters are drawn. Every statistic here
is a function of sums over clusters, so a resample needs only how often each cluster was drawn. Clusters with equal
sums are exchangeable, and it is enough to draw how many of each kind there are. Where more than GROUPS kinds remain,
clusters are first thrown together at random into GROUPS groups of equal size, whose bootstrap has the same variance in
expectation and a relative error of 1 / sqrt(2 GROUPS), under 2 %: so time does not grow with the data.

Efron and Tibshirani, An Introduction to the Bootstrap, 1993 (percentile interval); Field and Welsh, Bootstrapping
clustered data, JRSS B 69 (2007); Wilson, Probable inference, JASA 22 (1927).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

Floats = NDArray[np.float64]

RESAMPLES = 1000
GROUPS = 2000
SORTED = 20_000  # clusters; more take longer to sort by kind than it saves
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """value with its interval [low, high] (None where it cannot be told, as from one cluster); n: of how many, of what
    the function that made it says; clusters: independent pieces of evidence."""

    value: float
    low: float | None
    high: float | None
    n: int
    clusters: int = 0

    def json(self) -> dict[str, Any]:
        return asdict(self)


def cluster_sums(cluster: NDArray[np.int64], rows: NDArray[Any]) -> Floats:
    """(G, S) sums of the (C, S) rows by cluster number."""
    rows = rows.reshape(len(rows), -1)
    size = int(cluster.max()) + 1 if len(cluster) else 0
    return np.stack([np.bincount(cluster, rows[:, s], size) for s in range(rows.shape[1])], axis=1)


def estimate(
    sums: Floats,
    statistic: Callable[[Floats], Floats],
    *,
    n: int,
    resamples: int = RESAMPLES,
    groups: int = GROUPS,
    seed: int = 0,
) -> Estimate | None:
    """The statistic of the clusters' sums with its percentile interval.

    sums: (G, S), one row a cluster; rows of zeros say nothing and are left out. statistic: (B, S) totals to (B,)
    values, nan where it is undefined. n: what the Estimate should say. None where the statistic is undefined.
    """
    sums = np.asarray(sums, dtype=np.float64)
    sums = sums[np.any(sums != 0, axis=1)]
    if not len(sums):
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(statistic(sums.sum(axis=0, keepdims=True))[0])
    if not np.isfinite(value):
        return None
    low = high = None
    if len(sums) > 1:
        random = np.random.default_rng(seed)
        kinds, sizes = sums, np.ones(len(sums), dtype=np.int64)
        if len(sums) <= SORTED:
            kinds, sizes = np.unique(sums, axis=0, return_counts=True)
        if len(kinds) > groups:
            order = random.permutation(len(sums))
            group = np.empty(len(sums), dtype=np.int64)
            group[order] = np.arange(len(sums)) % groups
            kinds, sizes = cluster_sums(group, sums), np.ones(groups, dtype=np.int64)
        drawn = random.multinomial(sizes.sum(), sizes / sizes.sum(), size=resamples)
        with np.errstate(divide="ignore", invalid="ignore"):
            values = statistic(drawn @ kinds)
        values = values[np.isfinite(values)]
        if len(values) > resamples / 2:  # otherwise most resamples leave it undefined, and the rest would flatter
            tail = (1 - LEVEL) / 2
            low, high = (float(bound) for bound in np.quantile(values, [tail, 1 - tail]))
    return Estimate(value, low, high, int(n), len(sums))


def ratio(sums: Floats) -> Floats:
    """(B, 2) numerators and denominators to (B,)."""
    return sums[:, 0] / sums[:, 1]


def wilson(successes: float, n: float, *, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's interval of a share `successes / n`, n > 0; fractions are welcome (effective sample sizes)."""
    z = float(norm.ppf((1 + level) / 2))
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def share(successes: float, n: int) -> Estimate | None:
    """A share with its Wilson interval; None of none."""
    if n <= 0:
        return None
    low, high = wilson(successes, n)
    return Estimate(successes / n, low, high, n, n)
