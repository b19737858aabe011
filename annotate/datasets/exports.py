"""Sending a dataset version in another format: made while it is sent, so that the first bytes go at once.

The same version and options give the same bytes, so a download that broke can go on: what it lacks is made again.
"""

from __future__ import annotations

import hashlib
import io
import re
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import version as installed
from typing import Any

from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase

from annotate.datasets.models import DatasetVersion
from annotate.formats.writers.base import Options
from annotate.formats.writing import BYTES, FORMATS_OUT, export
from runs.artifacts import artifact_path
from runs.downloads import file_response, ranged_response, wanted_range

ON_DISK = {"pairs": "pairs.jsonl", "rankings": "rankings.jsonl"}  # formats that are files of every version


def export_options(
    version: DatasetVersion, *, dimension: str = "", split: str = "", responses: str = "best"
) -> Options:
    """What to write of a version, its files named after it."""
    name = f"{version.project.slug}-v{version.number}"
    return Options(dimension=dimension, split=split, name=name, responses=responses)  # type: ignore[arg-type]


def export_response(request: HttpRequest, version: DatasetVersion, key: str, options: Options) -> HttpResponseBase:
    """A version in the format `key` as a download: one file, or a zip where the format has several.

    A download that broke continues where it stopped. What is no file of the version is then made again, into a
    temporary file, since its size must be known before its end can be sent. Only all of the rest is had that way: who
    asks for pieces, as downloaders with many connections do, would have it made once a piece, and is sent the whole.
    """
    if key in ON_DISK and not options.dimension and not options.split:
        response = file_response(request, version.artifact, ON_DISK[key])
        return _named(response, FORMATS_OUT[key].files[0].name(options))
    name, content_type, chunks = _made(version, key, options)
    etag = _etag(version, key, options)
    wanted = wanted_range(request, etag)
    if wanted is not None and wanted[0] and wanted[1] is None:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - closed when it was sent
        file.writelines(chunks)
        response = ranged_response(request, file, etag, name)
    else:
        response = StreamingHttpResponse(chunks)
        response["ETag"] = etag
        response["Accept-Ranges"] = "bytes"
    response["Content-Type"] = content_type
    return _named(response, name)


def _made(version: DatasetVersion, key: str, options: Options) -> tuple[str, str, Iterator[bytes]]:
    """(file name, content type, bytes) of what is downloaded in a format."""
    made = export(key, artifact_path(version.artifact), options)
    writer = FORMATS_OUT[key]
    if len(writer.files) == 1:
        name, chunks = next(made)
        return name, writer.files[0].content_type, chunks
    folder = f"{options.stem}-{key}"
    return f"{folder}.zip", "application/zip", zipped(made, folder=folder)


def _etag(version: DatasetVersion, key: str, options: Options) -> str:
    """Names the bytes of a download before they are there: whatever they follow from is in it."""
    given = (version.sha256, key, options, BYTES, *_libraries())
    return f'"{hashlib.sha256(repr(given).encode()).hexdigest()}"'


@lru_cache
def _libraries() -> tuple[str, ...]:
    """Those whose versions show in the bytes: Parquet is pyarrow's, a zip is zlib's."""
    return installed("pyarrow"), zlib.ZLIB_RUNTIME_VERSION


def export_counted(version: DatasetVersion, key: str, options: Options, left_out: Counter[str]) -> Iterator[Any]:
    """(file name, chunks) of a format; left_out counts what it cannot hold."""
    return export(key, artifact_path(version.artifact), options, left_out)


def zipped(files: Iterator[tuple[str, Iterator[bytes]]], *, folder: str) -> Iterator[bytes]:
    """A zip of files whose sizes nobody knows yet, in pieces. The same files give the same bytes."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:  # type: ignore[arg-type]
        for name, chunks in files:
            entry = zipfile.ZipInfo(f"{folder}/{name}")  # dated 1980
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            with archive.open(entry, "w", force_zip64=True) as target:
                for chunk in chunks:
                    target.write(chunk)
                    if sink.size:
                        yield sink.taken()
    yield sink.taken()


class _Sink(io.RawIOBase):
    """Keeps what was written since the last look; like a socket, it cannot go back."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.pieces.append(bytes(data))
        self.size += len(data)
        return len(data)

    def taken(self) -> bytes:
        data = b"".join(self.pieces)
        self.pieces.clear()
        self.size = 0
        return data


def _named(response: HttpResponseBase, name: str) -> HttpResponseBase:
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    response["Content-Disposition"] = f'attachment; filename="{safe}"'
    return response
