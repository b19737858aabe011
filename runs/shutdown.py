"""Whether this worker is going down, so that a run gives itself back instead of being lost.

Celery's warm shutdown waits for running tasks but does not tell them. The main process sets one byte of shared memory
that its pool processes inherited; a signal handler may do that much.
"""

from __future__ import annotations

import mmap
import os
from typing import Any

from celery.signals import worker_process_init, worker_shutting_down

_flag = mmap.mmap(-1, 1)
_main: int | None = None


def requested() -> bool:
    """Whether the worker was asked to stop, or its main process is gone and another may be starting in its place."""
    return _flag[0] == 1 or (_main is not None and os.getppid() != _main)


@worker_shutting_down.connect(weak=False)
def _shutting_down(**_: Any) -> None:
    _flag[0] = 1


@worker_process_init.connect(weak=False)
def _pool_process(**_: Any) -> None:
    global _main
    _main = os.getppid()
