"""What of a comparison goes into a dataset version: which responses, which rankings, which pairs. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from annotate.datasets.config import DatasetConfig
from annotate.datasets.records import Ranking, Record, places_two
from annotate.pairs import Edge
from annotate.quality.agreement import pair_counts

FoundPair = tuple[int, int, Edge]  # chosen, rejected
SAME = 1e-9


# responses ------------------------------------------------------------------------------------------------------------


def record_chosen(record: Record, config: DatasetConfig) -> Record | None:
    """The record without the responses that flags and generators exclude; None if it is out altogether."""
    excluded = {response for flag, response in record.flags if flag in config.exclude_flags}
    if "" in excluded or (excluded and config.flagged == "comparison"):
        return None
    by_those = [not config.generators or _generator(record, each) in config.generators for each in record.responses]
    kept = [
        position
        for position, response in enumerate(record.responses)
        if response["id"] not in excluded and by_those[position]
    ]
    if len(kept) == len(record.responses):
        return record
    if len(kept) < 2:
        return None
    return replace(
        record,
        responses=[record.responses[position] for position in kept],
        rankings={
            dimension: [_kept_ranking(ranking, kept) for ranking in rankings]
            for dimension, rankings in record.rankings.items()
        },
    )


def _generator(record: Record, response: dict[str, Any]) -> str:
    """Who wrote a response; of an edited one, who wrote what it was made from."""
    origin = response.get("edited_from")
    if origin is None:
        return response["generator"]
    return next((each["generator"] for each in record.responses if each["id"] == origin), "")


def _kept_ranking(ranking: Ranking, kept: Sequence[int]) -> Ranking:
    ranks = [ranking["ranks"][position] for position in kept]
    dense = {rank: place for place, rank in enumerate(sorted({rank for rank in ranks if rank is not None}), 1)}
    made = {**ranking, "ranks": [None if rank is None else dense[rank] for rank in ranks], "places": None}
    if ranking.get("strengths"):
        steps = _kept_steps(ranking, sorted(dense))
        made["strengths"] = [None if rank is None else steps.get(rank) for rank in ranks]
    return made


def _kept_steps(ranking: Ranking, left: Sequence[int]) -> dict[int, float]:
    """The step below each rank that is left; where a group is gone, its step belongs to the group above it."""
    steps: dict[int, float] = {}
    given = zip(ranking["ranks"], ranking["strengths"], strict=True)
    for rank, strength in sorted({rank: strength for rank, strength in given if rank is not None and strength}.items()):
        above = [each for each in left if each <= rank]
        if above:
            steps[above[-1]] = steps.get(above[-1], 0) + strength
    return steps


# rankings -------------------------------------------------------------------------------------------------------------


def rankings_chosen(record: Record, dimension: str, config: DatasetConfig) -> list[Ranking]:
    """The rankings of a dimension that count, those of edits included; none where there are too few, or they agree too
    little."""
    found = [ranking for ranking in record.rankings.get(dimension, ()) if places_two(ranking["ranks"])]
    judged = [ranking for ranking in found if not ranking.get("edit")]
    if record.is_decided:
        return found if judged else []
    if len(judged) < config.minimum_judgements:
        return []
    if config.minimum_agreement:
        agreeing, ordered = pair_counts([ranking["ranks"] for ranking in judged])
        if ordered and agreeing < config.minimum_agreement * ordered:
            return []
    return found


# pairs ----------------------------------------------------------------------------------------------------------------


def pairs_chosen(
    found: Sequence[FoundPair], responses: Sequence[dict[str, Any]], config: DatasetConfig
) -> list[FoundPair]:
    """The pairs that the policy, ties and the least strength let through, in their order.

    A pair of an edited response and its original says something of its own, and is always kept.
    """
    edits = {position for position, response in enumerate(responses) if response.get("is_edit")}
    allowed = None if config.pair_policy == "all" else _allowed(found, edits, config.pair_policy)
    kept = []
    for pair in found:
        chosen, rejected, edge = pair
        if edits and (chosen in edits or rejected in edits):
            kept.append(pair)
            continue
        if edge.p == 0.5:
            if not config.keep_ties:
                continue
        elif config.minimum_strength and abs(edge.margin) < config.minimum_strength:
            continue
        if allowed is None or (chosen, rejected) in allowed:
            kept.append(pair)
    return kept


def _allowed(found: Sequence[FoundPair], edits: set[int], policy: str) -> set[tuple[int, int]]:
    """Pairs of neighbours, or with a best one, in the order by mean share of preferences won."""
    won: dict[int, list[float]] = {}
    for chosen, rejected, edge in found:
        if chosen not in edits and rejected not in edits:
            share = max(edge.p, 1.0 - edge.p)
            won.setdefault(chosen, []).append(share)
            won.setdefault(rejected, []).append(1.0 - share)
    groups: list[tuple[float, set[int]]] = []
    for stand, response in sorted(((-sum(all_) / len(all_), response) for response, all_ in won.items())):
        if groups and stand - groups[-1][0] < SAME:
            groups[-1][1].add(response)
        else:
            groups.append((stand, {response}))
    place = {response: number for number, (_, group) in enumerate(groups) for response in group}
    if policy == "adjacent":
        return {(a, b) for a in place for b in place if a != b and abs(place[a] - place[b]) <= 1}
    return {(a, b) for a in place for b in place if a != b and 0 in (place[a], place[b])}


def capped(keys: Sequence[str], most: int, salt: str) -> set[int]:
    """Positions of the `most` keys whose salted hashes are the smallest: the same ones on every machine."""
    if len(keys) <= most:
        return set(range(len(keys)))
    hashed = sorted((hashlib.sha256(f"{salt}\n{key}".encode()).digest(), n) for n, key in enumerate(keys))
    return {n for _, n in hashed[:most]}
