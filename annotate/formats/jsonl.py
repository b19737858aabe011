"""Reading JSON Lines from strangers: every complaint has a line number and a reason. Pure.

Strict where leniency would lose data silently: a repeated key, NaN, a byte that is not UTF-8, a character that the
database cannot keep. Lenient where nothing is lost: a byte-order mark, blank lines, Windows line ends, gzip.
"""

from __future__ import annotations

import gzip
import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any, NoReturn

MAX_LINE = 8 * 2**20
KEPT = 100


@dataclass(frozen=True, slots=True)
class Problem:
    line: int
    reason: str

    def __str__(self) -> str:
        return f"Line {self.line}: {self.reason}"


@dataclass
class Findings:
    """What a reader has to say besides its records.

    errors: the file is wrong there, and nothing of it should be used. skipped: the line is well formed but holds
    nothing usable, and the rest may be used without it. The first 100 of each are kept, all are counted.
    """

    errors: list[Problem] = field(default_factory=list)
    skipped: list[Problem] = field(default_factory=list)
    error_count: int = 0
    skipped_count: int = 0

    def error(self, line: int, reason: str) -> None:
        self.error_count += 1
        if len(self.errors) < KEPT:
            self.errors.append(Problem(line, reason))

    def skip(self, line: int, reason: str) -> None:
        self.skipped_count += 1
        if len(self.skipped) < KEPT:
            self.skipped.append(Problem(line, reason))


class Refused(ValueError):
    """A line's value is not what the format allows. The message completes the sentence `Line 3: ...`."""


def read_objects(stream: IO[bytes], findings: Findings, *, max_line: int = MAX_LINE) -> Iterator[tuple[int, dict]]:
    """Yield (line number, object) for every line of a JSON Lines file, which may be gzipped.

    Lines that are not a JSON object go to `findings` as errors, and reading goes on, so that one look shows them all.
    """
    seen = False
    number = 0
    try:
        for number, raw in _lines(_unzipped(stream), max_line):
            if raw is None:
                seen = True
                findings.error(number, f"The line is longer than {max_line // 2**20} MiB.")
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
                yield number, parse_object(raw)
            except Refused as error:
                findings.error(number, str(error))
                if number == 1 and raw.lstrip().startswith(b"["):
                    return  # a JSON array: every further line would only repeat the complaint
    except (gzip.BadGzipFile, EOFError, OSError) as error:
        findings.error(number + 1, f"The gzip file is damaged from here on: {error}.")
        return
    if not seen:
        findings.error(1, "The file is empty.")


def parse_object(raw: bytes) -> dict[str, Any]:
    """One line as a JSON object. Raises Refused with the reason."""
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


def _unzipped(stream: IO[bytes]) -> IO[bytes]:
    buffered = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(_Raw(stream))
    return gzip.open(buffered, "rb") if buffered.peek(2)[:2] == b"\x1f\x8b" else buffered  # type: ignore[return-value]


class _Raw(io.RawIOBase):
    """Any binary stream, an upload for instance, as the raw half of a BufferedReader."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _lines(stream: IO[bytes], max_line: int) -> Iterator[tuple[int, bytes | None]]:
    """Lines without ever holding more than `max_line` bytes; None stands for one that is longer."""
    number = 0
    while line := stream.readline(max_line + 1):
        number += 1
        if len(line) <= max_line:
            yield number, line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(max_line)
        yield number, None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        raise Refused(f"The key “{next(key for key in keys if keys.count(key) > 1)}” appears twice in one object.")
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
