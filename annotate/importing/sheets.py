"""What is added to a comparison's judgements by what a file says of it. Pure.

A judgement that is there is never changed: a judge who says more, or otherwise, gets a new one that supersedes it. What
was said already, by whoever it is said to be, adds nothing, so a file imported twice adds nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Ranks = dict[str, int]


@dataclass(slots=True)
class Sheet:
    """One judgement. saved: it is in the database, so it may be superseded, but not changed."""

    judge: str
    rankings: dict[str, Ranks]
    strengths: dict[str, dict[str, float]] = field(default_factory=dict)
    ratings: dict[str, dict[str, float]] = field(default_factory=dict)
    rationale: str = ""
    id: int | None = None
    saved: bool = False
    is_current: bool = True
    supersedes: Sheet | None = None


class Judgements:
    """All judgements of one comparison. name_of: the account of the file's judge, or of its nth nameless one."""

    __slots__ = ("changed", "name_of", "sheets")

    def __init__(self, name_of: Callable[[str, int], str], sheets: list[Sheet] | None = None) -> None:
        self.name_of = name_of
        self.sheets: list[Sheet] = sheets or []
        self.changed = False

    def add(
        self,
        annotator: str,
        dimension: str,
        ranks: Ranks,
        *,
        time: int = 1,
        strengths: Mapping[str, float] | None = None,
        ratings: Mapping[str, float] | None = None,
        rationale: str = "",
    ) -> bool:
        """Take up one ranking; whether it said anything new. time: of nameless rankings of one record that say the
        same, which one this is, from 1."""
        if annotator:
            judge = self.name_of(annotator, 1)
            own = [sheet for sheet in self.sheets if sheet.judge == judge]
            if any(sheet.rankings.get(dimension) == ranks for sheet in own):
                return False
        else:
            there = sum(sheet.rankings.get(dimension) == ranks and sheet.is_current for sheet in self.sheets)
            if there >= time:
                return False
            judge, own = self._place(dimension)
        current = next((sheet for sheet in own if sheet.is_current), None)
        given: dict[str, Any] = {
            "rankings": {dimension: ranks},
            "strengths": {dimension: dict(strengths)} if strengths else {},
            "ratings": {dimension: dict(ratings)} if ratings else {},
        }
        if current and not current.saved and dimension not in current.rankings:
            for name, more in given.items():
                getattr(current, name).update(more)
            current.rationale = "\n".join(dict.fromkeys(filter(None, (current.rationale, rationale))))
        elif current:
            current.is_current = False
            merged = {name: getattr(current, name) | more for name, more in given.items()}
            self.sheets.append(Sheet(judge, **merged, rationale=rationale or current.rationale, supersedes=current))
        else:
            self.sheets.append(Sheet(judge, **given, rationale=rationale))
        self.changed = True
        return True

    def _place(self, dimension: str) -> tuple[str, list[Sheet]]:
        """The first nameless judge who has said nothing of a dimension."""
        place = 1
        while True:
            judge = self.name_of("", place)
            own = [sheet for sheet in self.sheets if sheet.judge == judge]
            if not any(dimension in sheet.rankings for sheet in own):
                return judge, own
            place += 1

    @property
    def current(self) -> list[Sheet]:
        return [sheet for sheet in self.sheets if sheet.is_current]
