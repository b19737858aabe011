"""The Celery face of runs. A message is only a nudge: lost or doubled, it harms nothing."""

from __future__ import annotations

import os
import socket

from celery import shared_task

from runs import services


@shared_task(name="runs.tasks.execute")
def execute(run_id: int) -> None:
    """Claim the run if it still waits, and work on it to its end."""
    from runs.executor import run_execute

    run_execute(run_id=run_id, worker=f"{socket.gethostname()}:{os.getpid()}")


@shared_task(name="runs.tasks.reap")
def reap() -> int:
    return services.runs_reap()


@shared_task(name="runs.tasks.nudge")
def nudge() -> int:
    return services.runs_nudge()
