"""What every format is read into and written from: one prompt with what is known of it. Pure.

| kind | holds |
|---|---|
| prompt | a conversation that waits for an answer |
| responses | responses, not judged |
| ranking | rankings of the responses, each one judge's on one dimension; ratings beside them where scores were given |
| pair | preferences between two responses at a time |
| unpaired | responses that are each called desirable or not |
| demonstration | one response that shows how it should be |

**Rankings are weak orders.** A judge whose preferences go round in a circle has none, so such data stay pairs: nothing
is invented to make them fit. **Scores become rankings** one dimension at a time: more points is better, equal points
tie, a response without a score is not placed. The scores themselves are kept as ratings.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from annotate.formats.conversations import Message

Kind = Literal["prompt", "responses", "ranking", "pair", "unpaired", "demonstration"]


@dataclass(frozen=True, slots=True)
class Response:
    """label: desirable or not, of unpaired data. is_edit: a person wrote it by correcting another response."""

    text: str
    id: str = ""
    generator: str = ""
    label: bool | None = None
    is_edit: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ranking:
    """ranks: aligned with the responses; 1 is best, equal is a tie, None was not placed.

    strengths: aligned too; how much better a response is than the next group below it. dimension "": whatever the
    importer chooses. annotator: as the file names them.
    """

    ranks: tuple[int | None, ...]
    dimension: str = ""
    annotator: str = ""
    weight: float = 1.0
    strengths: tuple[float | None, ...] | None = None
    rationale: str = ""


@dataclass(frozen=True, slots=True)
class Rating:
    """scores: aligned with the responses, more is better; None was not scored."""

    scores: tuple[float | None, ...]
    dimension: str = ""
    annotator: str = ""


@dataclass(frozen=True, slots=True)
class Pair:
    """chosen, rejected: positions among the responses. preference: weighted share that prefers chosen; 0.5 is a tie.

    margin: how much better chosen is, on the scale of strengths (1 slightly, 2 better, 3 much better), 0 unsaid.
    """

    chosen: int
    rejected: int
    dimension: str = ""
    annotator: str = ""
    preference: float = 1.0
    margin: float = 0.0
    weight: float = 1.0
    rationale: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """One prompt and what a file says of it. line: where it stands there (a line, record or row number).

    tags: of the prompt. own_tags: of what is said here only, where another record may have the same prompt.
    """

    kind: Kind
    line: int
    prompt: list[Message]
    responses: tuple[Response, ...] = ()
    rankings: tuple[Ranking, ...] = ()
    pairs: tuple[Pair, ...] = ()
    ratings: tuple[Rating, ...] = ()
    tags: tuple[str, ...] = ()
    own_tags: tuple[str, ...] = ()
    language: str = ""
    source: str = ""
    source_id: str = ""
    split: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def judgements(self) -> int:
        """How many judgements it holds, whatever their form."""
        return len(self.rankings) + len(self.pairs)


def comparisons(record: Record) -> Iterator[Record]:
    """A judged record as records whose judgements are all rankings: the form in which comparisons are stored.

    Pairs over more than two responses become one record for every two responses that were compared.
    """
    if record.rankings:
        yield replace(record, kind="ranking", pairs=())
    grouped: dict[tuple[int, int], list[Pair]] = {}
    for pair in record.pairs:
        grouped.setdefault((min(pair.chosen, pair.rejected), max(pair.chosen, pair.rejected)), []).append(pair)
    for (i, j), pairs in grouped.items():
        yield replace(
            record,
            kind="pair",
            responses=(record.responses[i], record.responses[j]),
            rankings=tuple(_ranking_of(pair, i) for pair in pairs),
            pairs=(),
            ratings=(),
        )


def _ranking_of(pair: Pair, first: int) -> Ranking:
    places = (
        (1, 1) if pair.preference == 0.5 else (1, 2) if (pair.chosen == first) == (pair.preference > 0.5) else (2, 1)
    )
    strength = abs(pair.margin)
    strengths = None
    if strength and places != (1, 1):
        strengths = (strength, None) if places == (1, 2) else (None, strength)
    return Ranking(places, pair.dimension, pair.annotator, pair.weight, strengths, pair.rationale)


# orders -------------------------------------------------------------------------------------------------------------


def ranks_of_scores(scores: Sequence[float | None]) -> tuple[int | None, ...]:
    """Dense ranks, the highest score first: (7, 9, None, 7) is (2, 1, None, 2). Scores must be finite."""
    given = [score for score in scores if score is not None]
    if not all(math.isfinite(score) for score in given):
        raise ValueError("A score is not a finite number.")
    place = {score: rank for rank, score in enumerate(sorted(set(given), reverse=True), 1)}
    return tuple(None if score is None else place[score] for score in scores)


def dense(ranks: Sequence[float | None]) -> tuple[int | None, ...]:
    """The same order with ranks 1, 2, 3, ...: (0, 4, None, 4) is (1, 2, None, 2)."""
    place = {rank: dense_rank for dense_rank, rank in enumerate(sorted({r for r in ranks if r is not None}), 1)}
    return tuple(None if rank is None else place[rank] for rank in ranks)


def weak_order(n: int, preferences: Mapping[tuple[int, int], int]) -> tuple[int, ...] | None:
    """Dense ranks of n responses that give exactly these preferences, or None if no weak order does.

    preferences: of every i < j, 1 if i is better, -1 if j is, 0 for a tie.
    """
    below = [0] * n
    for (i, j), better in preferences.items():
        if better:
            below[i if better > 0 else j] += 1
    ranks = [rank for rank in ranks_of_scores(below) if rank is not None]
    for i in range(n):
        for j in range(i + 1, n):
            if preferences.get((i, j)) != (ranks[i] < ranks[j]) - (ranks[i] > ranks[j]):
                return None
    return tuple(ranks)


def rated(ratings: Iterable[Rating]) -> tuple[Ranking, ...]:
    """The rankings that ratings imply; a rating of fewer than two responses implies none."""
    return tuple(
        Ranking(ranks_of_scores(rating.scores), rating.dimension, rating.annotator)
        for rating in ratings
        if sum(score is not None for score in rating.scores) >= 2
    )
