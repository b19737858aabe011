"""Reads: lists of runs, what a run reported, how long it will take."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter

from django.db.models import QuerySet
from django.utils import timezone

from runs import child, kinds
from runs.charts import Point
from runs.documentation import metrics_advice
from runs.logs import log_tail
from runs.models import Run, RunEvent
from runs.states import ACTIVE, CLAIMED, State

LOG_LINES = 200
NUMBERS = (float, int, type(None))
REMEMBERED_RUNS, REMEMBERED_VALUES = 8, 200_000  # by each process, some 30 MB at most for a run

_remembered: dict[tuple[int, datetime], Reported] = {}


@dataclass(frozen=True)
class Alarm:
    """Something a run warned of. `advice` is what docs/metrics.md says to do."""

    name: str
    step: int | None
    message: str
    advice: str


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
    return {name: sorted(values.items(), key=itemgetter(0)) for name, values in _reported(run).series.items()}


@dataclass
class Reported:
    """What a run's first `count` metric events, up to the one with the id `last`, say: value by metric and step."""

    count: int
    last: int
    series: dict[str, dict[int, float | None]]
    values: int = 0


def _reported(run: Run) -> Reported:
    """What a run has reported so far. Every open page asks every two seconds, so only what is new is read.

    Events of a run are added in order, and taken away only when it resumes from an earlier step: then their count is
    another, and all is read again.
    """
    events = RunEvent.objects.filter(run_id=run.pk, type=RunEvent.Type.METRICS, step__isnull=False)
    key = (run.pk, run.created_at)
    known = _remembered.pop(key, None)
    if known is None or events.filter(id__lte=known.last).count() != known.count:
        known = Reported(0, 0, {})
    new = events.filter(id__gt=known.last).order_by("id").values_list("id", "step", "data")
    found = Reported(known.count, known.last, {name: dict(values) for name, values in known.series.items()})
    for pk, step, data in new.iterator(chunk_size=5000):
        found.count, found.last = found.count + 1, pk
        for name, value in data.items():
            if type(value) in NUMBERS:
                found.series.setdefault(name, {})[step] = value
                found.values += 1
    found.values += known.values
    if found.values <= REMEMBERED_VALUES:
        _remembered[key] = found
        while len(_remembered) > REMEMBERED_RUNS:
            _remembered.pop(next(iter(_remembered)), None)
    return found


def alarms(run: Run) -> list[Alarm]:
    """What a run warned of, oldest first; what it warned of again after it was resumed, once."""
    events = RunEvent.objects.filter(run_id=run.pk, type=RunEvent.Type.LOG, data__has_key="alarm").order_by("id")
    found = {}
    for data in events.values_list("data", flat=True):
        name, step = str(data["alarm"]), data.get("at_step")
        message = str(data.get("message", "")).removeprefix("Alarm: ")
        found[name] = Alarm(name, step if type(step) is int else None, message, metrics_advice(name))
    return list(found.values())


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


def kept(run: Run) -> str:
    """What a cancelled run has left of its work, by its kind; empty if nothing, or where this machine lacks it."""
    if run.state != State.CANCELLED or run.kind not in dict(kinds.choices()):
        return ""
    return kinds.get(run.kind).kept(kinds.typed(run))


def domain_url(run: Run) -> str | None:
    """The page of what the run is about, by its kind."""
    try:
        kind = kinds.get(run.kind)
    except KeyError:
        return None
    return kind.detail_url(kinds.typed(run))
