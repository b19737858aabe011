"""Decodes one Parquet file or spreadsheet from its standard input to JSON Lines: a program of its own.

These formats are read by large libraries that trust what a file says of itself, so a hostile one is read where it can
only hurt a process that was started for it and may not use much memory. Run by `annotate.formats.binary`, isolated
from the project: it imports nothing of it.

    python -I decoder.py (parquet|xlsx) MEMORY COLUMNS < file
"""

from __future__ import annotations

import datetime
import decimal
import json
import os
import sys
import zipfile
from collections.abc import Iterator
from typing import IO, Any

BATCH = 64
WHOLE = 2**25
SHEET_BYTES = 256 * 2**20


class Unreadable(ValueError):
    pass


def parquet_rows(file: IO[bytes], columns: int) -> Iterator[dict[str, Any]]:
    """Every row as plain values. Binary columns are left out; other types that JSON lacks become text."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pa.set_cpu_count(1)
    table = pq.ParquetFile(file, pre_buffer=False, buffer_size=2**20)
    schema = table.schema_arrow
    if len(schema.names) > columns:
        raise Unreadable(f"It has more than {columns} columns.")
    names = [field.name for field in schema if not pa.types.is_binary(field.type)]
    if len(set(names)) != len(names):
        raise Unreadable("A column appears twice.")
    for batch in table.iter_batches(batch_size=BATCH, columns=names, use_threads=False):
        if batch.nbytes <= WHOLE:
            yield from batch.to_pylist()
            continue
        for row in range(batch.num_rows):
            # A row at a time: a dictionary may make a batch of long values out of few bytes.
            yield from batch.slice(row, 1).to_pylist()


def sheet_rows(file: IO[bytes], columns: int) -> Iterator[dict[str, Any]]:
    """The first sheet's rows after its header; a row without a cell is an empty object."""
    import openpyxl

    with zipfile.ZipFile(file) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > SHEET_BYTES:
            raise Unreadable(f"Unpacked, the spreadsheet is larger than {SHEET_BYTES // 2**20} MiB.")
    file.seek(0)
    book = openpyxl.load_workbook(file, read_only=True, data_only=True)
    header: list[str] | None = None
    for cells in book.worksheets[0].iter_rows(values_only=True, max_col=columns + 1):
        if header is None:
            header = ["" if cell is None else str(cell).strip() for cell in cells]
            while header and not header[-1]:
                header.pop()
            if len(header) > columns:
                raise Unreadable(f"It has more than {columns} columns.")
            if not all(header) or len(set(header)) != len(header):
                raise Unreadable("The first row must name the columns, each differently.")
            continue
        yield {name: cell for name, cell in zip(header, cells, strict=False) if cell is not None}


def plain(value: Any) -> Any:
    """What JSON has no word for."""
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal | datetime.timedelta):
        return str(value)
    if isinstance(value, bytes):
        return None
    raise Unreadable(f"A cell holds {type(value).__name__}, which has no form in JSON.")


def bounded(memory: int) -> None:
    """No more memory than this, so that a hostile file ends this process and nothing else."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, ValueError, OSError):  # a system without such limits
        pass


def main() -> int:
    kind, memory, columns = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    bounded(memory)
    rows = {"parquet": parquet_rows, "xlsx": sheet_rows}[kind]
    encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=plain).encode
    out = sys.stdout.buffer
    try:
        with os.fdopen(0, "rb") as file:
            for row in rows(file, columns):
                out.write(encode(row).encode("utf-8", "surrogatepass"))
                out.write(b"\n")
        out.flush()
    except BrokenPipeError:
        return 0
    except MemoryError:
        complaint = f"Reading it needs more than {memory // 2**20} MiB of memory."
    except Exception as error:
        complaint = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if "malloc" in complaint or "realloc" in complaint or "Out of memory" in complaint:
            complaint = f"Reading it needs more than {memory // 2**20} MiB of memory."
    else:
        return 0
    try:
        out.flush()
        sys.stderr.write(complaint[:300])
    except BrokenPipeError:
        pass
    return 3


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # the libraries' threads and caches need no farewell
