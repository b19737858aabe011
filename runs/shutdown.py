"""Whether this worker is going down, so that a run gives itself back instead of being lost.

Celery's warm shutdown waits for running tasks but does not tell them. The main process sets one byte of shared memory
that its pool processes inherited; a signal handler may do that much.
"""

from __future__ import annotations

import mmap
from typing import Any

from celery.signals import worker_shutting_down

_flag = mmap.mmap(-1, 1)


def requested() -> bool:
    return _flag[0] == 1


@worker_shutting_down.connect(weak=False)
def _shutting_down(**_: Any) -> None:
    _flag[0] = 1
