"""Streams of bytes, packed as they go: one file as gzip or Zstandard, several as a ZIP. Pure.

The same bytes in give the same bytes out: no clock, no file system.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, Literal

EPOCH = (1980, 1, 1, 0, 0, 0)
GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"


def packed(chunks: Iterable[bytes], packing: Literal["gzip", "zstd"], level: int = 3) -> Iterator[bytes]:
    """One file, compressed."""
    if packing == "zstd":
        import zstandard

        frame = zstandard.ZstdCompressor(level=level, write_checksum=True).compressobj()
        yield from filter(None, map(frame.compress, chunks))
        yield frame.flush()
        return
    deflate = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    check = size = 0
    yield GZIP_HEADER
    for chunk in chunks:
        check, size = zlib.crc32(chunk, check), size + len(chunk)
        if data := deflate.compress(chunk):
            yield data
    yield deflate.flush() + check.to_bytes(4, "little") + (size % 2**32).to_bytes(4, "little")


def archive(files: Iterable[tuple[str, Iterable[bytes]]], level: int = 3) -> Iterator[bytes]:
    """A ZIP of (name, chunks), written as a stream; files may be of any size."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as target:
        for name, chunks in files:
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            with target.open(entry, "w", force_zip64=True) as file:
                for chunk in chunks:
                    file.write(chunk)
                    if len(sink.buffer) >= 2**16:
                        yield sink.taken()
    yield sink.taken()


class _Sink(io.RawIOBase):
    """A file that cannot seek, and hands over what was written since the last look."""

    def __init__(self) -> None:
        self.buffer = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.buffer += data
        return len(data)

    def taken(self) -> bytes:
        data = bytes(self.buffer)
        self.buffer.clear()
        return data
