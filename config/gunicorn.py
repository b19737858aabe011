"""gunicorn's settings, for `manage.py serve` and for containers: `gunicorn -c python:config.gunicorn config.wsgi`."""

import os
from pathlib import Path

from config.env import Environment
from config.logging import configuration

ENV = Environment.read(os.environ)

worker_class = "config.worker.Worker"
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
threads = 4
preload_app = True  # the processes share the memory of what they all import
timeout = 60
graceful_timeout = 5
keepalive = 5
max_requests, max_requests_jitter = 10_000, 1_000  # a slow leak in a library must not grow for ever
if Path("/dev/shm").is_dir():  # noqa: S108
    worker_tmp_dir = "/dev/shm"  # noqa: S108  (a heartbeat on a busy disk would get workers killed)
control_socket_disable = True
logconfig_dict = configuration(format=ENV.log_format, level=ENV.log_level)


def on_starting(server: object) -> None:
    """Import all pages before the first process is forked: they share them, and nobody waits for them."""
    from django.urls import get_resolver

    get_resolver().reverse_dict  # noqa: B018
