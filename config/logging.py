"""Structured logs: one line an event, with the request or run it belongs to, for people or as JSON.

Everything goes to stderr; `serve` and container engines keep it. Bind what is common to many lines with
`structlog.contextvars.bound_contextvars(request_id=...)` or `(run=...)`; the standard library's loggers (Django,
Celery, gunicorn) pass through the same processors and carry the same ids.
"""

from __future__ import annotations

import logging.config
from typing import Any, Literal

import structlog

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def configure(*, format: Literal["console", "json"], level: str) -> None:
    """Set up structlog and the standard library's logging for this process; may be called again."""
    logging.config.dictConfig(configuration(format=format, level=level))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def configuration(*, format: Literal["console", "json"], level: str) -> dict[str, Any]:
    """The standard library's half, as gunicorn wants it too."""
    rendering: list[Any] = (
        [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer(ensure_ascii=False)]
        if format == "json"
        else [structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)]
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "lines": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": _SHARED,
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # A page of somebody else's 404s helps nobody; 5xx are logged by django.request as errors.
            "django.request": {"level": "ERROR"},
            "django.db.backends": {"level": "WARNING"},
            "gunicorn.error": {"level": level, "propagate": True, "handlers": []},
            "gunicorn.access": {"level": "WARNING", "propagate": True, "handlers": []},  # config.middleware says more
            "celery": {"level": level},
            # Every tick of beat would be three lines a time. Failures are errors; runs log their own lives.
            "celery.beat": {"level": "WARNING"},
            "celery.worker.strategy": {"level": "WARNING"},
            "celery.app.trace": {"level": "WARNING"},
            "kombu": {"level": "WARNING"},
            "httpx": {"level": "WARNING"},
        },
    }
