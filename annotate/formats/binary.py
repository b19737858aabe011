"""Parquet and spreadsheets, decoded in a process of their own and read from it as lines. Pure."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal

from annotate.formats.jsonl import Findings, Refused, parse_object
from annotate.formats.limits import CHILD_MEMORY, MAX_COLUMNS, MAX_LINE, MAX_RATIO, RATIO_FROM, size
from annotate.formats.streams import Damaged, lines, spooled

NAMES = {"parquet": "Parquet file", "xlsx": "spreadsheet"}
ENVIRONMENT = {"ARROW_DEFAULT_MEMORY_POOL": "system", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def read_binary(
    stream: IO[bytes], findings: Findings, kind: Literal["parquet", "xlsx"], *, memory: int = CHILD_MEMORY
) -> Iterator[tuple[int, dict]]:
    """Yield (row, object) of a Parquet file (rows from 1) or of a spreadsheet's first sheet (the header is row 1)."""
    findings.unit = "Row"
    number = first = 1 if kind == "xlsx" else 0
    try:
        file = spooled(stream)
    except Damaged as error:
        findings.error(1, str(error))
        return
    with file, tempfile.TemporaryFile() as complaints:
        child = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).with_name("decoder.py")), kind, str(memory), str(MAX_COLUMNS)],
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env=ENVIRONMENT,
        )
        try:
            assert child.stdout
            most, given = max(RATIO_FROM, MAX_RATIO * os.fstat(file.fileno()).st_size), 0
            for number, raw in lines(child.stdout, MAX_LINE):
                number += first
                given += len(raw or b"")
                if given > most:
                    # A dictionary makes millions of rows out of a few bytes.
                    findings.error(
                        number,
                        f"The {NAMES[kind]} becomes more than {MAX_RATIO} times its size ({size(given)} so far).",
                    )
                    return
                if raw is None:
                    findings.error(number, f"The row is longer than {size(MAX_LINE)}.")
                    continue
                if not raw.endswith(b"\n"):
                    break  # the child died within a row
                if raw == b"{}\n":
                    findings.skip(number, "The row is empty.")
                    continue
                try:
                    value = parse_object(raw)
                except Refused as error:
                    findings.error(number, str(error))
                    continue
                yield number, {key: cell for key, cell in value.items() if cell is not None}
            code = child.wait()
        finally:
            child.kill()
            child.wait()
            if child.stdout:
                child.stdout.close()
        if code:
            complaints.seek(0)
            said = complaints.read(400).decode("utf-8", "replace").strip().splitlines()
            reason = said[-1].rstrip(".") if code == 3 and said else f"the reader ended with code {code}"
            findings.error(number + 1, f"The {NAMES[kind]} cannot be read from here on: {reason}.")
        elif number == first:
            findings.error(1, "The file has no rows.")
