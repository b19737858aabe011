"""How two dataset versions differ: comparisons and pairs that are in one only, or in both but not the same. Pure.

Both are read once, a line at a time; of the earlier one a hash of each line's name and content is kept (24 bytes), so a
million comparisons take some 24 MB whatever their texts. Orders need not be the same.
"""

from __future__ import annotations

import hashlib
import tempfile
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import orjson

from annotate.datasets.lineage import LINEAGE, Lineage, has_lineage, lineage_of

KINDS = ("added", "removed", "changed", "moved")
Pair = list[Any]
PairChange = tuple[str, Pair | None, Pair | None]


@dataclass(frozen=True, slots=True)
class Change:
    """One comparison and dimension. kind: added, removed, changed, or moved (only between the splits).

    pairs: [(kind, pair before or None, pair after or None)] of the pairs that differ, each [chosen, rejected,
    preference, margin, weight]; one whose sides are swapped is a changed one.
    """

    kind: str
    comparison: str
    dimension: str
    split: str
    pairs: list[PairChange]

    def json(self) -> dict[str, Any]:
        names = ("chosen", "rejected", "preference", "margin", "weight")
        return {
            "kind": self.kind,
            "comparison": self.comparison,
            "dimension": self.dimension,
            "split": self.split,
            "pairs": [
                {
                    "kind": kind,
                    "before": dict(zip(names, before, strict=True)) if before else None,
                    "after": dict(zip(names, after, strict=True)) if after else None,
                }
                for kind, before, after in self.pairs
            ],
        }


def changes(before: Path, after: Path) -> Iterator[Change]:
    """Everything that differs from the version directory `before` to `after`: first what `after` has, in its order,
    then what it has no more."""
    with closing(_Index(before)) as index:
        for entry in lineage_of(after):
            is_known, found = index.take(entry)
            if not is_known:
                yield _change("added", entry, [("added", None, pair) for pair in entry.pairs])
            elif found is not None:
                differing = _pair_changes(found.pairs, entry.pairs)
                # Where the pairs are the same, all that is left to differ is the side, or how the rankings put it.
                kind = "moved" if found.split != entry.split and not differing else "changed"
                yield _change(kind, entry, differing)
        for entry in index.rest():
            yield _change("removed", entry, [("removed", pair, None) for pair in entry.pairs])


def _change(kind: str, entry: Lineage, pairs: list[PairChange]) -> Change:
    return Change(kind, entry.comparison, entry.dimension, entry.split, pairs)


def summary(before: Path, after: Path, *, listed: int = 50) -> dict[str, Any]:
    """{"rankings": {kind: n}, "pairs": {kind: n}, "dimensions": {dimension: the same two}, "listed": {kind: the first
    Changes}}"""
    rankings: Counter[tuple[str, str]] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    first: dict[str, list[Change]] = {kind: [] for kind in KINDS}
    for change in changes(before, after):
        rankings[change.dimension, change.kind] += 1
        if len(first[change.kind]) < listed:
            first[change.kind].append(change)
        for kind, _, _ in change.pairs:
            pairs[change.dimension, kind] += 1
    dimensions = sorted({dimension for dimension, _ in rankings})
    return {
        "rankings": _by_kind(rankings),
        "pairs": _by_kind(pairs),
        "dimensions": {
            name: {"rankings": _by_kind(rankings, name), "pairs": _by_kind(pairs, name)} for name in dimensions
        },
        "listed": first,
    }


def config_changes(before: Mapping[str, Any], after: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[dict]:
    """[{"setting", "before", "after"}] of what was set otherwise; what a version does not say it has by default."""
    return [
        {"setting": name, "before": before.get(name, defaults.get(name)), "after": after.get(name, defaults.get(name))}
        for name in dict.fromkeys([*defaults, *before, *after])
        if before.get(name, defaults.get(name)) != after.get(name, defaults.get(name))
    ]


def _by_kind(counts: Counter[tuple[str, str]], dimension: str | None = None) -> dict[str, int]:
    found = Counter[str]()
    for (name, kind), count in counts.items():
        if dimension is None or name == dimension:
            found[kind] += count
    return {kind: found[kind] for kind in KINDS}


def _pair_changes(before: list[Pair], after: list[Pair]) -> list[PairChange]:
    old = {frozenset(pair[:2]): pair for pair in before}
    found: list[PairChange] = []
    for pair in after:
        known = old.pop(frozenset(pair[:2]), None)
        if known is None:
            found.append(("added", None, pair))
        elif known != pair:
            found.append(("changed", known, pair))
    return found + [("removed", pair, None) for pair in old.values()]


class _Index:
    """Finds the entries of a version by name. The texts stay on disk; of each line a name, a digest and a place."""

    def __init__(self, directory: Path) -> None:
        keys, digests, places = array("Q"), array("Q"), array("q")
        # A version without lineage.jsonl gets one for the while.
        is_spooled = not has_lineage(directory)
        self.file: IO[bytes] = tempfile.TemporaryFile() if is_spooled else (directory / LINEAGE).open("rb")  # noqa: SIM115
        for entry in lineage_of(directory):
            keys.append(_hash(entry))
            digests.append(int(entry.digest, 16))
            places.append(self.file.tell() if is_spooled else entry.at)
            if is_spooled:
                self.file.write(orjson.dumps(entry.json(), option=orjson.OPT_APPEND_NEWLINE))
        order = np.argsort(np.array(keys, dtype=np.uint64), kind="stable")
        self.keys = np.array(keys, dtype=np.uint64)[order]
        self.digests = np.array(digests, dtype=np.uint64)[order]
        self.places = np.array(places, dtype=np.int64)[order]
        self.is_taken = np.zeros(len(order), dtype=bool)

    def take(self, entry: Lineage) -> tuple[bool, Lineage | None]:
        """(whether there is an entry of this name, that entry if it differs); it then counts as seen."""
        key = np.uint64(_hash(entry))
        at = int(np.searchsorted(self.keys, key))
        while at < len(self.keys) and self.keys[at] == key:
            if self.digests[at] == np.uint64(int(entry.digest, 16)):
                self.is_taken[at] = True
                return True, None
            found = self._read(int(self.places[at]))
            if found.key == entry.key:
                self.is_taken[at] = True
                return True, found
            at += 1
        return False, None

    def rest(self) -> Iterator[Lineage]:
        """What was not taken, in order."""
        for place in np.sort(self.places[~self.is_taken]).tolist():
            yield self._read(place)

    def close(self) -> None:
        self.file.close()

    def _read(self, place: int) -> Lineage:
        self.file.seek(place)
        return Lineage(**orjson.loads(self.file.readline()), at=place)


def _hash(entry: Lineage) -> int:
    return int.from_bytes(hashlib.sha256("\n".join(entry.key).encode()).digest()[:8], "big")
