"""Rows into PostgreSQL by COPY: the only way in that is fast enough for files of hundreds of megabytes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
from django.db import connection

NULL = "\\N"


def text(value: str) -> str:
    """A text as COPY reads it."""
    if "\\" in value:
        value = value.replace("\\", "\\\\")
    if "\n" in value:
        value = value.replace("\n", "\\n")
    if "\t" in value:
        value = value.replace("\t", "\\t")
    if "\r" in value:
        value = value.replace("\r", "\\r")
    return value


def json(value: Any) -> str:
    return "{}" if value == {} else text(orjson.dumps(value).decode())


def array(values: Iterable[str]) -> str:
    """A list of texts as PostgreSQL writes an array."""
    quoted = ('"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for value in values)
    return text("{" + ",".join(quoted) + "}")


def copy_rows(table: str, columns: str, lines: list[str]) -> None:
    """Write lines of cells, tabs between them. `table` and `columns` are ours, never a stranger's."""
    if not lines:
        return
    # Django wraps the errors of what it sends itself, and COPY goes past it.
    command = f"COPY {table} ({columns}) FROM STDIN"
    with connection.wrap_database_errors, connection.cursor() as cursor, cursor.copy(command) as copy:
        lines.append("")
        copy.write("\n".join(lines).encode())


def new_ids(table: str, count: int) -> list[int]:
    """So many ids that nobody else gets."""
    if not count:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT array_agg(nextval(s)) FROM (SELECT pg_get_serial_sequence(%s, 'id')::regclass AS s) one,"
            " generate_series(1, %s)",
            [table, count],
        )
        return cursor.fetchone()[0]
