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
from annotate.quality.consensus import consensus
from annotate.quality.reliability import PRIOR, soft_label

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
        "ranks": majority(found, counted, n) if config.aggregation == "majority" else _consensus(counted),
        "weight": round(sum(ranking["weight"] for ranking in counted), DIGITS),
        "annotator": config.aggregation,
    }
    made["strengths"] = _strengths(made["ranks"], found)
    if config.aggregation == "consensus":
        made["soft"] = _soft(counted, n, is_weighted=config.weights == "reliability")
    return [made, *edits]


def majority(found: Sequence[Edge], rankings: Sequence[Ranking], n: int) -> list[int | None]:
    """Dense ranks by how many responses a weighted majority puts below each, an even pair counting half (Copeland).

    The same as annotate.quality.consensus with method "majority", from edges that are there already.
    """
    won = [0.0] * n
    for edge in found:
        won[edge.i] += 1.0 if edge.p > 0.5 else 0.5 if edge.p == 0.5 else 0.0
        won[edge.j] += 1.0 if edge.p < 0.5 else 0.5 if edge.p == 0.5 else 0.0
    placed = [any(ranking["ranks"][i] is not None for ranking in rankings) for i in range(n)]
    place = {score: rank for rank, score in enumerate(sorted({won[i] for i in range(n) if placed[i]}, reverse=True), 1)}
    return [place[won[i]] if placed[i] else None for i in range(n)]


def _consensus(rankings: Sequence[Ranking]) -> list[int | None]:
    given = sorted((tuple(rank or 0 for rank in ranking["ranks"]), ranking["weight"]) for ranking in rankings)
    return list(_consensus_of(tuple(given)))


@lru_cache(maxsize=20_000)  # a few people's rankings of a few responses repeat
def _consensus_of(given: tuple[tuple[tuple[int, ...], float], ...]) -> tuple[int | None, ...]:
    rankings = [[rank or None for rank in ranks] for ranks, _ in given]
    return tuple(consensus(rankings, weights=[weight for _, weight in given]).ranks)


def _soft(rankings: Sequence[Ranking], n: int, *, is_weighted: bool) -> list[list[Any]]:
    soft: list[list[Any]] = []
    for i in range(n):
        for j in range(i + 1, n):
            votes = []
            for ranking in rankings:
                a, b = ranking["ranks"][i], ranking["ranks"][j]
                if a is not None and b is not None:
                    # A weight is 2 * reliability - 1.
                    reliability = (1.0 + min(ranking["weight"], 1.0)) / 2 if is_weighted else PRIOR.value
                    votes.append(((a < b) - (a > b), reliability))
            if votes:
                soft.append([i, j, _soft_of(tuple(sorted(votes)))])
    return soft


@lru_cache(maxsize=100_000)
def _soft_of(votes: tuple[tuple[int, float], ...]) -> float:
    return round(soft_label(list(votes)), DIGITS)


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
