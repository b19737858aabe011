"""Votes and rankings of people whose reliability is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from annotate.quality.reliability import Votes


def crowd(comparisons: int, k: int, judges: int, etas: Sequence[float], spread: float, nu: float, seed: int) -> Votes:
    """Votes drawn from the very model of annotate.quality.reliability."""
    random = np.random.default_rng(seed)
    first, second = np.triu_indices(k, 1)
    scores = random.normal(size=(comparisons, k)) * spread / np.sqrt(2)
    margins = scores[:, first] - scores[:, second]
    pairs = len(first)
    pair, who, label = [], [], []
    for c in range(comparisons):
        for annotator in random.choice(len(etas), judges, replace=False):
            d = np.where(random.random(pairs) < etas[annotator], margins[c], -margins[c])
            up, down = np.exp(d / 2), np.exp(-d / 2)
            drawn = random.random(pairs) * (up + down + nu)
            pair.append(c * pairs + np.arange(pairs))
            who.append(np.full(pairs, annotator))
            label.append(np.where(drawn < up, 1, np.where(drawn < up + down, -1, 0)))
    return Votes(
        np.concatenate(pair),
        np.concatenate(who),
        np.concatenate(label).astype(np.int8),
        np.repeat(np.arange(comparisons), pairs),
        len(etas),
    )


def rankings(
    comparisons: int, k: int, judges: int, people: dict[str, float], seed: int = 0
) -> Iterator[tuple[int, str, dict[Any, int]]]:
    """(comparison, annotator, {response: rank}) of people {name: how much of the truth is in what they see}: 1 sees it
    nearly as it is, 0 sees noise, -1 sees it upside down."""
    random = np.random.default_rng(seed)
    names = list(people)
    for c in range(comparisons):
        truth = random.normal(size=k) * 2
        for n in random.choice(len(names), judges, replace=False):
            seen = people[names[n]] * truth + 0.4 * random.normal(size=k)
            ranks = np.empty(k, dtype=int)
            ranks[np.argsort(-seen)] = np.arange(1, k + 1)
            yield c, names[n], {f"{c}-{i}": int(rank) for i, rank in enumerate(ranks)}
