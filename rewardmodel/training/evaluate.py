"""How good a reward model is: accuracy on held-out preferences, its interval, and a baseline that reads nothing."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from annotate.pairs import Edge
from rewardmodel.training.data import Comparison

Z95 = 1.959964


@dataclass(frozen=True)
class Estimate:
    """A share with its 95% interval. n: pairs counted; prompts: independent prompts that they come from."""

    value: float
    low: float
    high: float
    n: int
    prompts: int


def pair_outcomes(scores: Sequence[float], edges: Iterable[Edge]) -> list[float]:
    """1 for each edge whose preferred response scores higher, 0 where it scores lower, 1/2 where the scores are equal.

    Edges without a majority (p = 1/2) have no right answer and are left out. scores: K numbers.
    """
    outcomes = []
    for edge in edges:
        found = outcome(edge.p, scores[edge.i] - scores[edge.j])
        if found is not None:
            outcomes.append(found)
    return outcomes


def outcome(p: float, difference: float) -> float | None:
    """1 if a score difference i - j has the side that most prefer, p being the share for i; see `pair_outcomes`."""
    if p == 0.5:
        return None
    return 0.5 if difference == 0 else float((difference > 0) == (p > 0.5))


def clustered_share(outcomes: Iterable[tuple[str, float]]) -> Estimate | None:
    """Share of right outcomes with a Wilson interval that knows that outcomes come in clusters.

    Pairs of one prompt are right or wrong together, so n pairs carry less evidence than n coin flips. The interval is
    Wilson's (1927) at the effective size n / deff, where the design effect deff = Var_clustered / Var_binomial (Kish
    1965) comes from the linearised variance of a ratio over clusters. Where that variance cannot be estimated (all
    right, all wrong, one cluster), every cluster counts as one observation. None if there is no outcome.
    """
    clusters: dict[str, list[float]] = defaultdict(list)
    for key, outcome in outcomes:
        clusters[key].append(outcome)
    n, count = sum(map(len, clusters.values())), len(clusters)
    if not n:
        return None
    share = sum(sum(values) for values in clusters.values()) / n
    binomial = share * (1 - share) / n
    if count > 1 and binomial > 0:
        residuals = (sum(values) - share * len(values) for values in clusters.values())
        clustered = count / (count - 1) * sum(residual**2 for residual in residuals) / n**2
        size = n / max(clustered / binomial, 1.0)
    else:
        size = float(count)
    low, high = wilson(share, size)
    return Estimate(share, low, high, n, count)


def wilson(share: float, n: float, z: float = Z95) -> tuple[float, float]:
    """Wilson's score interval of a share observed over n (possibly effective) trials."""
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def accuracy(
    comparisons: Sequence[Comparison], scores: Sequence[Sequence[Sequence[float]]], dimensions: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Accuracy of each dimension that has a preference to get right: {dimension: {value, low, high, n, prompts}}.

    scores: for each comparison, K rows of one score a dimension.
    """
    found = {}
    for column, dimension in enumerate(dimensions):
        estimate = clustered_share(
            (comparison.prompt_key, outcome)
            for comparison, rows in zip(comparisons, scores, strict=True)
            for outcome in pair_outcomes([row[column] for row in rows], comparison.edges.get(dimension, ()))
        )
        if estimate:
            found[dimension] = asdict(estimate)
    return found


def by_length(comparisons: Sequence[Comparison], dimensions: Sequence[str]) -> list[list[list[float]]]:
    """The baseline that prefers the longer response, as scores: the number of characters."""
    return [[[float(len(text))] * len(dimensions) for text in comparison.responses] for comparison in comparisons]


def shares_won(comparisons: Sequence[Comparison], dimensions: Sequence[str]) -> list[list[list[float]]]:
    """What annotators say, as scores: the share of its pairs that each response wins, one half where it has none."""
    found = []
    for comparison in comparisons:
        columns = []
        for dimension in dimensions:
            won = [[0.0, 0.0] for _ in comparison.responses]
            for edge in comparison.edges.get(dimension, ()):
                for response, share in ((edge.i, edge.p), (edge.j, 1 - edge.p)):
                    won[response][0] += share
                    won[response][1] += 1
            columns.append([wins / pairs if pairs else 0.5 for wins, pairs in won])
        found.append([list(row) for row in zip(*columns, strict=True)])
    return found


def head_to_head(
    comparisons: Sequence[Comparison],
    ours: Sequence[Sequence[Sequence[float]]],
    theirs: Sequence[Sequence[Sequence[float]]],
    dimensions: Sequence[str],
) -> dict[str, dict[str, float]]:
    """Of the prompts on which one of two scorers is right more often, the share on which ours is, with its interval.

    A sign test by prompt: an interval above one half says that ours is better, and says it also where both
    accuracies' own intervals overlap, since both are measured on the same pairs.
    """
    found = {}
    for column, dimension in enumerate(dimensions):
        lead: dict[str, float] = defaultdict(float)
        for comparison, a, b in zip(comparisons, ours, theirs, strict=True):
            edges = comparison.edges.get(dimension, ())
            right, wrong = (sum(pair_outcomes([row[column] for row in rows], edges)) for rows in (a, b))
            lead[comparison.prompt_key] += right - wrong
        wins, losses = sum(value > 0 for value in lead.values()), sum(value < 0 for value in lead.values())
        if wins + losses:
            share = wins / (wins + losses)
            low, high = wilson(share, wins + losses)
            found[dimension] = {"value": share, "low": low, "high": high, "n": wins + losses}
    return found


def moments(
    scores: Sequence[Sequence[Sequence[float]]], dimensions: Sequence[str]
) -> tuple[dict[str, float], dict[str, float]]:
    """Mean and standard deviation of each dimension's scores over all responses."""
    mean, std = {}, {}
    for column, dimension in enumerate(dimensions):
        values = [row[column] for rows in scores for row in rows]
        mean[dimension] = math.fsum(values) / len(values)
        std[dimension] = math.sqrt(math.fsum((value - mean[dimension]) ** 2 for value in values) / len(values))
    return mean, std
