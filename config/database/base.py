"""Django's PostgreSQL backend, which starts the embedded server on the first connection of a process."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import OperationalError
from django.db.backends.postgresql import base

from config import embedded


class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        try:
            embedded.ensure(settings.VAR)
        except embedded.EmbeddedServerError as error:
            raise OperationalError(str(error)) from error
        return super().get_new_connection(conn_params)
