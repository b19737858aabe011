"""From rankings to edges and pairs. Pure: plain values in, plain values out.

A ranking is a list of ranks aligned with the responses of a comparison: 1 is best, equal numbers are ties, and None
is a response that its judge did not place. An absent response says nothing; it is never last.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Ranks = Sequence[int | None]


@dataclass(frozen=True, slots=True)
class Edge:
    """Everything that the judgements of one comparison say about responses i < j.

    weight: summed weight of the rankings that place both.
    p: weighted share of them that prefer i, a tie counting one half; 1 and 0 are unanimous.
    margin: weighted mean strength of the preference, signed towards i; 0 where no strength was given.
    """

    i: int
    j: int
    weight: float
    p: float
    margin: float = 0.0


def edges(rankings: Iterable[Mapping[str, Any]], n: int) -> list[Edge]:
    """Aggregate the rankings of one comparison of `n` responses into at most n(n-1)/2 edges, in order of (i, j).

    Each ranking is {"ranks": [...], "weight": 1.0, "strengths": [...] or None}. `strengths`, where given, is aligned
    with the responses: how much better the response is than the next group below it (0 unsaid, 1 slightly, 2 better,
    3 much better); the strength between two responses is the sum over the steps between them. `soft`, where given, is
    [[i, j, p], ...]: the probability p that i is preferred to j, in place of what the ranks say.
    """
    totals: dict[tuple[int, int], list[float]] = {}
    for ranking in rankings:
        ranks: Ranks = ranking["ranks"]
        if len(ranks) != n:
            raise ValueError(f"A ranking has {len(ranks)} ranks for {n} responses.")
        weight = float(ranking.get("weight", 1.0))
        if weight <= 0:
            continue
        steps = _steps(ranks, ranking.get("strengths"))
        soft = {(i, j): p for i, j, p in ranking.get("soft") or ()}
        for i in range(n):
            ri = ranks[i]
            if ri is None:
                continue
            for j in range(i + 1, n):
                rj = ranks[j]
                if rj is None:
                    continue
                total = totals.get((i, j))
                if total is None:
                    total = totals[i, j] = [0.0, 0.0, 0.0]
                total[0] += weight
                prefers = 1.0 if ri < rj else 0.0 if ri > rj else 0.5
                total[1] += weight * (soft.get((i, j), prefers) if soft else prefers)
                if steps:
                    lower, upper = min(ri, rj), max(ri, rj)
                    strength = sum(step for rank, step in steps.items() if lower <= rank < upper)
                    total[2] += weight * (strength if ri < rj else -strength)
    return [
        Edge(i, j, weight, wins / weight, margin / weight) for (i, j), (weight, wins, margin) in sorted(totals.items())
    ]


def _steps(ranks: Ranks, strengths: Sequence[float | None] | None) -> dict[int, float]:
    """Strength of the step below each rank."""
    if not strengths:
        return {}
    return {rank: float(s) for rank, s in zip(ranks, strengths, strict=True) if rank is not None and s}


def dense(ranks: Mapping[str, int]) -> dict[str, int]:
    """The same order with its gaps closed: ranks 1, 3, 3 become 1, 2, 2."""
    places = {rank: place for place, rank in enumerate(sorted(set(ranks.values())), start=1)}
    return {key: places[rank] for key, rank in ranks.items()}


def pairs(rankings: Iterable[Mapping[str, Any]], n: int, *, keep_ties: bool = False) -> list[tuple[int, int, Edge]]:
    """Edges as (chosen, rejected, edge), chosen being whom the judges prefer; even edges only if `keep_ties`."""
    result = []
    for edge in edges(rankings, n):
        if edge.p == 0.5 and not keep_ties:
            continue
        result.append((edge.i, edge.j, edge) if edge.p >= 0.5 else (edge.j, edge.i, edge))
    return result


# prompts and splits -------------------------------------------------------------------------------------------------


def canonical(messages: Sequence[Mapping[str, Any]]) -> str:
    """One spelling of a conversation: role and content only, keys in order, no escapes."""
    turns = [{"content": turn["content"], "role": turn["role"]} for turn in messages]
    return json.dumps(turns, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def content_hash(messages: Sequence[Mapping[str, Any]]) -> str:
    """sha256 of the canonical conversation, hexadecimal."""
    return hashlib.sha256(canonical(messages).encode("utf-8")).hexdigest()


def text_hash(text: str) -> str:
    """sha256 of a response: those that look the same are the same, whatever blanks surround them."""
    return hashlib.sha256(text.strip().encode("utf-8")).hexdigest()


def place_of(text: str, salt: str = "") -> int:
    """The place of a canonical conversation in the order that splits go by: 0 to 2^64 - 1, by a salted hash."""
    digest = hashlib.sha256((salt + "\n" + text).encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "big")


def split_of(messages: Sequence[Mapping[str, Any]], test_fraction: float, salt: str = "") -> str:
    """'train' or 'test', decided by the prompt alone, so that no prompt is ever in both.

    The same prompt falls on the same side in every project, version and machine that uses the same salt.
    """
    return "test" if place_of(canonical(messages), salt) < test_fraction * 2**64 else "train"
