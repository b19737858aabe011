"""The quality page's charts as geometry, in the manner of runs.charts: figures in, SVG coordinates out. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from runs.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Tick, label, ticks

ROW = 20  # SVG units from one annotator to the next
NAMES = 108  # room for their names
LONGEST_NAME = 16


@dataclass(frozen=True)
class Interval:
    """A value with its interval at a place: (x, y) with low and high along the other axis, None where it has none."""

    x: float
    y: float
    low: float | None
    high: float | None
    label: str = ""
    flagged: bool = False


@dataclass(frozen=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    label: str
    interval: Interval | None = None


@dataclass(frozen=True)
class Plot:
    """What a template draws. baseline: where chance lies along the axis of the values, None if off the plot."""

    x_ticks: list[Tick]
    y_ticks: list[Tick]
    path: str = ""
    band: str = ""
    points: Sequence[Interval] = ()
    bars: Sequence[Bar] = ()
    baseline: float | None = None
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


Estimate = tuple[float, float | None, float | None]  # value, low, high


def band_chart(points: Sequence[tuple[str, Estimate]], *, chance: float) -> Plot | None:
    """Values in order of time with a band of their intervals; chance is a line. None of nothing."""
    if not points:
        return None
    every = [bound for _, estimate in points for bound in estimate if bound is not None]
    scale = ticks(min([*every, chance]), max([*every, chance]), 4)
    y_at = _along(scale[0], scale[-1], HEIGHT - BOTTOM, TOP)
    step = (WIDTH - LEFT - RIGHT) / max(len(points), 1)
    xs = [round(LEFT + step * (n + 0.5), 1) for n in range(len(points))]
    marks = [
        Interval(x, y_at(value), _maybe(y_at, low), _maybe(y_at, high), name)
        for x, (name, (value, low, high)) in zip(xs, points, strict=True)
    ]
    sure = [mark for mark in marks if mark.low is not None and mark.high is not None]
    upper = [f"{mark.x} {mark.high}" for mark in sure]
    lower = [f"{mark.x} {mark.low}" for mark in reversed(sure)]
    every_nth = math.ceil(len(points) / 5)
    return Plot(
        x_ticks=[Tick(mark.x, mark.label[5:]) for n, mark in enumerate(marks) if n % every_nth == 0],
        y_ticks=[Tick(y_at(value), _percent(value)) for value in scale],
        path="M" + "L".join(f"{mark.x} {mark.y}" for mark in marks) if len(marks) > 1 else "",
        band="M" + "L".join([*upper, *lower]) + "Z" if len(sure) > 1 else "",
        points=marks,
        baseline=y_at(chance),
    )


def dot_plot(rows: Sequence[tuple[str, Estimate, bool]], *, chance: float, low: float = 0.0, high: float = 1.0) -> Plot:
    """One row a person: a dot with its interval along a shared axis. rows: (name, estimate, flagged)."""
    height = TOP + BOTTOM + ROW * len(rows)
    scale = ticks(low, high, 4)
    x_at = _along(scale[0], scale[-1], NAMES, WIDTH - RIGHT)
    points = [
        Interval(
            x_at(value), TOP + ROW * (n + 0.5), _maybe(x_at, below), _maybe(x_at, above), _short(name), flagged
        )
        for n, (name, (value, below, above), flagged) in enumerate(rows)
    ]  # fmt: skip
    return Plot(
        x_ticks=[Tick(x_at(value), label(value, scale[1] - scale[0])) for value in scale],
        y_ticks=[],
        points=points,
        baseline=x_at(chance),
        height=height,
        left=NAMES,
        bottom=height - BOTTOM,
    )


def bar_chart(bars: Sequence[tuple[str, Estimate]], *, chance: float | None = None, share: bool = True) -> Plot | None:
    """Bars from 0 on, with intervals where they have them. share: the values are shares, and shown in per cent."""
    if not bars:
        return None
    highest = max([*(high if high is not None else value for _, (value, _, high) in bars), chance or 0.0])
    scale = [value for value in ticks(0.0, highest or 1.0, 4) if value >= 0]
    y_at = _along(0.0, scale[-1], HEIGHT - BOTTOM, TOP)
    step = (WIDTH - LEFT - RIGHT) / len(bars)
    drawn = []
    for n, (name, (value, low, high)) in enumerate(bars):
        x = LEFT + step * n + step * 0.15
        middle = round(LEFT + step * (n + 0.5), 1)
        interval = None if low is None or high is None else Interval(middle, y_at(value), y_at(low), y_at(high))
        top = y_at(value)
        drawn.append(Bar(round(x, 1), top, round(step * 0.7, 1), round(HEIGHT - BOTTOM - top, 1), name, interval))
    return Plot(
        x_ticks=[Tick(round(bar.x + bar.width / 2, 1), bar.label) for bar in drawn],
        y_ticks=[Tick(y_at(value), _percent(value) if share else label(value, scale[1])) for value in scale],
        bars=drawn,
        baseline=None if chance is None else y_at(chance),
    )


def _along(low: float, high: float, start: float, end: float):  # type: ignore[no-untyped-def]
    """A function from values in [low, high] to coordinates from start to end."""

    def at(value: float) -> float:
        return round(start + (min(max(value, low), high) - low) / (high - low) * (end - start), 1)

    return at


def _maybe(at, value: float | None) -> float | None:  # type: ignore[no-untyped-def]
    return None if value is None else at(value)


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %".replace("-", "−")


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
