"""Reading JSON Lines from strangers: every complaint has a line number and a reason. Pure.

Strict where leniency would lose data silently: a repeated key, NaN, a byte that is not UTF-8, a character that the
database cannot keep. Lenient where nothing is lost: a byte-order mark, blank lines, Windows line ends, gzip, Zstandard.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any, NoReturn

import orjson

from annotate.formats.limits import MAX_COLUMNS, MAX_DEPTH, MAX_LINE, size
from annotate.formats.streams import Damaged, lines, unzipped

KEPT = 100


@dataclass(frozen=True, slots=True)
class Problem:
    line: int
    reason: str
    unit: str = "Line"

    def __str__(self) -> str:
        return f"{self.unit} {self.line}: {self.reason}"


@dataclass
class Findings:
    """What a reader has to say besides its records.

    errors: the file is wrong there, and nothing of it should be used. skipped: the line is well formed but holds
    nothing usable, and the rest may be used without it. The first 100 of each are kept, all are counted.
    unit: what is numbered: lines of a text, records of a JSON list, rows of a table.
    """

    errors: list[Problem] = field(default_factory=list)
    skipped: list[Problem] = field(default_factory=list)
    error_count: int = 0
    skipped_count: int = 0
    unit: str = "Line"

    def error(self, line: int, reason: str) -> None:
        self.error_count += 1
        if len(self.errors) < KEPT:
            self.errors.append(Problem(line, reason, self.unit))

    def skip(self, line: int, reason: str) -> None:
        self.skipped_count += 1
        if len(self.skipped) < KEPT:
            self.skipped.append(Problem(line, reason, self.unit))


class Refused(ValueError):
    """A line's value is not what the format allows. The message completes the sentence `Line 3: ...`.

    line: where, if the reader knows better than its caller.
    """

    line: int | None = None


class Unusable(ValueError):
    """Well formed, but nothing usable can be made of it. The message completes the sentence `Line 3: ...`."""


def read_objects(stream: IO[bytes], findings: Findings, *, max_line: int = MAX_LINE) -> Iterator[tuple[int, dict]]:
    """Yield (line number, object) for every line of a JSON Lines file, which may be gzipped or in Zstandard.

    Lines that are not a JSON object go to `findings` as errors, and reading goes on, so that one look shows them all.
    """
    plain, _ = unzipped(stream)
    yield from read_lines(plain, findings, max_line=max_line)


def read_lines(stream: IO[bytes], findings: Findings, *, max_line: int = MAX_LINE) -> Iterator[tuple[int, dict]]:
    """`read_objects` of plain bytes."""
    seen = False
    number = 0
    try:
        for number, raw in lines(stream, max_line):
            if raw is None:
                seen = True
                findings.error(number, f"The line is longer than {size(max_line)}.")
                continue
            if number == 1:
                if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
                    findings.error(1, "The file is UTF-16. Save it as UTF-8.")
                    return
                raw = raw.removeprefix(b"\xef\xbb\xbf")
            if not raw.strip():
                continue
            seen = True
            try:
                value = parse_object(raw)
            except Refused as error:
                findings.error(number, str(error))
                if number == 1 and raw.lstrip().startswith(b"["):
                    return  # a JSON array: every further line would only repeat the complaint
                continue
            yield number, value
    except Damaged as error:
        findings.error(number + 1, str(error))
        return
    if not seen:
        findings.error(1, "The file is empty.")


def parse_object(raw: bytes) -> dict[str, Any]:
    """One line as a JSON object. Raises Refused with the reason.

    A fast parser looks first. It takes the last of repeated keys and rounds large integers, so what it gives counts
    only where neither can have happened; everything else goes the slow way, which finds the exact complaint.
    """
    try:
        value = orjson.loads(raw)
    except ValueError:
        value = None
    if type(value) is dict and _is_exact(value, raw):
        if b"\\u0000" in raw:
            check_text(value)
        if len(value) > MAX_COLUMNS:
            raise Refused(f"It has more than {MAX_COLUMNS} keys.")
        return value
    return _parse_slowly(raw)


_KEY = re.compile(rb'"[ \t\r\n]*:')


def _is_exact(value: dict[str, Any], raw: bytes) -> bool:
    """Whether every key of the text is in the value, every number is as written, and the nesting is within bounds.

    A text may hold a quote and a colon that end no key; then there are more of them than keys, and this says no.
    """
    keys = 0
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for item in level:
            if type(item) is dict:
                keys += len(item)
                inner: Any = item.values()
            else:
                inner = item
            for part in inner:
                kind = type(part)
                if kind is dict or kind is list:
                    below.append(part)
                elif kind is float and not -9e18 < part < 9e18:
                    return False
        if not below:
            return keys == len(_KEY.findall(raw))
        level = below
    return False


def _parse_slowly(raw: bytes) -> dict[str, Any]:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused(
            f"Byte {error.start + 1} (0x{raw[error.start]:02x}) is not UTF-8. Save the file as UTF-8."
        ) from None
    try:
        value = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite, parse_int=_integer
        )
    except Refused:
        raise
    except json.JSONDecodeError as error:
        if text.strip() == "[" or (text.lstrip().startswith("[") and text.rstrip().endswith(",")):
            raise Refused("This is a JSON array. Write one object a line, without brackets and commas.") from None
        raise Refused(f"Not valid JSON: {error.msg} at column {error.colno}.") from None
    except RecursionError:
        raise Refused("The value is nested too deeply.") from None
    if isinstance(value, list):
        raise Refused("This is a JSON array. Write one object a line, without brackets and commas.")
    if not isinstance(value, dict):
        raise Refused(f"Expected an object in braces, found {kind_of(value)}.")
    if len(value) > MAX_COLUMNS:
        raise Refused(f"It has more than {MAX_COLUMNS} keys.")
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _check_depth(value)
    # Valid JSON, but a lone surrogate has no UTF-8 form, and PostgreSQL keeps no NUL: refused here, not at the insert.
    # The escape must be there for either, so ordinary lines are not walked.
    if "\\u" in text or "\x00" in text:
        check_text(value)
    return value


def kind_of(value: object) -> str:
    """The JSON name of a value, for messages."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    return {str: "text", int: "a number", float: "a number", list: "a list", dict: "an object"}.get(
        type(value), type(value).__name__
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise Refused(f"The key “{twice[:40]}” appears twice in one object.")
    return result


def _no_constant(name: str) -> NoReturn:
    raise Refused(f"{name} is not valid JSON. Use null, or leave the key out.")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise Refused(f"The number {text[:20]} is too large.")
    return value


def _integer(text: str) -> int:
    if len(text) > 100:
        raise Refused(f"The number {text[:20]}… is too large.")
    return int(text)


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            part
            for item in level
            for part in (item.values() if isinstance(item, dict) else item)
            if isinstance(part, dict | list)
        ]
        if not level:
            return
    raise Refused(f"The value is nested too deeply: at most {MAX_DEPTH} lists and objects inside each other.")


def check_text(value: Any) -> None:
    """Raise Refused if a JSON value holds text that the database cannot keep."""
    if isinstance(value, str):
        if "\x00" in value:
            raise Refused("It contains the character NUL (\\u0000), which cannot be stored.")
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise Refused(f"It contains half a character (\\u{ord(value[error.start]):04x}).") from None
    elif isinstance(value, dict):
        for key, item in value.items():
            check_text(key)
            check_text(item)
    elif isinstance(value, list):
        for item in value:
            check_text(item)
