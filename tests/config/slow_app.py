"""A WSGI application that answers /slow when it is told to: when a file named in the query is there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path


def application(environ: dict, start_response: Callable) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/slow":
        flag = Path(environ["QUERY_STRING"])
        flag.with_name(f"{flag.name}-begun-{time.monotonic_ns()}").touch()
        while not flag.exists():
            time.sleep(0.01)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "3")])
    return [b"ok\n"]
