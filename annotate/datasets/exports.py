"""Sending a dataset version in another format: made while it is sent, so that the first bytes go at once."""

from __future__ import annotations

import io
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase

from annotate.datasets.models import DatasetVersion
from annotate.formats.writers.base import Options
from annotate.formats.writing import FORMATS_OUT, export
from runs.artifacts import artifact_path
from runs.downloads import file_response

ON_DISK = {"pairs": "pairs.jsonl", "rankings": "rankings.jsonl"}  # formats that are files of every version


def export_options(
    version: DatasetVersion, *, dimension: str = "", split: str = "", responses: str = "best"
) -> Options:
    """What to write of a version, its files named after it."""
    name = f"{version.project.slug}-v{version.number}"
    return Options(dimension=dimension, split=split, name=name, responses=responses)  # type: ignore[arg-type]


def export_response(request: HttpRequest, version: DatasetVersion, key: str, options: Options) -> HttpResponseBase:
    """A version in the format `key` as a download: one file, or a zip where the format has several.

    What is a file of the version already can be continued after a break; the rest begins anew.
    """
    if key in ON_DISK and not options.dimension and not options.split:
        response = file_response(request, version.artifact, ON_DISK[key])
        return _named(response, FORMATS_OUT[key].files[0].name(options))
    made = export(key, artifact_path(version.artifact), options)
    writer = FORMATS_OUT[key]
    if len(writer.files) == 1:
        name, chunks = next(made)
        response = StreamingHttpResponse(chunks, content_type=writer.files[0].content_type)
    else:
        name = f"{options.stem}-{key}.zip"
        response = StreamingHttpResponse(zipped(made, folder=f"{options.stem}-{key}"), content_type="application/zip")
    response["Accept-Ranges"] = "none"
    return _named(response, name)


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
