"""Pairs as tables: CSV for spreadsheets, Parquet for everything else. Pure; both keep every column."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from annotate.formats.formulas import safe_cell
from annotate.formats.writers.base import CHUNK, File, Options, Row, Writer, said

IDS = ("comparison", "dimension", "split", "chosen_response", "rejected_response")
NUMBERS = ("margin", "weight", "preference")
KNOWN = {*IDS, *NUMBERS, "prompt", "chosen", "rejected"}
HEADER = ("comparison", "dimension", "split", "context", "prompt", "chosen", "rejected", *NUMBERS, *IDS[3:], "extra")
ROW_GROUP = 16 * 2**20


def _extra(row: Row) -> str:
    more = {key: value for key, value in row.items() if key not in KNOWN}
    return orjson.dumps(more).decode() if more else ""


def _csv(rows: Iterable[Row], options: Options, left_out: Counter[str]) -> Iterator[bytes]:
    """One line a pair. prompt is the last question; context, the conversation before it, is JSON."""
    text = io.StringIO()
    write = csv.writer(text).writerow
    write(HEADER)
    for row in rows:
        *before, last = row["prompt"]
        cells = {key: str(row[key]) for key in IDS} | {key: repr(float(row[key])) for key in NUMBERS}
        cells |= {"prompt": last["content"], "chosen": said(row, "chosen"), "rejected": said(row, "rejected")}
        cells = {key: safe_cell(cell) if key not in NUMBERS else cell for key, cell in cells.items()}
        cells["context"] = orjson.dumps(before).decode() if before else ""
        cells["extra"] = _extra(row)
        write([cells[key] for key in HEADER])
        if text.tell() >= CHUNK:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()


def _parquet(rows: Iterable[Row], options: Options, left_out: Counter[str]) -> Iterator[bytes]:
    """Conversations as lists of {role, content}; a row group is about 16 MiB, so memory stays small."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    messages = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    fields = [("prompt", messages), ("chosen", messages), ("rejected", messages)]
    fields += [(key, pa.float64()) for key in NUMBERS] + [(key, pa.string()) for key in (*IDS, "extra")]
    schema = pa.schema(fields)
    sink = _Sink()
    with pq.ParquetWriter(sink, schema, compression="zstd", store_schema=False) as writer:
        for batch in _batches(rows):
            writer.write_table(pa.Table.from_pylist(batch, schema))
            yield sink.taken()
    yield sink.taken()


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    held = 0
    for row in rows:
        batch.append({**{key: row[key] for key in KNOWN}, "extra": _extra(row)})
        held += sum(len(turn["content"]) for turn in row["prompt"]) + len(said(row, "chosen"))
        held += len(said(row, "rejected")) + 400
        if held >= ROW_GROUP:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


class _Sink(io.RawIOBase):
    """Keeps what was written since the last look."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.total = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        count = memoryview(data).nbytes
        self.buffer += data
        self.total += count
        return count

    def tell(self) -> int:
        return self.total

    def taken(self) -> bytes:
        data = bytes(self.buffer)
        self.buffer.clear()
        return data


WRITERS = (
    Writer(
        "parquet",
        "Parquet",
        "datasets, pandas, pyarrow",
        (File("-pairs.parquet", "pairs", _parquet, "application/vnd.apache.parquet"),),
        reads_back="pairs",
    ),
    Writer(
        "csv",
        "CSV",
        "pandas, spreadsheets",
        (File("-pairs.csv", "pairs", _csv, "text/csv; charset=utf-8"),),
        reads_back="pairs",
    ),
)
