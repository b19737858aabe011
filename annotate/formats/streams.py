"""Bytes from strangers: unzipped on the way, and never more of them in memory than a line. Pure."""

from __future__ import annotations

import gzip
import io
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from typing import IO, Any, cast

from annotate.formats.limits import MAX_RATIO, MAX_SPOOL, MAX_WINDOW, RATIO_FROM, size

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
CHUNK = 2**16


class Damaged(ValueError):
    """The bytes cannot be read on from here. The message is a sentence."""


def unzipped(stream: IO[bytes]) -> tuple[io.BufferedReader, str]:
    """A reader of the plain bytes, and what they were packed with: "gzip", "zstd" or "".

    Decided by the first bytes, not by a name. Reading raises Damaged where the packing is broken or swells too much.
    """
    source = _Source(stream)
    buffered: io.BufferedReader = io.BufferedReader(source)
    head = buffered.peek(4)[:4]
    if head.startswith(GZIP):
        return io.BufferedReader(_Plain(_gunzip(buffered), source), CHUNK), "gzip"
    if head == ZSTD:
        return io.BufferedReader(_Plain(_unzstd(buffered), source), CHUNK), "zstd"
    return buffered, ""


def lines(stream: IO[bytes], longest: int) -> Iterator[tuple[int, bytes | None]]:
    """Lines without ever holding more than `longest` bytes; None stands for one that is longer."""
    number = 0
    while line := stream.readline(longest + 1):
        number += 1
        if len(line) <= longest:
            yield number, line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(CHUNK)
        yield number, None


def spooled(stream: IO[bytes], head: bytes = b"") -> IO[bytes]:
    """A copy on disk that can seek. Raises Damaged above the limit."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    try:
        file.write(head)
        total = len(head)
        while chunk := stream.read(2**20):
            total += len(chunk)
            if total > MAX_SPOOL:
                raise Damaged(f"The file is larger than {size(MAX_SPOOL)}.")
            file.write(chunk)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return cast(IO[bytes], file)


def copied(stream: IO[bytes], target: IO[bytes]) -> None:
    """Copy all of a stream."""
    shutil.copyfileobj(stream, target, CHUNK)


class _Source(io.RawIOBase):
    """Any binary stream, an upload for instance, as the raw half of a BufferedReader. Counts what was taken."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.taken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.stream.read(len(buffer))
        while 0 < len(data) < 4 <= len(buffer) and (more := self.stream.read(len(buffer) - len(data))):
            data += more  # enough to tell what it is
        buffer[: len(data)] = data
        self.taken += len(data)
        return len(data)


class _Plain(io.RawIOBase):
    """Chunks of plain bytes as a stream that watches how much more they are than what was packed."""

    def __init__(self, chunks: Iterator[bytes], source: _Source) -> None:
        self.chunks, self.source = chunks, source
        self.left = memoryview(b"")
        self.given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self.left:
            chunk = next(self.chunks, None)
            if chunk is None:
                return 0
            self.left = memoryview(chunk)
            self.given += len(chunk)
            if self.given > RATIO_FROM and self.given > MAX_RATIO * self.source.taken:
                raise Damaged(
                    f"The compressed file becomes more than {MAX_RATIO} times its size ({size(self.given)} from "
                    f"{size(self.source.taken)} so far). Unpack it first if that is meant."
                )
        count = min(len(buffer), len(self.left))
        buffer[:count] = self.left[:count]
        self.left = self.left[count:]
        return count


def _gunzip(source: IO[bytes]) -> Iterator[bytes]:
    with gzip.GzipFile(fileobj=source, mode="rb") as file:
        while True:
            try:
                chunk = file.read1(CHUNK)
            except (gzip.BadGzipFile, EOFError, OSError, zlib.error) as error:
                raise Damaged(f"The gzip file is damaged from here on: {error}.") from None
            if not chunk:
                return
            yield chunk


def _unzstd(source: IO[bytes]) -> Iterator[bytes]:
    import zstandard

    # A block of four bytes may stand for 128 KiB, so little is fed at a time: 32 MiB come of it at the worst.
    unpacker = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)
    frame = None
    try:
        while data := source.read(1024):
            while data:
                frame = frame or unpacker.decompressobj()
                plain = frame.decompress(data)
                if plain:
                    yield plain
                data = b""
                if frame.eof:
                    data, frame = frame.unused_data, None
    except zstandard.ZstdError as error:
        raise Damaged(f"The Zstandard file is damaged from here on: {error}.") from None
    if frame is not None:
        raise Damaged("The Zstandard file is damaged from here on: it ends in the middle.")
