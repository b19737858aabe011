"""`/healthz`: this process answers. `/readyz`: it can do its work, that is, reach the database and the broker.

They are answered by a middleware before anything looks at the Host header: a probe calls by address, not by name.
"""

from __future__ import annotations

from collections.abc import Callable

import redis
import structlog
from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse

log = structlog.get_logger(__name__)


class HealthMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        answer = {"/healthz": healthz, "/readyz": readyz}.get(request.path)
        if answer is None:
            return self.get_response(request)
        response = answer()
        response["Cache-Control"] = "no-store"
        return response


def healthz() -> HttpResponse:
    return HttpResponse("ok\n", content_type="text/plain")


def readyz() -> JsonResponse:
    """200 or 503 with what is wrong by name. Details go to the log only: anybody may ask."""
    checks: dict[str, Callable[[], None]] = {"database": _database, "migrations": _migrations, "broker": _broker}
    states: dict[str, str] = {}
    for name, check in checks.items():
        try:
            check()
            states[name] = "ok"
        except Exception as error:
            states[name] = "failed"
            log.warning("not ready", check=name, error=str(error))
    ready = all(state == "ok" for state in states.values())
    return JsonResponse({"ready": ready, "checks": states}, status=200 if ready else 503)


def _database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


_migrated = False


def _migrations() -> None:
    """Once they are all applied they stay so for the life of a process, so the question is asked until then."""
    global _migrated
    if not _migrated:
        executor = MigrationExecutor(connection)
        if missing := executor.migration_plan(executor.loader.graph.leaf_nodes()):
            raise RuntimeError(f"{len(missing)} migrations are not applied")
        _migrated = True


def _broker() -> None:
    with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2) as client:
        client.ping()
