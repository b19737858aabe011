"""From the rankings of several judges to one. Pure.

What comes out is a ranking like any other, so whoever reads rankings needs to know nothing of how it was made. Its
weight is the sum of its judges'. The strength of the step below a group is the mean margin between its responses and
those of the next group. A consensus brings soft labels with it, `"soft": [[i, j, p], ...]`: the probability p that
response i is preferred to j, which then stands in place of 1, 0 or one half (annotate.pairs.edges).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from annotate.datasets.config import DatasetConfig
from annotate.datasets.records import Ranking
from annotate.pairs import Edge, edges
from annotate.quality.consensus import consensus, soft_labels

METHODS = {"majority": "majority", "consensus": "bradley-terry"}
DIGITS = 4  # of soft labels and strengths: the rest is noise, and need not be the same on two machines


def aggregated(rankings: Sequence[Ranking], n: int, config: DatasetConfig) -> list[Ranking]:
    """One ranking of `n` responses in place of the judges' (all of them if none is asked for); those of edits stay."""
    if config.aggregation == "judgements":
        return list(rankings)
    edits = [ranking for ranking in rankings if ranking.get("edit")]
    judged = [ranking for ranking in rankings if not ranking.get("edit")]
    if not judged:
        return edits
    counted = [ranking for ranking in judged if ranking["weight"] > 0] or [{**each, "weight": 1.0} for each in judged]
    found = edges(counted, n)
    made: Ranking = {
        "ranks": _consensus(counted, METHODS[config.aggregation]),
        "weight": round(sum(ranking["weight"] for ranking in counted), DIGITS),
        "annotator": config.aggregation,
    }
    made["strengths"] = _strengths(made["ranks"], found)
    if config.aggregation == "consensus":
        made["soft"] = _soft(counted, is_weighted=config.weights == "reliability")
    return [made, *edits]


def _consensus(rankings: Sequence[Ranking], method: str) -> list[int | None]:
    given = sorted((tuple(rank or 0 for rank in ranking["ranks"]), ranking["weight"]) for ranking in rankings)
    return list(_consensus_of(tuple(given), method))


@lru_cache(maxsize=20_000)  # a few people's rankings of a few responses repeat
def _consensus_of(given: tuple[tuple[tuple[int, ...], float], ...], method: str) -> tuple[int | None, ...]:
    rankings = [[rank or None for rank in ranks] for ranks, _ in given]
    return tuple(consensus(rankings, weights=[weight for _, weight in given], method=method).ranks)


def _soft(rankings: Sequence[Ranking], *, is_weighted: bool) -> list[list[Any]]:
    # A weight is 2 * reliability - 1.
    reliabilities = [(1.0 + min(ranking["weight"], 1.0)) / 2 for ranking in rankings] if is_weighted else None
    labels = soft_labels([ranking["ranks"] for ranking in rankings], reliabilities=reliabilities)
    return [[i, j, round(p, DIGITS)] for (i, j), p in labels.items()]


def _strengths(ranks: Sequence[int | None], found: Sequence[Edge]) -> list[float | None] | None:
    """How much better each group is than the next, from the margins of pairs between them; None if nobody said."""
    if not any(edge.margin for edge in found):
        return None
    steps: dict[int, list[float]] = {}
    for edge in found:
        a, b = ranks[edge.i], ranks[edge.j]
        if a is not None and b is not None and abs(a - b) == 1:
            steps.setdefault(min(a, b), []).append(edge.margin if a < b else -edge.margin)
    means = {rank: round(max(sum(given) / len(given), 0.0), DIGITS) for rank, given in steps.items()}
    return [None if rank is None else means.get(rank) or None for rank in ranks]
