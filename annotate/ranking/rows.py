"""Rows as model instances where the SQL is written by hand.

What every request of every annotator asks for is asked in SQL: Django spends more time on writing such a query with its
joins than PostgreSQL on answering it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import JSONField, Model

M = TypeVar("M", bound=Model)


def columns(model: type[Model], alias: str) -> str:
    """All columns of a model, for a SELECT in which its table is called `alias`."""
    return ", ".join(f'{alias}."{field.column}"' for field in model._meta.concrete_fields)


def fetch_joined(sql: str, params: Sequence[object], *models: type[Model]) -> list[Any] | None:
    """The first row as one instance of each model, whose columns were selected one after another; or None."""
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        row = cursor.fetchone()
    if row is None:
        return None
    instances, start = [], 0
    for model in models:
        end = start + len(_names(model))
        instances.append(instance(model, row[start:end]))
        start = end
    return instances


def fetch_all(sql: str, params: Sequence[object], model: type[M]) -> list[M]:
    """Each row, all of whose columns were selected, as an instance."""
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return [instance(model, row) for row in cursor.fetchall()]


def instance(model: type[M], values: Sequence[Any]) -> M:
    """A saved instance from the values of all its columns, in their order."""
    given = list(values)
    for at in _json_places(model):
        if given[at] is not None:
            given[at] = json.loads(given[at])
    return model.from_db(DEFAULT_DB_ALIAS, _names(model), given)


@cache
def _names(model: type[Model]) -> list[str]:
    return [field.attname for field in model._meta.concrete_fields]


@cache
def _json_places(model: type[Model]) -> list[int]:
    return [at for at, field in enumerate(model._meta.concrete_fields) if isinstance(field, JSONField)]
