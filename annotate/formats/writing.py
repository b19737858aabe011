"""Every format that a dataset version can be written in, by key, and the streaming of one. Pure.

    for name, chunks in export("trl", Path("version"), Options(dimension="helpfulness")):
        with open(name, "wb") as file:
            file.writelines(chunks)

The same version and options give the same bytes (Parquet: with the same pyarrow).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from annotate.formats.writers import preference, responses, tables
from annotate.formats.writers.base import Options, Writer, read_rows

BYTES = 1  # raise it when a format is written otherwise: who has half of a file then gets all of it anew

FORMATS_OUT: dict[str, Writer] = {
    writer.key: writer for writer in (*preference.WRITERS, *responses.WRITERS, *tables.WRITERS)
}


def export(
    key: str, directory: Path, options: Options | None = None, left_out: Counter[str] | None = None
) -> Iterator[tuple[str, Iterator[bytes]]]:
    """(file name, its bytes in chunks) of every file of a format, from the directory of a dataset version.

    The chunks of one file are to be taken before the next file is asked for. left_out: counts, by reason, rows that the
    format cannot hold; complete when the last chunk was taken.
    """
    options = options or Options()
    counter = Counter() if left_out is None else left_out
    for file in FORMATS_OUT[key].files:
        rows = read_rows(directory / f"{file.source}.jsonl", options) if file.source else iter(())
        yield file.name(options), file.write(rows, options, counter)
