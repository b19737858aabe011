"""Progress bars of commands: on a terminal's error stream, and nowhere else."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from django.db import connection
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from runs.models import Run


def wanted() -> bool:
    return sys.stderr.isatty()


@contextmanager
def run_watched(run: Run) -> Iterator[None]:
    """Show how far a run is while this process carries it out."""
    if not wanted():
        yield
        return
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(run.pk, done), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _watch(run_id: int, done: threading.Event) -> None:
    """The executor keeps the progress in the database, so it is read there, over this thread's own connection."""
    columns = ("{task.description}", BarColumn(), "{task.completed:,.0f} of {task.total:,.0f}", TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("comparisons", total=0)
        while not done.wait(0.3):
            found = (
                Run.objects.filter(pk=run_id).values_list("progress_done", "progress_total", "progress_note").first()
            )
            if found:
                progress.update(task, completed=found[0], total=found[1], description=found[2] or "starting")
    connection.close()


def bytes_shown(title: str) -> Any:
    """A context whose value, called with a number, counts bytes."""
    if not wanted():
        return nullcontext(lambda size: None)
    return _bytes(title)


@contextmanager
def _bytes(title: str) -> Iterator[Any]:
    columns = (TextColumn("{task.description}"), DownloadColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=None)
        yield lambda size: progress.advance(task, size)


def read_shown(title: str, total: int) -> Any:
    """A context whose value, called with a number, says how many bytes of a file were read so far."""
    if not wanted():
        return nullcontext(None)
    return _read(title, total)


@contextmanager
def _read(title: str, total: int) -> Iterator[Any]:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda done: progress.update(task, completed=done)
