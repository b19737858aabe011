"""The child's log.txt, read from its end."""

from __future__ import annotations

import os
from pathlib import Path


def log_tail(path: Path, lines: int, most_bytes: int = 128 * 1024) -> list[str]:
    """The last lines of a log, [] if there is none. What a progress bar overwrote in its line is left out."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - most_bytes, 0))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    if not text.strip():
        return []
    return [line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.rstrip().split("\n")][-lines:]
