"""Which prompts are held out. Pure.

A prompt's place in [0, 1) is the salted hash of its text; those below the held-out share are held out, so a prompt is
on the same side in every version with the same salt and share. *Stratified*, the line is drawn in each group of prompts
where the share is met: it then depends on which prompts there are, but still never puts a prompt on both sides.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from annotate.datasets.config import DatasetConfig
from annotate.datasets.records import Record
from annotate.pairs import canonical, place_of

WHOLE = 2**64


def stratum_of(kind: str, *, tags: Sequence[str], language: str, source: str) -> str:
    """The group of a prompt: all its tags together, its language, or its source; "" if it has none."""
    return {"nothing": "", "tags": ", ".join(sorted(tags)), "language": language, "source": source}[kind]


def thresholds(
    prompts: Iterable[tuple[Sequence[Mapping[str, Any]], str]], fraction: float, salt: str = ""
) -> dict[str, int]:
    """{stratum: place below which its prompts are held out}, from (conversation, stratum) of every prompt once.

    Of n prompts floor(fraction * n) are held out, or one more where a hash of the group says so, so that many small
    groups together hold out their share too.
    """
    places: dict[str, array[int]] = {}
    for messages, stratum in prompts:
        places.setdefault(stratum, array("Q")).append(place_of(canonical(messages), salt))
    found = {}
    for stratum, given in sorted(places.items()):
        ordered = sorted(given)
        wanted = fraction * len(ordered)
        lot = place_of(f"stratum\n{stratum}", salt) / WHOLE
        number = int(wanted) + (lot < wanted - int(wanted))
        found[stratum] = ordered[number] if number < len(ordered) else WHOLE
        if number == 0:
            found[stratum] = 0
    return found


class Splitter:
    """Tells the side of prompts. strata: of `thresholds`, wanted where the configuration stratifies."""

    def __init__(self, config: DatasetConfig, strata: Mapping[str, int] | None = None) -> None:
        if config.stratify_by != "nothing" and strata is None:
            raise ValueError("To stratify, the thresholds of the strata must be known.")
        self.config = config
        self.strata = strata if config.stratify_by != "nothing" else None
        self.line = config.test_fraction * WHOLE

    def split(self, text: str, record: Record) -> str:
        """'train' or 'test' of a record whose prompt's canonical text is `text`."""
        line: float = self.line
        if self.strata is not None:
            line = self.strata.get(self.stratum(record), self.line)
        return "test" if place_of(text, self.config.salt) < line else "train"

    def stratum(self, record: Record) -> str:
        kind = self.config.stratify_by
        return stratum_of(kind, tags=record.tags, language=record.language, source=record.source)
