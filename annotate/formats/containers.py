"""From a file of any kind to rows: what it is, is told from its bytes. Pure.

JSON Lines, JSON, CSV, Parquet and spreadsheets (xlsx), each plain, gzipped or in Zstandard.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Literal

from annotate.formats.binary import read_binary
from annotate.formats.json_values import is_table, read_values
from annotate.formats.jsonl import Findings, Refused, parse_object, read_lines
from annotate.formats.streams import GZIP, ZSTD, Damaged, unzipped
from annotate.formats.tables import read_csv, sniff

Container = Literal["jsonl", "json", "csv", "parquet", "xlsx"]

NAMES: dict[Container, str] = {
    "jsonl": "JSON Lines",
    "json": "JSON",
    "csv": "CSV",
    "parquet": "Parquet",
    "xlsx": "spreadsheet (xlsx)",
}
SAMPLE = 2**18


@dataclass(frozen=True, slots=True)
class Rows:
    """An opened file. rows: (number, object); what is numbered is `Findings.unit`."""

    container: Container
    packing: str
    rows: Iterator[tuple[int, dict]]

    @property
    def name(self) -> str:
        packed = {"gzip": ", gzipped", "zstd": ", Zstandard"}.get(self.packing, "")
        return NAMES[self.container] + packed


def open_rows(stream: IO[bytes], findings: Findings) -> Rows:
    """Recognise a file's container and begin to read it. Raises Refused with a sentence if it is none of ours."""
    plain, packing = unzipped(stream)
    sample, damage = _sample(plain)
    if damage and not sample.strip():
        raise Refused(str(damage))
    if sample[:4] == ZSTD or sample[:2] == GZIP:
        raise Refused("It is compressed twice. Unpack it once.")
    container = detect(sample, whole=len(sample) < SAMPLE)
    source: IO[bytes] = io.BufferedReader(_Again(sample, plain, damage), 2**17)
    if container == "jsonl":
        rows = read_lines(source, findings)
    elif container == "json":
        rows = read_values(source, findings)
    elif container == "csv":
        rows = read_csv(source, findings, delimiter=sniff(sample, whole=len(sample) < SAMPLE) or ",")
    else:
        rows = read_binary(source, findings, container)
    return Rows(container, packing, rows)


def detect(sample: bytes, *, whole: bool = True) -> Container:
    """The container of a file that begins with `sample`. Raises Refused with a sentence."""
    if sample.startswith(b"PAR1"):
        return "parquet"
    if sample.startswith(b"PK\x03\x04"):
        if b"xl/" in sample or b"[Content_Types].xml" in sample[:200]:
            return "xlsx"
        raise Refused("It is a ZIP archive. Unpack it and take the files one by one.")
    if sample.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Refused("The file is UTF-16. Save it as UTF-8.")
    if sample.startswith(b"\xd0\xcf\x11\xe0"):
        raise Refused("It is an old spreadsheet (xls). Save it as xlsx or CSV.")
    if sample.startswith(b"%PDF"):
        raise Refused("It is a PDF.")
    if b"\x00" in sample[:1024]:
        raise Refused("It is a binary file, and none of JSON Lines, JSON, CSV, Parquet or xlsx.")
    text = sample.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text:
        raise Refused("The file is empty.")
    if text.startswith(b"["):
        return "json"
    if text.startswith(b"{"):
        return _lines_or_value(text, whole)
    if sniff(sample, whole=whole):
        return "csv"
    # Broken JSON Lines are told as such; a table of a single column is still a table.
    later = [line for line in text.split(b"\n")[1:20] if line.strip()]
    if any(line.lstrip().startswith(b"{") for line in later):
        return "jsonl"
    first = text.split(b"\n")[0].strip()
    if len(first) <= 60 and first[:1].isalpha() and later:
        return "csv"
    return "jsonl"


def _lines_or_value(text: bytes, whole: bool) -> Container:
    first, newline, rest = text.partition(b"\n")
    if not newline:
        # One line: a record, or a whole table written as one object.
        return "jsonl" if whole and not is_table(first) else "json"
    if rest.lstrip().startswith(b"{") and first.rstrip().endswith(b"}"):
        return "jsonl"
    try:
        parse_object(first)
    except Refused:
        # Objects over several lines begin with a bare brace or a key; broken lines have a neighbour that is whole.
        lines = rest.split(b"\n")[:20]
        return "jsonl" if any(line.startswith(b"{") and line.rstrip().endswith(b"}") for line in lines) else "json"
    return "jsonl" if rest.strip() or not whole or not is_table(first) else "json"


def _sample(stream: io.BufferedReader) -> tuple[bytes, Damaged | None]:
    """The beginning of a file, and what is wrong with it if it breaks off within."""
    parts: list[bytes] = []
    total = 0
    try:
        while total < SAMPLE and (chunk := stream.read1(SAMPLE - total)):
            parts.append(chunk)
            total += len(chunk)
    except Damaged as error:
        return b"".join(parts), error
    return b"".join(parts), None


class _Again(io.RawIOBase):
    """What was looked at, then the rest or the damage. Reads no more at once than is there, so damage loses nothing."""

    def __init__(self, head: bytes, rest: io.BufferedReader, damage: Damaged | None) -> None:
        self.head, self.rest, self.damage = memoryview(head), rest, damage

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        if self.damage and not self.head:
            raise self.damage
        data = self.head[: len(view)] if self.head else self.rest.read1(len(view))
        self.head = self.head[len(data) :] if self.head else self.head
        view[: len(data)] = data
        return len(data)
