"""Middleware: a request id on every log line and response, and one line for every request."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponse

log = structlog.get_logger(__name__)
_SAFE = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")


class RequestIdMiddleware:
    """Bind a request id to the logs; a proxy's X-Request-ID is kept if it is harmless to print."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-ID", "")
        request_id = given if _SAFE.match(given) else uuid.uuid4().hex[:16]
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            began = time.perf_counter()
            response = self.get_response(request)
            _log_request(request, response, time.perf_counter() - began)
        response["X-Request-ID"] = request_id
        return response


def _log_request(request: HttpRequest, response: HttpResponse, seconds: float) -> None:
    if request.resolver_match is None and response.status_code < 400:  # static files and health checks
        return
    path = request.path
    if request.resolver_match and (token := request.resolver_match.kwargs.get("token")):
        path = path.replace(str(token), "***")  # whoever reads the log must not be able to use an invitation
    user = getattr(request, "user", None)
    log.info(
        "request",
        method=request.method,
        path=path,
        status=response.status_code,
        ms=round(1000 * seconds, 1),
        user=user.pk if user is not None else None,
    )
