"""Many judgements as arrays, so that statistics over a hundred thousand of them take seconds. Pure.

Everything is keyed by response, never by the place it was shown in: column i of a comparison is its i-th response in
order of id, whoever judged it and however it was shown.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Row = tuple[Hashable, Hashable, Mapping[Any, int]]

FIRST, TIE, SECOND = 0, 1, 2  # outcomes of a pair (i, j), i < j, and the columns of `unit_counts`


@dataclass(frozen=True, slots=True)
class Judged:
    """J judgements of C comparisons of at most K responses on one dimension.

    comparison, annotator: (J,) numbers from 0 on, the rows sorted by comparison. ranks: (J, K), 1 is best, equal is a
    tie, 0 is not placed. keys, annotators: what the numbers stand for. cluster: (C,) which comparisons are one piece of
    evidence for the bootstrap, such as those of one prompt.
    """

    comparison: Ints
    annotator: Ints
    ranks: NDArray[np.int16]
    keys: Sequence[Hashable]
    annotators: Sequence[Hashable]
    cluster: Ints

    @property
    def comparisons(self) -> int:
        return len(self.keys)

    def pairs(self) -> list[tuple[int, int]]:
        """Column pairs (i, j), i < j, in the order of `unit_counts`."""
        k = self.ranks.shape[1]
        return [(i, j) for i in range(k) for j in range(i + 1, k)]

    def signs(self, i: int, j: int) -> NDArray[np.int8]:
        """(J,) what each judgement says of columns i and j: 1 i is better, -1 j is better, 0 a tie or not both
        placed."""
        a, b = self.ranks[:, i], self.ranks[:, j]
        return np.where(self.both(i, j), np.sign(b - a), 0).astype(np.int8)

    def both(self, i: int, j: int) -> NDArray[np.bool_]:
        """(J,) whether the judgement places both."""
        return (self.ranks[:, i] > 0) & (self.ranks[:, j] > 0)

    def unit_counts(self) -> Ints:
        """(C, P, 3) how many judgements say i is better, tie, j is better, of each pair of each comparison."""
        pairs = self.pairs()
        counts = np.zeros((self.comparisons, len(pairs), 3), dtype=np.int64)
        for p, (i, j) in enumerate(pairs):
            both = self.both(i, j)
            code = self.comparison[both] * 3 + (1 - self.signs(i, j)[both])
            counts[:, p, :] = np.bincount(code, minlength=3 * self.comparisons).reshape(-1, 3)
        return counts

    def couples(self, limit: int | None = None, seed: int = 0) -> tuple[Ints, Ints]:
        """Row numbers (first, second) of every two judgements of one comparison; a random `limit` of them if more."""
        firsts, seconds = [], []
        offset = 1
        while offset < len(self.comparison):
            same = np.flatnonzero(self.comparison[offset:] == self.comparison[:-offset])
            if not len(same):
                break
            firsts.append(same)
            seconds.append(same + offset)
            offset += 1
        if not firsts:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        first, second = np.concatenate(firsts), np.concatenate(seconds)
        if limit is not None and len(first) > limit:
            chosen = np.sort(np.random.default_rng(seed).choice(len(first), limit, replace=False))
            first, second = first[chosen], second[chosen]
        return first, second

    def of_comparisons(self, chosen: NDArray[np.bool_]) -> Judged:
        """Only the comparisons that the (C,) mask chooses; annotators keep their numbers."""
        rows = chosen[self.comparison]
        renumbered = np.cumsum(chosen) - 1
        keys = [self.keys[c] for c in np.flatnonzero(chosen).tolist()]
        return Judged(
            renumbered[self.comparison[rows]], self.annotator[rows], self.ranks[rows], keys, self.annotators,
            self.cluster[chosen],
        )  # fmt: skip


def judged(rows: Iterable[Row], *, clusters: Mapping[Hashable, Hashable] | None = None) -> Judged:
    """Arrays from (comparison, annotator, {response: rank}) in any order.

    clusters: {comparison: cluster}; without, each comparison is one. Responses that no judgement places have no column.
    """
    comparisons: dict[Hashable, dict[Any, int]] = {}
    annotators: dict[Hashable, int] = {}
    taken: list[tuple[Hashable, int, Mapping[Any, int]]] = []
    for comparison, annotator, ranks in rows:
        places = comparisons.setdefault(comparison, {})
        for response in ranks:
            places.setdefault(response, 0)
        taken.append((comparison, annotators.setdefault(annotator, len(annotators)), ranks))
    for places in comparisons.values():
        for column, response in enumerate(sorted(places)):
            places[response] = column
    keys = list(comparisons)
    number = {key: n for n, key in enumerate(keys)}
    width = max((len(places) for places in comparisons.values()), default=0)
    matrix = np.zeros((len(taken), width), dtype=np.int16)
    for row, (comparison, _, ranks) in enumerate(taken):
        places = comparisons[comparison]
        for response, rank in ranks.items():
            matrix[row, places[response]] = rank
    where = np.array([number[comparison] for comparison, _, _ in taken], dtype=np.int64)
    who = np.array([annotator for _, annotator, _ in taken], dtype=np.int64)
    order = np.argsort(where, kind="stable")
    return Judged(
        where[order], who[order], matrix[order], keys, list(annotators), _numbered(keys, clusters)
    )  # fmt: skip


def _numbered(keys: Sequence[Hashable], clusters: Mapping[Hashable, Hashable] | None) -> Ints:
    if clusters is None:
        return np.arange(len(keys))
    names: dict[Hashable, int] = {}
    return np.array([names.setdefault(clusters[key], len(names)) for key in keys], dtype=np.int64)
