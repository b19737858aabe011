"""CSV from strangers: the delimiter is found by looking, every complaint has its line. Pure."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import IO, Any

from annotate.formats.jsonl import Findings, Refused, check_text
from annotate.formats.limits import MAX_COLUMNS, MAX_LINE, size
from annotate.formats.streams import Damaged, lines

DELIMITERS = ",;\t|"
_NOT_UTF8 = re.compile("[\udc80-\udcff]")


def sniff(sample: bytes, *, whole: bool = False) -> str | None:
    """The delimiter of a sample of CSV, or None if it does not look like a table.

    The best one cuts the header and the records into the same number of cells, the most cells winning.
    """
    csv.field_size_limit(MAX_LINE)
    text = sample.decode("utf-8-sig", "surrogateescape")
    best: tuple[int, str] | None = None
    for delimiter in DELIMITERS:
        try:
            rows = [row for row in islice(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), 20) if row]
        except csv.Error:
            continue
        if not whole and 2 < len(rows) < 20:
            rows.pop()  # the sample may end within a record
        if len(rows) < 2 or len(rows[0]) < 2 or not all(cell.strip() for cell in rows[0]):
            continue
        alike = sum(len(row) == len(rows[0]) for row in rows) * 2 > len(rows)
        if not whole and len(rows) == 2:  # the first record is longer than the sample
            alike = max(map(len, rows[0])) <= 40
        if alike and len(set(rows[0])) == len(rows[0]):
            best = max(best or (0, ""), (len(rows[0]), delimiter))
    return best[1] if best else None


def read_csv(stream: IO[bytes], findings: Findings, *, delimiter: str = ",") -> Iterator[tuple[int, dict]]:
    """Yield (line, {column: text}) for every record; empty cells are left out.

    A line that is broken goes to `findings`, and the next is read. Cells are texts and nothing else: what looks like a
    formula is one to a spreadsheet, but not here.
    """
    findings.unit = "Line"
    csv.field_size_limit(MAX_LINE)
    source = _Lines(stream)
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    header: list[str] | None = None
    while True:
        source.begin()
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            findings.error(source.first, f"Not valid CSV: {error}.")
            if source.ended:
                break
            reader = csv.reader(source, delimiter=delimiter, strict=True)
            continue
        except Refused as error:
            findings.error(source.first, str(error))
            return
        except Damaged as error:
            findings.error(source.number + 1, str(error))
            return
        if not cells or not any(cells):
            continue
        try:
            if header is None:
                header = _header(cells)
                continue
            yield source.first, _record(header, cells)
        except Refused as error:
            findings.error(source.first, str(error))
            if header is None:
                return
    if header is None:
        findings.error(1, "The file is empty.")


class _Lines:
    """Text lines for the csv module, which joins those of a quoted cell: no more of them than a record may have."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.lines = lines(stream, MAX_LINE)
        self.number = self.first = self.held = 0
        self.ended = False

    def begin(self) -> None:
        self.first, self.held = self.number + 1, 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        try:
            self.number, raw = next(self.lines)
        except StopIteration:
            self.ended = True
            raise
        if self.number == 1 and raw:
            if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise Refused("The file is UTF-16. Save it as UTF-8.")
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        self.held += len(raw) if raw is not None else MAX_LINE + 1
        if raw is None or self.held > MAX_LINE:
            raise Refused(
                f"The record is longer than {size(MAX_LINE)}, so what follows cannot be told apart: "
                "is a quotation mark missing?"
            )
        return raw.decode("utf-8", "surrogateescape")


def _header(cells: Sequence[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    while names and not names[-1]:
        names.pop()
    if len(names) > MAX_COLUMNS:
        raise Refused(f"It has more than {MAX_COLUMNS} columns.")
    if not all(names):
        raise Refused(f"Column {names.index('') + 1} has no name.")
    twice = next((name for position, name in enumerate(names) if name in names[:position]), None)
    if twice is not None:
        raise Refused(f"The column “{twice[:40]}” appears twice.")
    _check_cells(names)
    return names


def _record(header: Sequence[str], cells: list[str]) -> dict[str, Any]:
    if len(cells) > len(header) and any(cells[len(header) :]):
        raise Refused(f"It has {len(cells)} cells for {len(header)} columns.")
    if len(cells) < len(header):
        raise Refused(f"It has only {len(cells)} cells for {len(header)} columns.")
    _check_cells(cells)
    return {name: cell for name, cell in zip(header, cells, strict=False) if cell}


def _check_cells(cells: Sequence[str]) -> None:
    for cell in cells:
        if not cell.isascii():
            wrong = _NOT_UTF8.search(cell)
            if wrong:
                raise Refused(f"The byte 0x{ord(wrong[0]) - 0xDC00:02x} is not UTF-8. Save the file as UTF-8.")
        if "\x00" in cell:
            check_text(cell)
