"""The Celery application. Queues: `default` for light work, `gpu` for training and local generation."""

from __future__ import annotations

import os
from typing import Any

import structlog
from celery import Celery
from celery.signals import beat_init, celeryd_init, setup_logging, task_postrun, task_prerun

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
app = Celery("plumbline")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def _keep_our_logging(**_: Any) -> None:
    """A receiver is enough for Celery to leave the logging of the settings alone."""


@celeryd_init.connect
@beat_init.connect
def _prepare(**_: Any) -> None:
    from django.conf import settings

    from config import embedded

    (settings.VAR / "run").mkdir(parents=True, exist_ok=True)  # beat keeps its schedule there
    if settings.EMBEDDED:
        embedded.ensure(settings.VAR)


@task_prerun.connect
def _name_the_task(task_id: str, task: Any, **_: Any) -> None:
    structlog.contextvars.bind_contextvars(task=task.name, task_id=task_id)


@task_postrun.connect
def _forget_the_task(**_: Any) -> None:
    structlog.contextvars.clear_contextvars()
