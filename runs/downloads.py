"""Sending files of any size: in pieces, resumable, and as one archive that is never written to disk."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from typing import IO

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from runs.artifacts import MANIFEST, artifact_open
from runs.models import Artifact

PIECE = 256 * 1024
_RANGE = re.compile(r"bytes=(\d*)-(\d*)\Z")


def file_response(request: HttpRequest, artifact: Artifact, path: str) -> HttpResponseBase:
    """One file of an artifact; a Range header is honoured, so that a broken download continues.

    FileNotFoundError if the artifact has no such file.
    """
    listed = {file["path"]: file["sha256"] for file in artifact.manifest["files"]}
    etag = f'"{listed.get(path, artifact.sha256 + "-manifest")}"'
    return ranged_response(request, artifact_open(artifact, path), etag, path.rsplit("/", 1)[-1])


def ranged_response(request: HttpRequest, file: IO[bytes], etag: str, name: str) -> HttpResponseBase:
    """A file that can be sought, or the part of it that a Range header asks for. It is closed after it was sent."""
    size = file.seek(0, 2)
    first, last, status = 0, size - 1, 200
    if (wanted := wanted_range(request, etag)) is not None:
        begin, end = wanted
        first = max(size - (end or 0), 0) if begin is None else begin
        last = size - 1 if begin is None or end is None else min(end, size - 1)
        if first > last:
            file.close()
            return HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"})
        status = 206
    response = StreamingHttpResponse(_pieces(file, first, last - first + 1), status=status)
    response["Content-Length"] = str(last - first + 1)
    if status == 206:
        response["Content-Range"] = f"bytes {first}-{last}/{size}"
    response["ETag"] = etag
    response["Accept-Ranges"] = "bytes"
    return _attachment(response, name)


def wanted_range(request: HttpRequest, etag: str) -> tuple[int | None, int | None] | None:
    """(first byte, last byte) of a Range header, (None, n) for the last n; None if the whole is wanted.

    The whole is wanted, too, by who has the beginning of something else (If-Range).
    """
    found = _RANGE.match(request.headers.get("Range", ""))
    if not found or not any(found.groups()) or request.headers.get("If-Range", etag) != etag:
        return None
    begin, end = (int(digits) if digits else None for digits in found.groups())
    return begin, end


def archive_response(artifact: Artifact) -> HttpResponseBase:
    """All files and the manifest as one tar, made while it is sent. Not compressed: weights do not compress."""
    name = artifact.name.replace("/", "-")
    paths = [file["path"] for file in artifact.manifest["files"]] + [MANIFEST]
    return _attachment(StreamingHttpResponse(_tar(artifact, name, paths)), f"{name}.tar")


def _attachment(response: StreamingHttpResponse, name: str) -> StreamingHttpResponse:
    # Whatever the file is, no browser shall display it as a page of ours.
    response["Content-Type"] = "application/octet-stream"
    response["Content-Disposition"] = 'attachment; filename="{}"'.format(re.sub(r"[^A-Za-z0-9._-]", "_", name))
    return response


def _pieces(file: IO[bytes], first: int, length: int) -> Iterator[bytes]:
    with file:
        file.seek(first)
        while length > 0 and (piece := file.read(min(PIECE, length))):
            length -= len(piece)
            yield piece


def _tar(artifact: Artifact, folder: str, paths: list[str]) -> Iterator[bytes]:
    for path in paths:
        file = artifact_open(artifact, path)
        entry = tarfile.TarInfo(f"{folder}/{path}")
        entry.size = file.seek(0, 2)
        entry.mtime = int(artifact.created_at.timestamp())
        yield entry.tobuf(tarfile.PAX_FORMAT)
        yield from _pieces(file, 0, entry.size)
        yield b"\0" * (-entry.size % tarfile.BLOCKSIZE)
    yield b"\0" * tarfile.BLOCKSIZE * 2
