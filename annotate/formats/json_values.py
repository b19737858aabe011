"""JSON that is not one object a line: a list, objects one after another, columns. Read as a stream. Pure.

The scanner finds where each value ends, by brackets and quotes alone; what is between is parsed and complained of like
a line of JSON Lines. So a broken record does not hide the ones after it, and a huge one is passed over, never held.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from typing import IO, Any

from annotate.formats.jsonl import Findings, Refused, kind_of, parse_object
from annotate.formats.limits import MAX_COLUMNS, MAX_LINE, size
from annotate.formats.streams import Damaged, spooled

CHUNK = 2**18
DEEPEST = 10_000  # a record may have fewer levels by far; beyond this, looking for its end is not worth the time

_SPACE = re.compile(rb"[ \t\r\n]*+")
# Anything but brackets, and whole strings. Possessive, so that no text makes it slow.
_OUTSIDE = re.compile(rb'(?:[^"{}\[\]]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+', re.DOTALL)
_INSIDE = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_SCALAR = re.compile(rb"[^,\]}\s]*+")
_QUOTE, _OPEN, _CLOSE = ord('"'), b"[{", b"]}"


class Broken(ValueError):
    """The text between the values is not JSON, so nothing after it can be found."""


def read_values(stream: IO[bytes], findings: Findings) -> Iterator[tuple[int, dict]]:
    """Yield (number, object) for every record, counted from 1, of a JSON file of any usual shape:

    a list of objects; objects one after another; an object of columns ({"prompt": [...], "chosen": [...]}); an object
    with the list under a key ({"version": 1, "data": [...]}).
    """
    findings.unit = "Record"
    number = 0
    try:
        for number, raw in _raw_values(stream):
            if raw is None:
                findings.error(number, f"The record is longer than {size(MAX_LINE)}.")
                continue
            try:
                value = parse_object(raw)
            except Refused as error:
                findings.error(number, str(error).replace("Write one object a line, without brackets and commas.", ""))
                continue
            yield number, value
    except (Broken, Damaged) as error:
        findings.error(number + 1, str(error))
    else:
        if not number:
            findings.error(1, "The file is empty.")


def _raw_values(stream: IO[bytes]) -> Iterator[tuple[int, bytes | None]]:
    scanner = Scanner(stream)
    first = scanner.peek()
    if first is None:
        return
    if first == ord("["):
        yield from enumerate(scanner.elements(), 1)
        return
    value, rest = scanner.value(keep_rest=True)
    if value is not None and not is_table(value):
        yield 1, value
        yield from _following(scanner)
        return
    with spooled(stream, rest if value is None else value) as file:
        scanner = Scanner(file, 0)
        table = _table(scanner, file)
        if table is not None:
            yield from table
        else:
            yield 1, None
            yield from _following(scanner)


def _following(scanner: Scanner) -> Iterator[tuple[int, bytes | None]]:
    number = 1
    while scanner.peek() is not None:
        number += 1
        yield number, scanner.value()[0]


def is_table(raw: bytes) -> bool:
    """Whether one object is a whole table rather than a record."""
    try:
        value = parse_object(raw)
    except Refused:
        return False
    lists = [item for item in value.values() if isinstance(item, list)]
    if len(lists) == 1 and len(value) > 1 and "data" in value and isinstance(value["data"], list):
        return all(isinstance(item, dict) for item in lists[0])
    if len(value) == 1 and lists:
        return next(iter(value)) in ("data", "rows", "records", "examples", "train")
    # Messages are lists of objects; a column of texts or numbers can only be a column.
    return (
        len(lists) == len(value) > 0
        and len({len(item) for item in lists}) == 1
        and any(item and not isinstance(item[0], dict) for item in lists)
    )


def _table(scanner: Scanner, file: IO[bytes]) -> Iterator[tuple[int, bytes | None]] | None:
    """Records of one large object on disk: the list it holds, or its columns side by side. None if it has neither."""
    columns: dict[bytes, int] = {}
    others = 0
    scanner.expect(b"{")
    while scanner.peek() != ord("}"):
        if columns or others:
            scanner.expect(b",")
        key = scanner.value()[0] or b'""'
        scanner.expect(b":")
        if scanner.peek() == ord("["):
            columns[key] = scanner.offset
            if len(columns) > MAX_COLUMNS:
                raise Broken(f"It has more than {MAX_COLUMNS} columns.")
        else:
            others += 1
        scanner.skip()
    scanner.expect(b"}")
    if len(columns) == 1:
        start = next(iter(columns.values()))
        return enumerate(Scanner(file, start).elements(), 1) if Scanner(file, start).holds_objects() else None
    return None if others or not columns else _rows_of(columns, file)


def _rows_of(columns: dict[bytes, int], file: IO[bytes]) -> Iterator[tuple[int, bytes | None]]:
    readers = {key: Scanner(file, start).elements() for key, start in columns.items()}
    ended = object()
    for number in count(1):
        cells = {key: next(reader, ended) for key, reader in readers.items()}
        done = [key for key, cell in cells.items() if cell is ended]
        if len(done) == len(cells):
            return
        if done:
            raise Broken(f"The column {done[0][:40].decode(errors='replace')} is shorter than the others.")
        yield number, _joined(cells)


def _joined(cells: dict[bytes, Any]) -> bytes | None:
    if any(cell is None for cell in cells.values()) or sum(map(len, cells.values())) > MAX_LINE:
        return None
    return b"{" + b",".join(key + b":" + cell for key, cell in cells.items()) + b"}"


class Scanner:
    """Walks over JSON text a chunk at a time."""

    def __init__(self, stream: IO[bytes], start: int | None = None) -> None:
        self.stream = stream
        self.at = start  # several scanners may share a file: each keeps its own place in it
        self.buffer = b""
        self.position = 0
        self.base = start or 0
        if start in (None, 0):
            self._more(b"")
            if self.buffer.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise Broken("The file is UTF-16. Save it as UTF-8.")
            if self.buffer.startswith(b"\xef\xbb\xbf"):
                self.position = 3

    @property
    def offset(self) -> int:
        return self.base + self.position

    def peek(self) -> int | None:
        """The next byte that is not space, or None at the end."""
        while True:
            self.position = _SPACE.match(self.buffer, self.position).end()  # type: ignore[union-attr]
            if self.position < len(self.buffer):
                return self.buffer[self.position]
            if not self._more(b""):
                return None

    def expect(self, wanted: bytes) -> None:
        found = self.peek()
        if found != wanted[0]:
            shown = "the file ends" if found is None else f"“{chr(found)}” stands there"
            raise Broken(f"Not valid JSON: “{wanted.decode()}” was expected, but {shown}.")
        self.position += 1

    def holds_objects(self) -> bool:
        """Whether the value that begins here is a list that begins with an object."""
        self.expect(b"[")
        return self.peek() == ord("{")

    def elements(self) -> Iterator[bytes | None]:
        """The values of a list as text; None stands for one that is too long."""
        self.expect(b"[")
        if self.peek() == ord("]"):
            self.position += 1
            return
        while True:
            yield self.value()[0]
            if self.peek() == ord("]"):
                self.position += 1
                return
            self.expect(b",")

    def skip(self) -> None:
        self._value(longest=0)

    def value(self, *, keep_rest: bool = False) -> tuple[bytes | None, bytes]:
        """The text of the next value, None if it is too long; then, if asked, what was read of it and beyond."""
        return self._value(longest=MAX_LINE, keep_rest=keep_rest)

    def _value(self, *, longest: int, keep_rest: bool = False) -> tuple[bytes | None, bytes]:
        first = self.peek()
        if first is None:
            raise Broken("Not valid JSON: the file ends in the middle.")
        parts: list[bytes] = []
        held = depth = 0
        start = self.position
        inside = False
        while True:
            done = False
            if inside:
                self.position = _INSIDE.match(self.buffer, self.position).end()  # type: ignore[union-attr]
                if self.position < len(self.buffer) and self.buffer[self.position] == _QUOTE:
                    self.position += 1
                    inside = False
                    done = depth == 0
            elif depth == 0 and first not in b'[{"':
                self.position = _SCALAR.match(self.buffer, self.position).end()  # type: ignore[union-attr]
                done = self.position < len(self.buffer)
            else:
                if depth:
                    self.position = _OUTSIDE.match(self.buffer, self.position).end()  # type: ignore[union-attr]
                if self.position < len(self.buffer):
                    mark = self.buffer[self.position]
                    self.position += 1
                    inside = mark == _QUOTE
                    depth += (mark in _OPEN) - (mark in _CLOSE)
                    if depth > DEEPEST:
                        raise Broken(f"It is nested more than {DEEPEST:,} levels deep.")
                    done = depth <= 0 and not inside
            if done:
                parts.append(self.buffer[start : self.position])
                value = b"".join(parts) if held + self.position - start <= longest else None
                if value == b"":
                    raise Broken(f"Not valid JSON: a value was expected, but “{chr(first)}” stands there.")
                return value, b""
            if self.position < len(self.buffer) and not (inside and self.position == len(self.buffer) - 1):
                continue
            # The end of the chunk. A backslash that ends it belongs to what comes.
            rest = self.buffer[self.position :]
            held += self.position - start
            if held <= longest:
                parts.append(self.buffer[start : self.position])
            elif held > 8 * longest > 0 and not keep_rest:
                raise Broken(f"The record is longer than {size(8 * longest)}; is a bracket or quotation mark missing?")
            elif keep_rest:
                return None, b"".join(parts) + self.buffer[start:]
            else:
                parts.clear()
            if not self._more(rest):
                if depth == 0 and not inside and first not in b'[{"':
                    return b"".join(parts) or None, b""
                raise Broken("Not valid JSON: the file ends in the middle of a record.")
            start = 0

    def _more(self, rest: bytes) -> bool:
        self.base += len(self.buffer) - len(rest)
        if self.at is not None:
            self.stream.seek(self.at)
        chunk = self.stream.read(CHUNK)
        if self.at is not None:
            self.at += len(chunk)
        self.buffer = rest + chunk
        self.position = 0
        return bool(chunk)


def parse_cell(text: str) -> Any:
    """The JSON value of a cell that must hold a list or an object. Raises Refused."""
    value = parse_object(b'{"cell":' + text.encode("utf-8", "surrogatepass") + b"}")["cell"]
    if not isinstance(value, dict | list):
        raise Refused(f"Expected a list or an object in the cell, found {kind_of(value)}.")
    return value
