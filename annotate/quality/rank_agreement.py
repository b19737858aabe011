"""Agreement of whole rankings: Kendall's tau-b and W, keyed by response. Pure.

With a_ij in {1, 0, -1} for what ranking a says of responses i < j that both rankings place,

    tau_b = sum_ij a_ij b_ij / sqrt(sum_ij a_ij^2 * sum_ij b_ij^2),

which is scipy.stats.kendalltau's, ties corrected (Kendall, Biometrika 33, 1945). It is undefined where a ranking ties
all.

With d_jr the distance of response r's average rank from the middle in judgement j of m, over the responses that all
place, W corrected for ties is

    W = sum_r (sum_j d_jr)^2 / (m * sum_j sum_r d_jr^2):

the share of the rankings' spread that their mean keeps. 1 is full agreement; rankings drawn at random give 1 / m on
average (Kendall and Babington Smith, Annals of Mathematical Statistics 10, 1939).
"""

from __future__ import annotations

import numpy as np

from annotate.quality.agreement import COUPLES
from annotate.quality.bootstrap import Estimate, Floats, cluster_sums, estimate, ratio
from annotate.quality.judged import Ints, Judged


def kendall_taus(data: Judged, first: Ints, second: Ints) -> Floats:
    """(N,) tau-b of the rankings in rows `first` and `second`; nan where one ties all that both place."""
    product, one, two = np.zeros(len(first)), np.zeros(len(first)), np.zeros(len(first))
    for i, j in data.pairs():
        sign, both = data.signs(i, j), data.both(i, j)
        a, b = sign[first] * both[second], sign[second] * both[first]
        product += a * b
        one += a * a
        two += b * b
    with np.errstate(divide="ignore", invalid="ignore"):
        return product / np.sqrt(one * two)


def kendall_tau(data: Judged) -> Estimate | None:
    """Mean tau-b over every two rankings of a comparison. n: couples of rankings that have one. Chance is 0."""
    first, second = data.couples(COUPLES)
    taus = kendall_taus(data, first, second)
    has = np.isfinite(taus)
    if not has.any():
        return None
    rows = np.stack([taus[has], np.ones(int(has.sum()))], axis=1)
    return estimate(cluster_sums(data.cluster[data.comparison[first[has]]], rows), ratio, n=int(has.sum()))


def kendall_w(data: Judged) -> tuple[Estimate, float] | None:
    """(mean W over comparisons, its mean by chance) with at least two rankings of at least two responses. n:
    comparisons."""
    if not len(data.comparison):
        return None
    judges = np.bincount(data.comparison, minlength=data.comparisons)
    placed = np.stack(
        [np.bincount(data.comparison, column, data.comparisons) == judges for column in (data.ranks > 0).T], axis=1
    )
    distance = np.zeros(data.ranks.shape)
    for i, j in data.pairs():
        half = data.signs(i, j) * (placed[:, i] & placed[:, j])[data.comparison] / 2
        distance[:, i] -= half  # better is a smaller rank
        distance[:, j] += half
    together = cluster_sums(data.comparison, distance)
    spread = np.bincount(data.comparison, (distance**2).sum(axis=1), data.comparisons)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = (together**2).sum(axis=1) / (judges * spread)
    has = (judges >= 2) & np.isfinite(values)
    if not has.any():
        return None
    rows = np.stack([values[has], np.ones(int(has.sum()))], axis=1)
    found = estimate(cluster_sums(data.cluster[has], rows), ratio, n=int(has.sum()))
    assert found is not None
    return found, float((1 / judges[has]).mean())
