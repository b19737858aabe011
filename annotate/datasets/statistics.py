"""What a dataset card says in numbers, gathered while the dataset is written. Pure.

Of each comparison a few integers are kept, so a million comparisons take some megabytes. Intervals are 95 % and by
comparison: its pairs are not independent evidence (annotate.quality.bootstrap).
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from annotate.datasets.choosing import FoundPair
from annotate.datasets.records import Ranking, Record
from annotate.quality.agreement import pair_counts
from annotate.quality.bootstrap import estimate, ratio, wilson

DIGITS = 4
LISTED = 20  # languages, tags and generators, the most frequent
SPLITS = ("train", "test")
SHARES = 10  # bins of preference from one half to 1


@dataclass
class Tally:
    """Of one dimension."""

    comparisons: Counter[str] = field(default_factory=Counter)
    judgements: int = 0
    pairs: Counter[str] = field(default_factory=Counter)
    ties: int = 0
    edits: int = 0
    agreeing: array[int] = field(default_factory=lambda: array("q"))
    ordered: array[int] = field(default_factory=lambda: array("q"))
    longer: array[int] = field(default_factory=lambda: array("q"))
    differing: array[int] = field(default_factory=lambda: array("q"))
    best_at: Counter[int] = field(default_factory=Counter)  # in 1 / 5040, so that shares of ties add up exactly
    shown_at: Counter[int] = field(default_factory=Counter)
    strengths: Counter[int] = field(default_factory=Counter)
    margins: Counter[float] = field(default_factory=Counter)
    preferences: Counter[int] = field(default_factory=Counter)
    chosen_lengths: Counter[int] = field(default_factory=Counter)
    rejected_lengths: Counter[int] = field(default_factory=Counter)

    def add_rankings(self, rankings: Sequence[Ranking], split: str) -> None:
        judged = [ranking for ranking in rankings if not ranking.get("edit")]
        self.comparisons[split] += 1
        self.judgements += len(judged)
        self.edits += len(rankings) - len(judged)
        if len(judged) > 1:
            agreeing, ordered = pair_counts([ranking["ranks"] for ranking in judged])
            if ordered:
                self.agreeing.append(agreeing)
                self.ordered.append(ordered)
        for ranking in judged:
            self._add_place(ranking)
            for strength in ranking["strengths"] or ():
                if strength:
                    self.strengths[int(strength)] += 1

    def _add_place(self, ranking: Ranking) -> None:
        places = ranking.get("places")
        if not places or 0 in places:
            return
        best = [place for place, rank in zip(places, ranking["ranks"], strict=True) if rank == 1]
        if best:
            for place in best:
                self.best_at[place] += 5040 // len(best)
            self.shown_at.update(places)

    def add_pairs(self, pairs: Sequence[FoundPair], lengths: Sequence[int], split: str) -> None:
        """The pairs that are written of one comparison; lengths: of its responses, in characters."""
        self.pairs[split] += len(pairs)
        longer = differing = 0
        for chosen, rejected, edge in pairs:
            self.margins[round(abs(edge.margin) * 2) / 2] += 1
            share = max(edge.p, 1.0 - edge.p)
            self.preferences[min(int((share - 0.5) * 2 * SHARES + 1e-9), SHARES - 1)] += 1
            if edge.p == 0.5:
                continue
            self.chosen_lengths[_size(lengths[chosen])] += 1
            self.rejected_lengths[_size(lengths[rejected])] += 1
            if lengths[chosen] != lengths[rejected]:
                differing += 1
                longer += lengths[chosen] > lengths[rejected]
        if differing:
            self.longer.append(longer)
            self.differing.append(differing)

    def json(self) -> dict[str, Any]:
        agreement, longer = _ratio(self.agreeing, self.ordered), _ratio(self.longer, self.differing)
        return {
            "comparisons": {split: self.comparisons[split] for split in SPLITS},
            "judgements": self.judgements,
            "pairs": {split: self.pairs[split] for split in SPLITS},
            "ties": self.ties,
            "edits": self.edits,
            "longer_chosen": longer["value"],
            "longer_chosen_interval": longer["interval"],
            "agreement": agreement["value"],
            "agreement_interval": agreement["interval"],
            "agreement_pairs": sum(self.ordered),
            "places": self._places(),
            "strengths": {str(key): self.strengths[key] for key in sorted(self.strengths)},
            "margins": {f"{key:g}": self.margins[key] for key in sorted(self.margins)},
            "preferences": [self.preferences[n] for n in range(SHARES)],
            "lengths": {
                "chosen": _sizes(self.chosen_lengths),
                "rejected": _sizes(self.rejected_lengths),
            },
        }

    def _places(self) -> list[dict[str, Any]]:
        """How often what was shown at each place was ranked best, of how often a place was shown at all."""
        found = []
        for place in sorted(self.shown_at):
            shown, best = self.shown_at[place], self.best_at[place] / 5040
            low, high = wilson(best, shown)
            found.append(
                {"place": place, "shown": shown, "best": _round(best / shown), "interval": [_round(low), _round(high)]}
            )
        return found


@dataclass
class Totals:
    """Of the whole version: prompts by side, language and tag, whose responses and judgements are in it."""

    prompts: dict[str, set[int]] = field(default_factory=lambda: {split: set() for split in SPLITS})
    strata: dict[str, Counter[str]] = field(default_factory=dict)
    languages: Counter[str] = field(default_factory=Counter)
    tags: Counter[str] = field(default_factory=Counter)
    generators: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    extra: int = 0
    decided: int = 0

    def add(self, record: Record, split: str, place: int, stratum: str) -> None:
        """place: the prompt's hash, by which it is known again."""
        if place not in self.prompts[split]:
            self.prompts[split].add(place)
            self.languages[record.language] += 1
            self.tags.update(record.tags)
            self.strata.setdefault(stratum, Counter())[split] += 1
        self.generators.update(response["generator"] for response in record.responses)
        self.sources.update(record.sources)
        self.extra += record.extra
        self.decided += record.is_decided

    def json(self) -> dict[str, Any]:
        return {
            "prompts": {split: len(seen) for split, seen in self.prompts.items()},
            "sources": dict(sorted(self.sources.items())),
            "extra": self.extra,
            "decided": self.decided,
            "languages": _most(self.languages),
            "tags": _most(self.tags),
            "generators": _most(self.generators),
        }


def _ratio(of: array[int], every: array[int]) -> dict[str, Any]:
    found = estimate(np.stack([np.array(of), np.array(every)], axis=1), ratio, n=len(every)) if len(every) else None
    if found is None:
        return {"value": None, "interval": None}
    bounds = None if found.low is None or found.high is None else [_round(found.low), _round(found.high)]
    return {"value": found.value, "interval": bounds}


def _round(value: float) -> float:
    return round(value, DIGITS)


def _size(characters: int) -> int:
    """Bins of powers of two: 0 is empty, n is from 2^(n-1) to below 2^n characters."""
    return characters.bit_length()


def _sizes(found: Counter[int]) -> dict[str, int]:
    """{least characters of the bin: how many}"""
    bins: Iterable[int] = range(min(found), max(found) + 1) if found else ()
    return {str(0 if n == 0 else 2 ** (n - 1)): found[n] for n in bins}


def _most(found: Counter[str]) -> dict[str, int]:
    """The most frequent, equal ones by name; the rest together under "…"."""
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    most = dict(ordered[:LISTED])
    rest = sum(count for _, count in ordered[LISTED:])
    return most | ({"…": rest} if rest else {})
