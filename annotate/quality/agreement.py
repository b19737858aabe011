"""How often annotators agree. Pure.

A judgement orders a comparison's responses. What it says of a pair of them is one of three outcomes: the first is
better, a tie, the second is better; a pair of which a response was not placed says nothing. A *unit* is a pair of
responses of one comparison on one dimension with at least two such labels, and statistics of labels (percent, alpha,
Fleiss, Cohen) are over units; Kendall's tau and W are over rankings. docs/agreement.md has the equations in one place.

Which response of a pair is called the first is arbitrary, but decides what agreement is expected by chance: where the
first one (say, the earlier generator's) usually wins, blind annotators who always say "first" agree for no reason, and
alpha and kappa subtract that. With `symmetric`, each unit is entered both ways round, so the figure does not depend on
the naming.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import krippendorff
import numpy as np
from numpy.typing import NDArray

from annotate.quality.bootstrap import Estimate, Floats, cluster_sums, estimate, ratio
from annotate.quality.judged import FIRST, SECOND, TIE, Ints, Judged

Ranks = Sequence[int | None]
COUPLES = 400_000  # of judgements, for Kendall's tau and Cohen's kappa; more say nothing new


@dataclass(frozen=True, slots=True)
class Agreement:
    """value: share of agreeing pairs; [low, high]: its 95 % interval, None with fewer than two comparisons; pairs: of
    how many; comparisons: that had such a pair."""

    value: float
    low: float | None
    high: float | None
    pairs: int
    comparisons: int


# of one comparison ----------------------------------------------------------------------------------------------------


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
    found = estimate(np.array(counted), ratio, n=sum(total for _, total in counted), resamples=resamples, seed=seed)
    assert found is not None
    return Agreement(found.value, found.low, found.high, found.n, found.clusters)


def contested_pairs(
    given: Sequence[Mapping[str, int]], responses: Sequence[str], all_bad: Sequence[bool] = ()
) -> tuple[list[tuple[str, str]], int]:
    """(contested pairs of `responses`, how many pairs at least two judgements speak of), on one dimension.

    given: {response: rank} of each judgement. all_bad: aligned, whether it says that none is acceptable. A judgement
    says of a pair which one is better; or, where it does not order the two, that both are bad if all are; or, if it
    places them, a tie. A pair is contested unless all that is said of it is the same.
    """
    bad = [*all_bad, *[False] * (len(given) - len(all_bad))]
    contested, pairs = [], 0
    for first, second in combinations(responses, 2):
        said: list[int | str] = []
        for ranks, is_bad in zip(given, bad, strict=True):
            places = first in ranks and second in ranks
            order = (ranks[first] > ranks[second]) - (ranks[first] < ranks[second]) if places else 0
            if order or places or is_bad:
                said.append(order or ("bad" if is_bad else 0))
        if len(said) > 1:
            pairs += 1
            if len(set(said)) > 1:
                contested.append((first, second))
    return contested, pairs


def contested_share(
    rankings: Mapping[str, Sequence[Mapping[str, int]]], all_bad: Mapping[str, Sequence[bool]] | None = None
) -> float | None:
    """How much the judgements of one comparison differ: 0 they say the same, 1 they differ on every pair.

    rankings: {dimension: [{response: rank} of each judgement]}; all_bad: {dimension: [whether it says that none is
    acceptable]}, aligned. Counted are the pairs of responses that some judgement places, as `contested_pairs` does; the
    share is of all dimensions' pairs together. None if there is no pair that two judgements speak of.
    """
    contested = pairs = 0
    for dimension, given in rankings.items():
        responses = sorted({response for ranks in given for response in ranks})
        found, counted = contested_pairs(given, responses, (all_bad or {}).get(dimension, ()))
        contested, pairs = contested + len(found), pairs + counted
    return contested / pairs if pairs else None


def disagreement(judgements: Sequence[tuple[Mapping[str, Mapping[str, int]], Sequence[str]]]) -> float | None:
    """`contested_share` of a comparison's judgements as they are kept, each (rankings, all_bad); None with fewer than
    two."""
    if len(judgements) < 2:
        return None
    dimensions = {key for rankings, bad in judgements for key in (*rankings, *bad)}
    return contested_share(
        {key: [rankings.get(key, {}) for rankings, _ in judgements] for key in dimensions},
        {key: [key in bad for _, bad in judgements] for key in dimensions},
    )


# of many: percent, alpha, Fleiss --------------------------------------------------------------------------------------


def agreement(counts: Ints, cluster: Ints, *, ties: bool) -> Estimate | None:
    """Pairwise percent agreement: of every two labels of a unit, how often they are the same.

    counts: (C, P, 3) of `Judged.unit_counts`. With ties, three outcomes count; without, ties are set aside and two
    strict orders remain. n: couples of labels.
    """
    counts = counts if ties else counts[..., [FIRST, SECOND]]
    labels = counts.sum(axis=-1)
    same = (counts * (counts - 1)).sum(axis=(1, 2)) / 2
    every = (labels * (labels - 1)).sum(axis=1) / 2
    return estimate(cluster_sums(cluster, np.stack([same, every], axis=1)), ratio, n=int(every.sum()))


def agreement_by_chance(counts: Ints, *, ties: bool) -> float | None:
    """What agreement would be if each label were drawn at random, ties as often as they are and no side preferred."""
    if not ties:
        return 0.5
    total = counts.sum()
    tie = counts[..., TIE].sum() / total if total else 0.0
    return float(tie**2 + (1 - tie) ** 2 / 2) if total else None


def krippendorff_alpha(
    counts: Ints, cluster: Ints, *, level: Literal["nominal", "ordinal"] = "nominal", symmetric: bool = True
) -> Estimate | None:
    """Krippendorff's alpha over units: 1 - D_o / D_e, observed over expected disagreement; 0 is chance, 1 agreement.

    With o_ck the coincidences (each unit with n labels adds each of its ordered couples of labels, weighted 1 / (n-1)),
    n_c = sum_k o_ck and n = sum_c n_c:

        alpha = 1 - (n - 1) * sum_ck o_ck d_ck / sum_ck n_c n_k d_ck

    level: "nominal" (d_ck = 1 for c != k) or "ordinal" (first better < tie < second better; d_ck is the squared number
    of labels that lie between, half of each end counted). counts: (C, P, 3). n of the estimate: units. Krippendorff,
    Content Analysis, 2004, ch. 11; the value is the library `krippendorff`'s.
    """
    per_cluster = cluster_sums(cluster, _coincidences(counts, symmetric))
    units = counts.reshape(-1, 3)
    units = units[units.sum(axis=1) >= 2]
    if not len(units):
        return None
    labels = np.concatenate([units, units[:, ::-1]]) if symmetric else units
    if np.count_nonzero(labels.sum(axis=0)) < 2:
        return None  # only one outcome was ever given: agreement beyond chance has no meaning
    value = float(krippendorff.alpha(value_counts=labels, level_of_measurement=level))
    found = estimate(per_cluster, _alpha_of(level), n=len(units))
    return None if found is None else Estimate(value, found.low, found.high, found.n, found.clusters)


def fleiss_kappa(counts: Ints, cluster: Ints, *, symmetric: bool = True) -> Estimate | None:
    """Fleiss' kappa over units: (P - P_e) / (1 - P_e).

    P is the mean over units of the share of agreeing couples of labels, P_e the sum of the squared shares of the three
    outcomes among all labels. Fleiss' has the same number of labels on each unit; where numbers differ, each unit still
    counts once. counts: (C, P, 3). n: units. Fleiss, Psychological Bulletin 76 (1971).
    """
    labels = counts.sum(axis=-1)
    enough = labels >= 2
    with np.errstate(divide="ignore", invalid="ignore"):
        agreeing = np.where(enough, (counts * (counts - 1)).sum(axis=-1) / (labels * (labels - 1)), 0.0)
    shown = counts * enough[..., None]
    if symmetric:
        shown = shown + shown[..., ::-1]
    rows = np.column_stack([agreeing.sum(axis=1), enough.sum(axis=1), shown.sum(axis=1)])

    def kappa(sums: Floats) -> Floats:
        observed = sums[:, 0] / sums[:, 1]
        by_chance = ((sums[:, 2:] / sums[:, 2:].sum(axis=1, keepdims=True)) ** 2).sum(axis=1)
        return (observed - by_chance) / (1 - by_chance)

    return estimate(cluster_sums(cluster, rows), kappa, n=int(enough.sum()))


def _coincidences(counts: Ints, symmetric: bool) -> Floats:
    """(C, 9) coincidence matrices of comparisons."""
    labels = counts.sum(axis=-1)
    weight = np.where(labels >= 2, 1.0 / np.maximum(labels - 1, 1), 0.0)
    result = np.zeros((len(counts), 3, 3))
    for c in range(3):
        for k in range(3):
            both = counts[..., c] * (counts[..., k] - (c == k))
            result[:, c, k] = (both * weight).sum(axis=1)
    if symmetric:
        result = result + result[:, ::-1, ::-1]
    return result.reshape(len(counts), 9)


def _alpha_of(level: str) -> Callable[[Floats], Floats]:
    def alpha(sums: Floats) -> Floats:
        o = sums.reshape(-1, 3, 3)
        margins = o.sum(axis=2)
        n = margins.sum(axis=1)
        if level == "nominal":
            distance = np.broadcast_to(1.0 - np.eye(3), o.shape)
        else:
            running = np.cumsum(margins, axis=1) - margins / 2
            distance = (running[:, :, None] - running[:, None, :]) ** 2
        expected = (margins[:, :, None] * margins[:, None, :] * distance).sum(axis=(1, 2))
        return 1 - (n - 1) * (o * distance).sum(axis=(1, 2)) / expected

    return alpha


# of couples of annotators: Cohen --------------------------------------------------------------------------------------


def cohen_kappa(confusion: NDArray[np.generic], weights: str | None = None) -> float | None:
    """Cohen's kappa of an (m, m) table of how often rater one said c while rater two said k.

        kappa = 1 - sum_ck w_ck o_ck / sum_ck w_ck e_ck,   e_ck = o_c. o_.k / n

    weights: None (w = 1 off the diagonal), "linear" (|c - k|) or "quadratic" ((c - k)^2). None where only one label was
    ever used. Cohen, Educational and Psychological Measurement 20 (1960); Psychological Bulletin 70 (1968).
    """
    table = np.asarray(confusion, dtype=np.float64)
    value = _kappa_of(len(table), weights)(table.reshape(1, -1))[0]
    return float(value) if np.isfinite(value) else None


def cohen_kappa_of(
    first: Sequence[int], second: Sequence[int], *, clusters: Sequence[int] | None = None, weights: str | None = None
) -> Estimate | None:
    """Cohen's kappa of two raters' labels of the same things, with its bootstrap interval. n: things."""
    values, codes = np.unique(np.concatenate([first, second]), return_inverse=True)
    m, n = len(values), len(first)
    rows = np.zeros((n, m * m))
    rows[np.arange(n), codes[:n] * m + codes[n:]] = 1
    cluster = np.arange(n) if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    return estimate(cluster_sums(cluster, rows), _kappa_of(m, weights), n=n)


def _kappa_of(m: int, weights: str | None) -> Callable[[Floats], Floats]:
    gap = np.abs(np.subtract.outer(np.arange(m), np.arange(m))).astype(np.float64)
    cost = {None: (gap > 0).astype(np.float64), "linear": gap, "quadratic": gap**2}[weights]

    def kappa(sums: Floats) -> Floats:
        o = sums.reshape(-1, m, m)
        expected = o.sum(axis=2)[:, :, None] * o.sum(axis=1)[:, None, :] / o.sum(axis=(1, 2))[:, None, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            return 1 - (o * cost).sum(axis=(1, 2)) / (expected * cost).sum(axis=(1, 2))

    return kappa


def mean_cohen_kappa(
    data: Judged, *, weights: str | None = None, symmetric: bool = True, least: int = 20, most: int = 40
) -> Estimate | None:
    """Light's kappa: the mean of Cohen's kappas over couples of annotators, weighted by the units they share.

    Taken are the `most` couples that share most units, at least `least` each. n: units shared, over these couples.
    Light, Psychological Bulletin 76 (1971).
    """
    first, second = data.couples(COUPLES)
    size = len(data.annotators)
    a, b = data.annotator[first], data.annotator[second]
    couple = np.minimum(a, b) * size + np.maximum(a, b)
    swap = a > b
    shared: dict[int, int] = {}
    labelled = []
    for i, j in data.pairs():
        sign, both = data.signs(i, j), data.both(i, j)
        use = both[first] & both[second]
        one, two = 1 - sign[first][use], 1 - sign[second][use]
        one, two = np.where(swap[use], two, one), np.where(swap[use], one, two)
        labelled.append((couple[use], data.cluster[data.comparison[first[use]]], one * 3 + two))
        for name, n in zip(*np.unique(couple[use], return_counts=True), strict=True):
            shared[int(name)] = shared.get(int(name), 0) + int(n)
    chosen = sorted((name for name, n in shared.items() if n >= least), key=lambda name: -shared[name])[:most]
    if not chosen:
        return None
    names = np.sort(np.array(chosen))
    group_of = np.random.default_rng(0).permutation(int(data.cluster.max()) + 1) % 400
    sums = np.zeros((400, len(names), 9))
    for couples, clusters, cells in labelled:
        at = np.minimum(np.searchsorted(names, couples), len(names) - 1)
        known = names[at] == couples
        np.add.at(sums, (group_of[clusters[known]], at[known], cells[known]), 1)
    if symmetric:
        sums = sums + sums[..., ::-1]

    def mean(totals: Floats) -> Floats:
        tables = totals.reshape(len(totals), len(names), 9)
        kappas = np.stack([_kappa_of(3, weights)(tables[:, c]) for c in range(len(names))], axis=1)
        weight = np.where(np.isfinite(kappas), tables.sum(axis=2), 0.0)
        return (np.nan_to_num(kappas) * weight).sum(axis=1) / weight.sum(axis=1)

    return estimate(sums.reshape(400, -1), mean, n=sum(shared[name] for name in chosen))
