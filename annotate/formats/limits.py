"""How large a stranger's file may be. Every limit is named in the complaint that it causes. Pure."""

from __future__ import annotations

MAX_LINE = 8 * 2**20
"""Bytes of one line, JSON value or CSV record. What is longer is complained of and never held."""

MAX_COLUMNS = 512
"""Columns of a table, and keys of one object."""

MAX_DEPTH = 64
"""Lists and objects inside each other."""

MAX_RATIO = 400
"""How many times its size a compressed file, Parquet or spreadsheet may become, from `RATIO_FROM` bytes on."""

RATIO_FROM = 64 * 2**20

MAX_SPOOL = 16 * 2**30
"""Bytes that may lie in a temporary file, for containers that can only be read with seeks."""

MAX_WINDOW = 2**27
"""Bytes that a Zstandard file may ask to look back: what its strongest level needs."""

CHILD_MEMORY = 2**30
"""Bytes that the child process may use that decodes Parquet and spreadsheets."""

MAX_GROUP = 1_000
"""Rows that make one record together, such as the votes on one pair."""

MAX_RESPONSES = 64
"""Responses to one prompt in one record: what people can compare, and more than any published data has."""

MAX_COMPANION = 256 * 2**20
"""Bytes of the file of texts that a file of votes refers to."""


def size(count: int) -> str:
    """A number of bytes for people."""
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count} bytes"
