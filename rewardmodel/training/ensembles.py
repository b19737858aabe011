"""Several reward models in one: how their training differs, and what their disagreement is worth.

Members with an adapter each differ in its start, in their head and in the order of the comparisons, which is all that
deep ensembles need (Lakshminarayanan et al. 2017). Members that share every layer see every forward together and would
agree in the end, their problem being nearly convex; so each also counts every prompt a Poisson(1) number of times, the
bootstrap of a stream (Oza & Russell 2001; for heads on one network, Osband et al. 2016).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

from rewardmodel.training.data import Comparison
from rewardmodel.training.evaluate import accuracy


def bootstrap_count(seed: int, member: int, prompt_key: str) -> int:
    """How often a member counts a prompt's comparisons: Poisson(1), by seed, member and prompt alone.

    Comparisons of one prompt are not independent evidence, so they are drawn together.
    """
    digest = hashlib.sha256(f"{seed}\n{member}\n{prompt_key}".encode()).digest()
    left = int.from_bytes(digest[:8], "big") / 2**64
    count, share = 0, math.exp(-1)
    while left >= share and count < 20:
        left -= share
        count += 1
        share /= count
    return count


def member_accuracies(
    comparisons: Sequence[Comparison], scores: Sequence[Sequence[Sequence[Sequence[float]]]], dimensions: Sequence[str]
) -> list[dict[str, dict[str, float]]]:
    """`accuracy` of each member by itself. scores: [comparison][K][member][dimension]."""
    members = len(scores[0][0]) if scores else 0
    return [
        accuracy(comparisons, [[row[member] for row in rows] for rows in scores], dimensions)
        for member in range(members)
    ]


def disagreement(
    comparisons: Sequence[Comparison], scores: Sequence[Sequence[Sequence[Sequence[float]]]], dimensions: Sequence[str]
) -> dict[str, dict[str, float | None]]:
    """How far members are apart, by dimension, and whether they are further apart where their mean is wrong.

    The disagreement on a pair is the standard deviation over members of its score difference. `mean` is its mean over
    the decided pairs, `when_right` and `when_wrong` that over pairs which the mean score orders rightly and wrongly,
    and `auroc` the probability that a wrong pair has more of it than a right one: 0.5 says that it knows nothing.
    scores: [comparison][K][member][dimension].
    """
    found: dict[str, dict[str, float | None]] = {}
    for column, dimension in enumerate(dimensions):
        right: list[float] = []
        wrong: list[float] = []
        for comparison, rows in zip(comparisons, scores, strict=True):
            for edge in comparison.edges.get(dimension, ()):
                if edge.p == 0.5:
                    continue
                gaps = [a[column] - b[column] for a, b in zip(rows[edge.i], rows[edge.j], strict=True)]
                mean = math.fsum(gaps) / len(gaps)
                spread = math.sqrt(math.fsum((gap - mean) ** 2 for gap in gaps) / (len(gaps) - 1))
                (right if (mean > 0) == (edge.p > 0.5) else wrong).append(spread)
        if right or wrong:
            found[dimension] = {
                "mean": _mean([*right, *wrong]),
                "when_right": _mean(right),
                "when_wrong": _mean(wrong),
                "auroc": _auroc(wrong, right),
            }
    return found


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _auroc(high: Sequence[float], low: Sequence[float]) -> float | None:
    """P(one of `high` > one of `low`), ties counting one half: Mann and Whitney's U over its largest value."""
    if not high or not low:
        return None
    ordered = sorted([(value, 1) for value in high] + [(value, 0) for value in low])
    rank_sum, start = 0.0, 0
    while start < len(ordered):
        end = start
        while end < len(ordered) and ordered[end][0] == ordered[start][0]:
            end += 1
        rank_sum += (start + 1 + end) / 2 * sum(mark for _, mark in ordered[start:end])
        start = end
    return (rank_sum - len(high) * (len(high) + 1) / 2) / (len(high) * len(low))
