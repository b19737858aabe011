"""How well a judgement matches a known answer. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations

Ranks = Mapping[str, int]
Rankings = Mapping[str, Ranks]


def ordered_pairs(ranks: Ranks) -> Iterator[tuple[str, str]]:
    """(better, worse) of every two responses that `ranks` orders strictly; 1 is best."""
    for one, other in combinations(ranks, 2):
        if ranks[one] != ranks[other]:
            yield (one, other) if ranks[one] < ranks[other] else (other, one)


def gold_score(rankings: Rankings, reference: Rankings) -> float | None:
    """Share of the reference's strictly ordered pairs that the judgement orders the same, 0 to 1.

    Both are {dimension: {response: rank}}. Pairs of all dimensions are pooled. A tie is not the same, nor is a response
    that was not placed. None if the reference orders no pair.
    """
    same = pairs = 0
    for dimension, known in reference.items():
        given = rankings.get(dimension, {})
        for better, worse in ordered_pairs(known):
            pairs += 1
            same += better in given and worse in given and given[better] < given[worse]
    return same / pairs if pairs else None


def reference_read(
    rankings: object, *, dimensions: Mapping[str, str], responses: Iterable[object]
) -> dict[str, dict[str, int]]:
    """A known answer with the gaps between its ranks closed, or ValueError with a sentence that says what is wrong.

    dimensions: {key: label}. responses: ids of the comparison's responses. A dimension may be left out, and responses
    may tie or be left out, but some pair has to be ordered, or there would be nothing to compare with.
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
        places = {rank: place for place, rank in enumerate(sorted(set(ranks.values())), start=1)}
        if ranks:
            result[key] = {str(response): places[rank] for response, rank in ranks.items()}
    if not any(True for ranks in result.values() for _ in ordered_pairs(ranks)):
        raise ValueError("The known answer must put at least one response before another.")
    return result
