"""What became of what: from a pair of a dataset version to the judgements behind it. Pure.

`lineage.jsonl` has one line per comparison and dimension, in the order of rankings.jsonl: the judgements (ids; no
people), a reviewer's decision, the pairs that came of it, and where its lines are in the other files, so that one of a
million is found without reading the texts of the others. It is no training data, and no export contains it.
Versions built before it was written are read from their rankings and pairs; their judgements are not known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import orjson

RANKINGS, PAIRS, LINEAGE = "rankings.jsonl", "pairs.jsonl", "lineage.jsonl"


@dataclass(frozen=True, slots=True)
class Lineage:
    """One dimension of one comparison in a version.

    judgements: ids, None where they were not written down. pairs: [chosen id, rejected id, preference, margin, weight],
    the first of which is line `first_pair` of pairs.jsonl. at: byte where the line begins in the file it was read from.
    digest: equal for equal lines in rankings and pairs.
    """

    comparison: str
    dimension: str
    split: str
    judgements: list[int] | None
    decision: int | None
    ranking_at: int
    pairs_at: int
    first_pair: int
    pairs: list[list[Any]]
    digest: str
    at: int

    def json(self) -> dict[str, Any]:
        """As lineage.jsonl has it."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "at"}

    @property
    def key(self) -> tuple[str, str]:
        return self.comparison, self.dimension


def has_lineage(directory: Path) -> bool:
    return (directory / LINEAGE).is_file()


def lineage_of(directory: Path) -> Iterator[Lineage]:
    """All of a version, one at a time."""
    if not has_lineage(directory):
        yield from _reconstructed(directory)
        return
    at = 0
    with open(directory / LINEAGE, "rb") as file:
        for line in file:
            yield Lineage(**orjson.loads(line), at=at)
            at += len(line)


def lineage_find(directory: Path, *, pair: int | None = None, comparison: str | None = None) -> list[Lineage]:
    """The entry that pair number `pair` belongs to, or all of a comparison; empty if there is none."""
    found = []
    for entry in lineage_of(directory):
        if pair is not None and entry.first_pair <= pair < entry.first_pair + len(entry.pairs):
            return [entry]
        if pair is not None and entry.first_pair > pair:
            break
        if comparison is not None and entry.comparison == comparison:
            found.append(entry)
        elif found:
            break  # those of one comparison stand together
    return found


def ranking_row(directory: Path, entry: Lineage) -> dict[str, Any]:
    """The line of rankings.jsonl."""
    with open(directory / RANKINGS, "rb") as file:
        file.seek(entry.ranking_at)
        return orjson.loads(file.readline())


def _reconstructed(directory: Path) -> Iterator[Lineage]:
    """From rankings.jsonl and pairs.jsonl, which have comparisons in the same order. Earlier versions spelt JSON with
    more spaces; digests are of today's spelling, so that equal lines are equal."""
    ranking_at = pairs_at = 0
    number = 1
    with open(directory / RANKINGS, "rb") as rankings, open(directory / PAIRS, "rb") as file:
        ahead = file.readline()
        row = orjson.loads(ahead) if ahead else None
        for line in rankings:
            ranking = orjson.loads(line)
            hashed = hashlib.sha256(_line(ranking))
            short = []
            first_at = pairs_at
            while row and (row["comparison"], row["dimension"]) == (ranking["comparison"], ranking["dimension"]):
                ids = [row["chosen_response"], row["rejected_response"]]
                short.append([*ids, row["preference"], row["margin"], row["weight"]])
                hashed.update(_line(row))
                pairs_at += len(ahead)
                ahead = file.readline()
                row = orjson.loads(ahead) if ahead else None
            yield Lineage(
                comparison=ranking["comparison"],
                dimension=ranking["dimension"],
                split=ranking["split"],
                judgements=None,
                decision=None,
                ranking_at=ranking_at,
                pairs_at=first_at,
                first_pair=number,
                pairs=short,
                digest=hashed.hexdigest()[:16],
                at=-1,
            )
            number += len(short)
            ranking_at += len(line)


def _line(row: dict[str, Any]) -> bytes:
    return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
