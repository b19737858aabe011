"""Means with bootstrap intervals whose unit is the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np


@dataclass(frozen=True)
class Mean:
    """A mean over `n` values of `prompts` prompts, and its interval."""

    value: float
    low: float
    high: float
    n: int
    prompts: int

    def plain(self) -> dict[str, float]:
        return asdict(self)


def clustered_mean(
    values: Sequence[float], clusters: Sequence[str], *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Mean:
    """Mean of `values` with a percentile bootstrap interval (Efron 1979) that resamples whole clusters.

    Responses to one prompt are alike, so they carry less evidence than as many prompts would. With a single cluster
    nothing can be resampled, and the interval is only the mean itself. Raises ValueError if there is no value.
    """
    if not values:
        raise ValueError("There is nothing to average.")
    names = {name: number for number, name in enumerate(dict.fromkeys(clusters))}
    index = np.array([names[name] for name in clusters])
    sums = np.bincount(index, weights=np.asarray(values, dtype=np.float64), minlength=len(names))
    counts = np.bincount(index, minlength=len(names)).astype(np.float64)
    mean = float(sums.sum() / counts.sum())
    draws = np.random.default_rng(seed).integers(len(names), size=(resamples, len(names)))
    means = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return Mean(mean, float(low), float(high), len(values), len(names))


def paired_difference(
    ours: Sequence[float],
    our_clusters: Sequence[str],
    theirs: Sequence[float],
    their_clusters: Sequence[str],
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Mean | None:
    """Mean over shared clusters of (mean of ours - mean of theirs), with the interval of `clustered_mean`.

    Pairing by prompt takes out how easy the prompts are. None if no cluster is shared.
    """
    mine, other = _means(ours, our_clusters), _means(theirs, their_clusters)
    shared = [name for name in mine if name in other]
    if not shared:
        return None
    gaps = [mine[name] - other[name] for name in shared]
    return clustered_mean(gaps, shared, confidence=confidence, resamples=resamples, seed=seed)


def _means(values: Sequence[float], clusters: Sequence[str]) -> dict[str, float]:
    gathered: dict[str, list[float]] = {}
    for value, name in zip(values, clusters, strict=True):
        gathered.setdefault(name, []).append(value)
    return {name: sum(each) / len(each) for name, each in gathered.items()}
