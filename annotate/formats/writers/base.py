"""What writers share: their description, rows of a dataset version, and bytes in chunks. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

from annotate.pairs import edges

Row = dict[str, Any]
Messages = list[dict[str, str]]
Source = Literal["pairs", "rankings", ""]
CHUNK = 2**16

EVEN = "pairs that are even"


@dataclass(frozen=True, slots=True)
class Options:
    """What to write of a version. "" takes all dimensions, both splits. name: of the files.

    responses: which of them demonstrate, in SFT formats: the best ranked, the edited, or the edited where there is one.
    """

    dimension: str = ""
    split: str = ""
    name: str = "plumbline"
    responses: Literal["best", "edited", "edited-or-best"] = "best"

    @property
    def stem(self) -> str:
        """The beginning of file names, safe on every system."""
        parts = [re.sub(r"[^\w.-]+", "-", part).strip("-.") for part in (self.name, self.dimension, self.split)]
        return "-".join(part[:60] for part in parts if part) or "plumbline"


Write = Callable[[Iterable[Row], Options, "Counter[str]"], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class File:
    """One file of a format: how its name goes on after the stem, which rows it is made of, its bytes."""

    suffix: str
    source: Source
    write: Write
    content_type: str = "application/x-ndjson"
    fixed_name: bool = False

    def name(self, options: Options) -> str:
        return self.suffix if self.fixed_name else options.stem + self.suffix


@dataclass(frozen=True, slots=True)
class Writer:
    """One format. loses: what is lost on the way; "" if reading it again, as `reads_back`, gives the same rows."""

    key: str
    label: str
    library: str
    files: tuple[File, ...]
    loses: str = ""
    reads_back: str = ""

    @property
    def lossless(self) -> bool:
        return not self.loses


def read_rows(path: Path, options: Options) -> Iterator[Row]:
    """The rows of a version's file that the options let through."""
    with path.open("rb") as file:
        for line in file:
            row = orjson.loads(line)
            if options.dimension and row["dimension"] != options.dimension:
                continue
            if options.split and row["split"] != options.split:
                continue
            yield row


def json_lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """JSON Lines in UTF-8, many lines a chunk."""
    buffer = bytearray()
    for row in rows:
        buffer += orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
        if len(buffer) >= CHUNK:
            yield bytes(buffer)
            buffer.clear()
    if buffer:
        yield bytes(buffer)


def lines_of(make: Callable[[Row, Options, Counter[str]], Mapping[str, Any] | None]) -> Write:
    """A writer of JSON Lines from a function of one row, which may leave a row out."""

    def write(rows: Iterable[Row], options: Options, left_out: Counter[str]) -> Iterator[bytes]:
        made = (make(row, options, left_out) for row in rows)
        return json_lines(row for row in made if row is not None)

    return write


def said(row: Row, key: str) -> str:
    """The text of `chosen` or `rejected`."""
    return row[key][0]["content"]


def is_even(row: Row, left_out: Counter[str]) -> bool:
    """Whether a pair has no better side, which formats of chosen and rejected cannot say."""
    if row["preference"] == 0.5:
        left_out[EVEN] += 1
        return True
    return False


def standing(row: Row) -> list[float | None]:
    """How each response stands with all judges of a ranking row: the mean share of judges that prefer it, over the
    responses it was compared with. 1 is best; None was never placed beside another.
    """
    n = len(row["responses"])
    shares: list[list[float]] = [[] for _ in range(n)]
    for edge in edges(row["rankings"], n):
        shares[edge.i].append(edge.p)
        shares[edge.j].append(1.0 - edge.p)
    return [sum(values) / len(values) if values else None for values in shares]


def best_first(row: Row) -> Iterator[list[int]]:
    """Groups of responses that stand equally, the best group first."""
    stands = standing(row)
    for value in sorted({round(stand, 9) for stand in stands if stand is not None}, reverse=True):
        yield [i for i, stand in enumerate(stands) if stand is not None and round(stand, 9) == value]


def transcript(messages: Sequence[Mapping[str, str]]) -> str:
    """A prompt as one text: a single question as it stands, a conversation with who speaks, open for the reply."""
    if len(messages) == 1:
        return messages[0]["content"]
    who = {"system": "System", "user": "User", "assistant": "Assistant"}
    return "\n\n".join(f"{who[turn['role']]}: {turn['content']}" for turn in messages) + "\n\nAssistant:"
