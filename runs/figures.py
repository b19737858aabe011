"""A run's metrics as figures to look at: what is drawn together, with its last values and its numbers."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.cache import cache
from django.utils.safestring import SafeString, mark_safe
from redis.exceptions import RedisError

from config.templatetags.plumbline import number
from runs import metrics
from runs.charts import Chart, Point, averaged, downsample, lines_chart, smoothed, stacked_chart
from runs.models import Run
from runs.selectors import Alarm, metric_points

POINTS = 150  # of a line; a chart is not wider on any screen
LAYERS = 120  # steps of a stack
TABLE_ROWS = 20
SMOOTHED_FROM = 20  # points; of fewer, an average says less than they do
STYLES = 6  # looks of lines that the style sheet tells apart
REDRAW = 20  # charts of an active run are drawn again after this many times the time that drawing took


@dataclass(frozen=True)
class Drawn:
    """One line of a figure with its legend. `steps` and `values` are what was drawn, for whoever points at it."""

    name: str
    metric: metrics.Metric
    look: int  # 1..STYLES
    last: float
    last_step: float
    steps: str
    values: str


@dataclass(frozen=True)
class Figure:
    """One chart. `smooth` are the paths of the averages, where they were asked for."""

    name: str
    plot: metrics.Plot
    chart: Chart
    lines: list[Drawn]
    smooth: list[tuple[int, str]]
    level: float | None
    count: int  # steps that reported the first line
    rows: SafeString  # of the table beside the chart: the step and the value of each line
    marks: list[tuple[float, str]]  # SVG x and what happened there

    @property
    def unit(self) -> str:
        """What all its lines are counted in; empty if they differ."""
        units = {line.metric.unit for line in self.lines}
        return units.pop() if len(units) == 1 else ""

    @property
    def pairs(self) -> list[tuple[Drawn, Any]]:
        return list(zip(self.lines, self.chart.lines, strict=False))


@dataclass(frozen=True)
class Subject:
    heading: str  # empty where a run has one subject only
    figures: list[Figure]


def run_figures(run: Run, alarms: Sequence[Alarm] = (), *, smooth: bool = False) -> list[Subject]:
    """The charts of a run by subject, in the order in which its app registered them.

    Tens of thousands of steps take a good part of a second to draw, and every open page asks every two seconds: then
    what was drawn is shown again for a while. A run that has ended is always drawn to its end.
    """
    state = f"{run.created_at.timestamp()}.{run.state}.{run.queued_at.timestamp()}"
    key = f"runs.figures.{run.pk}.{state}.{smooth:d}.{len(alarms)}"
    try:
        drawn = cache.get(key)
    except RedisError:
        drawn = None
    if drawn is not None:
        return drawn
    began = time.monotonic()
    drawn = _draw(run, alarms, smooth)
    took = time.monotonic() - began
    if took > 0.1:
        with contextlib.suppress(RedisError):
            cache.set(key, drawn, took * REDRAW if run.is_active else 3600)
    return drawn


def _draw(run: Run, alarms: Sequence[Alarm], smooth: bool) -> list[Subject]:
    series = {
        name: points for name, points in metric_points(run).items() if any(value is not None for _, value in points)
    }
    subjects = []
    for heading, plots in metrics.plots_of(run.kind, series.keys()):
        figures = [
            _figure(plot, {name: series[name] for name in names}, run.config, alarms, smooth) for plot, names in plots
        ]
        subjects.append(Subject(heading, [figure for figure in figures if figure is not None]))
    return subjects if len(subjects) > 1 else [Subject("", each.figures) for each in subjects]


def _figure(
    plot: metrics.Plot,
    series: dict[str, list[Point]],
    config: dict[str, Any],
    alarms: Sequence[Alarm],
    smooth: bool,
) -> Figure | None:
    places = [(float(alarm.step), alarm.message) for alarm in alarms if alarm.step is not None]
    level = _level(plot, config)
    if plot.stacked:
        shown = [averaged(points, LAYERS) for points in _on_same_steps(list(series.values()))]
        averages: list[list[Point]] = []
        chart = stacked_chart(shown, marks=[step for step, _ in places])
    else:
        shown = [downsample(points, POINTS) for points in series.values()]
        averages = [
            downsample(smoothed(points), POINTS)
            for points in series.values()
            if smooth and len(points) >= SMOOTHED_FROM
        ]
        chart = lines_chart([*shown, *averages], marks=[step for step, _ in places], level=level)
    if chart is None:
        return None
    looks = [index % STYLES + 1 for index in range(len(series))]
    lines = [_drawn(name, look, series[name], points) for name, look, points in zip(series, looks, shown, strict=True)]
    averaged_looks = [look for look, points in zip(looks, series.values(), strict=True) if len(points) >= SMOOTHED_FROM]
    paths = [line.path for line in chart.lines[len(shown) :]]
    inside = [message for step, message in places if chart.x_low <= step <= chart.x_high]
    name = next(iter(series))
    return Figure(
        name=name,
        plot=plot,
        chart=chart,
        lines=lines,
        smooth=list(zip(averaged_looks, paths, strict=False)),
        level=level,
        count=len(series[name]),
        rows=_rows(shown),
        marks=list(zip(chart.marks, inside, strict=True)),
    )


def _level(plot: metrics.Plot, config: dict[str, Any]) -> float | None:
    if not plot.level or (plot.level_when and config.get(plot.level_when[0]) != plot.level_when[1]):
        return None
    value = config.get(plot.level)
    return float(value) if isinstance(value, int | float) else None


def _drawn(name: str, look: int, points: list[Point], shown: list[Point]) -> Drawn:
    last_step, last = next((step, value) for step, value in reversed(points) if value is not None)
    finite = [(step, value) for step, value in shown if value is not None]
    return Drawn(
        name=name,
        metric=metrics.describe(name),
        look=look,
        last=last,
        last_step=last_step,
        steps=" ".join([f"{step:g}" if step < 1e5 else str(int(step)) for step, _ in finite]),
        values=" ".join([f"{value:.4g}" for _, value in finite]),
    )


def _rows(shown: list[list[Point]]) -> SafeString:
    """Some steps, the first and the last among them, and what each line had there.

    As HTML, for a thousand cells take a template longer than all else on the page.
    """
    steps = [step for step, _ in downsample(max(shown, key=len), TABLE_ROWS)]
    values = [dict(points) for points in shown]
    rows = [[number(step), *(number(line.get(step), 4) for line in values)] for step in steps]
    cells = "</tr><tr>".join("".join([f'<td class="num">{cell}</td>' for cell in row]) for row in rows)
    return mark_safe(f"<tr>{cells}</tr>")  # noqa: S308 - numbers only


def _on_same_steps(layers: list[list[Point]]) -> list[list[Point]]:
    """Every layer at every step that any of them has; what is absent took no time."""
    found = [dict(points) for points in layers]
    steps = sorted({step for points in found for step in points})
    return [[(step, points.get(step)) for step in steps] for points in found]
