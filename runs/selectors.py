"""Reads: lists of runs, what a run reported, how long it will take."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from datetime import timedelta
from operator import itemgetter

from django.core.cache import cache
from django.db.models import QuerySet
from django.utils import timezone
from redis.exceptions import RedisError

from runs import child, kinds, metrics
from runs.charts import Chart, Point, downsample, line_chart
from runs.logs import log_tail
from runs.models import Run, RunEvent
from runs.states import ACTIVE, CLAIMED, State

LOG_LINES = 200
TABLE_ROWS = 40
NUMBERS = (float, int, type(None))
REDRAW = 20  # charts of an active run are drawn again after this many times the time that drawing took


@dataclass(frozen=True)
class Series:
    """One metric of one run, ready to be drawn."""

    name: str
    metric: metrics.Metric
    chart: Chart
    last: float
    count: int  # steps that reported it
    rows: list[Point]  # for the table beside the chart, at most TABLE_ROWS


def runs_list(*, kind: str = "", state: str = "") -> QuerySet[Run]:
    """Runs, newest first. `state` may also be "active"."""
    runs = Run.objects.select_related("created_by").defer("error_detail", "result", "config")
    if kind:
        runs = runs.filter(kind=kind)
    if state == "active":
        runs = runs.filter(state__in=ACTIVE)
    elif state:
        runs = runs.filter(state=state)
    return runs.order_by("-id")


def dashboard_runs(most: int = 6) -> dict[str, object]:
    """Running ones first, then those that wait, then the latest that ended."""
    active = list(runs_list().filter(state__in=CLAIMED)[:most])
    active += list(runs_list(state=State.QUEUED)[: most - len(active)])
    ended = list(runs_list().exclude(state__in=ACTIVE)[: max(most - len(active), 2)])
    rows = [{"run": run, "label": kinds.label(run.kind), "left": time_left(run)} for run in (*active, *ended)]
    return {"rows": rows, "is_live": bool(active)}


def metric_points(run: Run) -> dict[str, list[Point]]:
    """Every metric of a run as (step, value), sorted by step. Of a step reported twice, the later report counts."""
    series: dict[str, dict[int, float | None]] = {}
    events = RunEvent.objects.filter(run_id=run.pk, type=RunEvent.Type.METRICS, step__isnull=False).order_by("id")
    for step, data in events.values_list("step", "data").iterator(chunk_size=5000):
        for name, value in data.items():
            if type(value) in NUMBERS:
                series.setdefault(name, {})[step] = value
    return {name: sorted(values.items(), key=itemgetter(0)) for name, values in series.items()}


def metric_series(run: Run) -> list[Series]:
    """The charts of a run, in the order in which its app registered the metrics.

    Tens of thousands of steps take a good part of a second to draw, and every open page asks every two seconds: then
    what was drawn is shown again for a while. A run that has ended is always drawn to its end.
    """
    key = f"runs.series.{run.pk}.{run.created_at.timestamp()}.{run.state}.{run.queued_at.timestamp()}"
    try:
        drawn = cache.get(key)
    except RedisError:
        drawn = None
    if drawn is not None:
        return drawn
    began = time.monotonic()
    drawn = _draw(run)
    took = time.monotonic() - began
    if took > 0.1:
        with contextlib.suppress(RedisError):
            cache.set(key, drawn, took * REDRAW if run.is_active else 3600)
    return drawn


def _draw(run: Run) -> list[Series]:
    found = []
    for name, points in sorted(metric_points(run).items(), key=lambda item: metrics.place(item[0])):
        drawn = downsample(points)
        chart = line_chart(drawn)
        if chart is None:
            continue
        last = next(value for _, value in reversed(points) if value is not None)
        rows = downsample(drawn, TABLE_ROWS)
        found.append(Series(name, metrics.describe(name), chart, last, len(points), rows))
    return found


def samples(run: Run, most: int = 4) -> list[RunEvent]:
    """The newest samples, newest first."""
    return list(RunEvent.objects.filter(run_id=run.pk, type=RunEvent.Type.SAMPLE).order_by("-id")[:most])


def history(run: Run, most: int = 30) -> list[RunEvent]:
    """State changes and log events, oldest first; of many, the newest."""
    types = (RunEvent.Type.STATE, RunEvent.Type.LOG)
    return list(RunEvent.objects.filter(run_id=run.pk, type__in=types).order_by("-id")[:most])[::-1]


def log_lines(run: Run, lines: int = LOG_LINES) -> list[str]:
    """The end of the run's log, [] where this machine does not have it."""
    return log_tail(run.directory / child.LOG, lines)


def time_left(run: Run) -> timedelta | None:
    """An estimate from the pace of the present stretch of progress; None while there is nothing to judge by."""
    if run.state != State.RUNNING or run.progress_from_at is None or run.progress_total <= 0:
        return None
    done = run.progress_done - run.progress_from
    if done <= 0:
        return None
    passed = timezone.now() - run.progress_from_at
    return max(passed / done * (run.progress_total - run.progress_done), timedelta(0))


def domain_url(run: Run) -> str | None:
    """The page of what the run is about, by its kind."""
    try:
        kind = kinds.get(run.kind)
    except KeyError:
        return None
    return kind.detail_url(kinds.typed(run))
