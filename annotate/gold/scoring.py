"""How well a judgement matches a known answer. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations

from annotate.pairs import dense

Ranks = Mapping[str, int]
Rankings = Mapping[str, Ranks]


def ordered_pairs(ranks: Ranks) -> Iterator[tuple[str, str]]:
    """(better, worse) of every two responses that `ranks` orders strictly; 1 is best."""
    for one, other in combinations(ranks, 2):
        if ranks[one] != ranks[other]:
            yield (one, other) if ranks[one] < ranks[other] else (other, one)


def best_first(ranks: Ranks, chosen: str | None = None) -> dict[str, int]:
    """What a ranking says to somebody who chooses the best: the best ones rank 1, all others 2.

    One response can be chosen, so of several best ones `chosen` counts, if it is among them, else the first; the others
    are left out.
    """
    top = min(ranks.values(), default=0)
    best = [response for response, rank in ranks.items() if rank == top]
    kept = chosen if chosen in best else next(iter(best), None)
    return {response: 1 if rank == top else 2 for response, rank in ranks.items() if rank > top or response == kept}


def gold_score(rankings: Rankings, reference: Rankings, *, only_best: bool = False) -> float | None:
    """Share of the reference's strictly ordered pairs that the judgement orders the same, 0 to 1.

    Both are {dimension: {response: rank}}. Pairs of all dimensions are pooled. A tie is not the same, nor is a response
    that was not placed. None if the reference orders no pair. only_best: the task was to choose the best, so only the
    pairs of the best with the others are asked.
    """
    same = pairs = 0
    for dimension, known in reference.items():
        given = rankings.get(dimension, {})
        if only_best:
            first = next((response for response, rank in given.items() if rank == 1), None)
            known = best_first(known, first)
        for better, worse in ordered_pairs(known):
            pairs += 1
            same += better in given and worse in given and given[better] < given[worse]
    return same / pairs if pairs else None


def reference_read(
    rankings: object, *, dimensions: Mapping[str, str], responses: Iterable[object], only_best: bool = False
) -> dict[str, dict[str, int]]:
    """A known answer with the gaps between its ranks closed, or ValueError with a sentence that says what is wrong.

    dimensions: {key: label}. responses: ids of the comparison's responses. A dimension may be left out, and responses
    may tie or be left out, but some pair has to be ordered, or there would be nothing to compare with. only_best: the
    task is to choose the best, so the best ones rank 1 and all others 2.
    """
    if not isinstance(rankings, Mapping):
        raise ValueError("The known answer must be an object {dimension: {response id: rank}}.")
    known = {str(response) for response in responses}
    result: dict[str, dict[str, int]] = {}
    for key, ranks in rankings.items():
        if key not in dimensions:
            raise ValueError(f"“{key}” is not a dimension of this project.")
        if not isinstance(ranks, Mapping):
            raise ValueError(f"{dimensions[key]}: this must be an object {{response id: rank}}.")
        if strange := sorted(str(response) for response in ranks if str(response) not in known):
            raise ValueError(f"{dimensions[key]}: response {strange[0]} is not in this comparison.")
        for rank in ranks.values():
            if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
                raise ValueError(f"{dimensions[key]}: {rank!r} is not a rank; 1 is best.")
        if ranks:
            placed = dense({str(response): rank for response, rank in ranks.items()})
            result[key] = {response: min(rank, 2) for response, rank in placed.items()} if only_best else placed
    if not any(True for ranks in result.values() for _ in ordered_pairs(ranks)):
        raise ValueError("The known answer must put at least one response before another.")
    return result
