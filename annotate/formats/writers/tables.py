"""Pairs as tables: CSV for spreadsheets, Parquet for everything else. Pure; both keep every column."""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Any

import orjson

from annotate.formats.formulas import safe_cell
from annotate.formats.writers.base import CHUNK, File, Options, Row, Writer, said

IDS = ("comparison", "dimension", "split", "chosen_response", "rejected_response")
NUMBERS = ("margin", "weight", "preference")
TALKS = ("prompt", "chosen", "rejected")
KNOWN = {*IDS, *NUMBERS, *TALKS}
HEADER = ("comparison", "dimension", "split", "context", "prompt", "chosen", "rejected", *NUMBERS, *IDS[3:], "extra")
ROW_GROUP = 8 * 2**20


def _extra(row: Row) -> str:
    if len(row) == len(KNOWN):
        return ""
    return orjson.dumps({key: value for key, value in row.items() if key not in KNOWN}).decode()


def _csv(rows: Iterable[Row], options: Options, left_out: Counter[str]) -> Iterator[bytes]:
    """One line a pair. prompt is the last question; context, the conversation before it, is JSON."""
    text = io.StringIO()
    write = csv.writer(text).writerow
    write(HEADER)
    for row in rows:
        *before, last = row["prompt"]
        texts = (last["content"], said(row, "chosen"), said(row, "rejected"))
        ids = [safe_cell(row[key]) for key in IDS]
        context = orjson.dumps(before).decode() if before else ""
        numbers = [repr(float(row[key])) for key in NUMBERS]
        write([*ids[:3], context, *map(safe_cell, texts), *numbers, *ids[3:], _extra(row)])
        if text.tell() >= CHUNK:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()


def _csv_for_excel(rows: Iterable[Row], options: Options, left_out: Counter[str]) -> Iterator[bytes]:
    """The same, behind a byte order mark: without it Excel takes UTF-8 for the code page of its country."""
    yield codecs.BOM_UTF8
    yield from _csv(rows, options, left_out)


def _parquet(rows: Iterable[Row], options: Options, left_out: Counter[str]) -> Iterator[bytes]:
    """Conversations as lists of {role, content}; a row group is about 8 MiB of text, so memory stays small."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    turn = pa.struct([("role", pa.string()), ("content", pa.string())])
    schema = pa.schema(
        [(key, pa.list_(turn)) for key in TALKS]
        + [(key, pa.float64()) for key in NUMBERS]
        + [(key, pa.string()) for key in (*IDS, "extra")]
    )

    def conversations(talks: list[list[dict[str, str]]]) -> Any:
        starts = [0, *accumulate(map(len, talks))]
        turns = [turn for talk in talks for turn in talk]
        roles, contents = ([turn[key] for turn in turns] for key in ("role", "content"))
        flat = pa.StructArray.from_arrays([pa.array(roles, pa.string()), pa.array(contents, pa.string())], fields=turn)
        return pa.ListArray.from_arrays(pa.array(starts, pa.int32()), flat)

    sink = _Sink()
    with pq.ParquetWriter(sink, schema, compression="zstd", store_schema=False) as writer:
        yield sink.taken()
        for batch in _batches(rows):
            columns = [conversations([row[key] for row in batch]) for key in TALKS]
            columns += [pa.array([row[key] for row in batch], pa.float64()) for key in NUMBERS]
            columns += [pa.array([row[key] for row in batch], pa.string()) for key in IDS]
            columns.append(pa.array(list(map(_extra, batch)), pa.string()))
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
            yield sink.taken()
    yield sink.taken()


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    held = 0
    for row in rows:
        batch.append(row)
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
    Writer(
        "csv-excel",
        "CSV for Excel",
        "Excel",
        (File("-excel.csv", "pairs", _csv_for_excel, "text/csv; charset=utf-8"),),
        reads_back="pairs",
    ),
)
