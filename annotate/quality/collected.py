"""A project's judgements, streamed in and kept as arrays: a few dozen bytes each, whatever the texts weigh. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
from numpy.typing import NDArray

from annotate.quality.judged import Ints, Judged

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class JudgementRecord:
    """One judgement. rankings, strengths: {dimension: list aligned with the comparison's responses}, 0 not placed or
    unsaid. places: where each response was shown, 1 first, 0 not known; empty if nothing is known. seconds: active time
    or None."""

    annotator: int
    day: date
    source: str
    rankings: dict[str, list[int]]
    strengths: dict[str, list[int]] = field(default_factory=dict)
    places: Sequence[int] = ()
    seconds: float | None = None
    all_bad: bool = False


@dataclass(frozen=True, slots=True)
class ComparisonRecord:
    """One comparison. prompt: its id; lengths: characters of each response; words: of prompt and responses together."""

    id: int
    prompt: int
    tags: Sequence[str]
    lengths: Sequence[int]
    words: float
    judgements: Sequence[JudgementRecord]


class Collected:
    """The judgements of one kind of annotators. Feed it with `add`, then `close` it and read the arrays.

    By judgement (J,): comparison and annotator (numbers into `comparisons` and `annotators`), seconds (nan unknown),
    words, all_bad. By comparison (C,): prompt, week (ordinal of the Monday of its last judgement), tags.
    """

    def __init__(self) -> None:
        self.comparisons: list[int] = []
        self.annotators: dict[int, int] = {}
        self.tags: list[Sequence[str]] = []
        self._prompts, self._weeks = array("q"), array("q")
        self._comparison, self._annotator = array("q"), array("q")
        self._seconds, self._words, self._all_bad = array("d"), array("d"), array("b")
        self._sizes, self._lengths = array("q"), array("q")
        self._places = array("h")
        self._ranks: dict[str, array[int]] = {}
        self._strengths: dict[str, array[int]] = {}

    def add(self, record: ComparisonRecord, judgements: Sequence[JudgementRecord], dimensions: Sequence[str]) -> None:
        """Take some of a comparison's judgements in, on the dimensions named."""
        size = len(record.lengths)
        nothing = [0] * size
        self.comparisons.append(record.id)
        self.tags.append(record.tags)
        self._prompts.append(record.prompt)
        last = max(judgement.day for judgement in judgements)
        self._weeks.append(last.toordinal() - last.weekday())
        for judgement in judgements:
            self._comparison.append(len(self.comparisons) - 1)
            self._annotator.append(self.annotators.setdefault(judgement.annotator, len(self.annotators)))
            self._seconds.append(float("nan") if judgement.seconds is None else judgement.seconds)
            self._words.append(record.words)
            self._all_bad.append(judgement.all_bad)
            self._sizes.append(size)
            self._lengths.extend(record.lengths)
            self._places.extend(judgement.places or nothing)
            for dimension in dimensions:
                self._ranks.setdefault(dimension, array("h")).extend(judgement.rankings.get(dimension, nothing))
                self._strengths.setdefault(dimension, array("h")).extend(judgement.strengths.get(dimension, nothing))

    def close(self) -> None:
        """Make the arrays."""
        self.comparison, self.annotator = np.array(self._comparison), np.array(self._annotator)
        self.seconds, self.words = np.array(self._seconds), np.array(self._words)
        self.all_bad = np.array(self._all_bad, dtype=bool)
        self.prompt, self.week = np.array(self._prompts), np.array(self._weeks)
        sizes = np.array(self._sizes)
        self._mask = np.arange(int(sizes.max(initial=0))) < sizes[:, None]
        self.lengths, self.places = self._square(self._lengths), self._square(self._places)
        self.ranks = {dimension: self._square(ranks) for dimension, ranks in self._ranks.items()}
        self.strengths = {dimension: self._square(given) for dimension, given in self._strengths.items()}

    @property
    def judgements(self) -> int:
        return len(self._comparison)

    def several(self) -> NDArray[np.bool_]:
        """(C,) whether a comparison has two judgements or more."""
        return np.bincount(self.comparison, minlength=len(self.comparisons)) >= 2

    def table(self, dimension: str, rows: NDArray[np.bool_] | None = None) -> tuple[Judged, Ints]:
        """(the judgements that rank on this dimension, their row numbers here), of the (J,) rows chosen, if any are."""
        used = (self.ranks[dimension] > 0).sum(axis=1) >= 2
        number = np.flatnonzero(used if rows is None else used & rows)
        chosen, comparison = np.unique(self.comparison[number], return_inverse=True)
        _, cluster = np.unique(self.prompt[chosen], return_inverse=True)
        table = Judged(
            comparison.astype(np.int64),
            self.annotator[number],
            self.ranks[dimension][number],
            [self.comparisons[c] for c in chosen.tolist()],
            list(self.annotators),
            cluster.astype(np.int64),
        )
        return table, number

    def _square(self, flat: array[int]) -> NDArray[np.int16]:
        square = np.zeros(self._mask.shape, dtype=np.int32 if flat.typecode == "q" else np.int16)
        square[self._mask] = np.array(flat)
        return square
