"""Line charts as geometry: numbers in, SVG coordinates out. Templates and style sheets decide how they look. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[float, float | None]  # (step, value); None where the value was not a number

WIDTH, HEIGHT = 360, 184
LEFT, RIGHT, TOP, BOTTOM = 48, 8, 8, 28


@dataclass(frozen=True)
class Tick:
    at: float  # SVG coordinate along its axis
    label: str


@dataclass(frozen=True)
class Frame:
    """From values to SVG coordinates."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float

    def x(self, value: float) -> float:
        share = (value - self.x_low) / (self.x_high - self.x_low) if self.x_high > self.x_low else 0.5
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        share = (value - self.y_low) / (self.y_high - self.y_low) if self.y_high > self.y_low else 0.5
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    def x_ticks(self, *, whole: bool) -> list[Tick]:
        places = ticks(self.x_low, self.x_high, 4)
        step = 1.0 if whole else _step(places)
        inside = [x for x in (_whole(places) if whole else places) if self.x_low <= x <= self.x_high]
        return [Tick(self.x(x), label(x, step)) for x in inside] or [Tick(self.x(self.x_low), label(self.x_low, step))]

    def y_ticks(self, places: Sequence[float]) -> list[Tick]:
        return [Tick(self.y(y), label(y, _step(places))) for y in places]


@dataclass(frozen=True)
class Line:
    """One series, or one layer of a stack: `path` is then the outline of its area."""

    path: str
    dots: list[tuple[float, float]]  # points that no line reaches


@dataclass(frozen=True)
class Chart:
    """Lines in a box of `width` x `height` SVG units; the plot lies between left/right and top/bottom."""

    lines: list[Line]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    marks: list[float]  # x of steps that something is to be said about
    level: float | None  # y of a value that the lines are held against
    frame: Frame
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM

    @property
    def x_low(self) -> float:
        return self.frame.x_low

    @property
    def x_high(self) -> float:
        return self.frame.x_high

    @property
    def path(self) -> str:
        return self.lines[0].path

    @property
    def dots(self) -> list[tuple[float, float]]:
        return self.lines[0].dots


def line_chart(points: Sequence[Point]) -> Chart | None:
    """The chart of a series sorted by step; None if it has no finite value."""
    return lines_chart([points])


def lines_chart(
    series: Sequence[Sequence[Point]], *, marks: Sequence[float] = (), level: float | None = None, whole: bool = True
) -> Chart | None:
    """Several series, each sorted by x, on the same axes; None if there is no finite value.

    `marks` are places on the x axis and `level` one on the y axis. With `whole`, x has whole numbers only (steps).
    """
    found = [point for points in series for point in points]
    values = [y for _, y in found if y is not None]
    if not values:
        return None
    xs = [x for x, _ in found]
    y_ticks = ticks(min([*values, *_given(level)]), max([*values, *_given(level)]), 4)
    frame = Frame(min(xs), max(xs), y_ticks[0], y_ticks[-1])
    return Chart(
        lines=[_line(frame, points) for points in series],
        x_ticks=frame.x_ticks(whole=whole),
        y_ticks=frame.y_ticks(y_ticks),
        marks=[frame.x(x) for x in marks if frame.x_low <= x <= frame.x_high],
        level=None if level is None else frame.y(level),
        frame=frame,
    )


def stacked_chart(layers: Sequence[Sequence[Point]], *, marks: Sequence[float] = ()) -> Chart | None:
    """Areas on top of each other, the first at the bottom; all layers have the same steps. What is absent counts 0."""
    if not layers or not layers[0]:
        return None
    steps = [x for x, _ in layers[0]]
    tops, below = [], [0.0] * len(steps)
    for layer in layers:
        below = [under + (y or 0.0) for under, (_, y) in zip(below, layer, strict=True)]
        tops.append(below)
    y_ticks = ticks(0.0, max(below), 4)
    frame = Frame(steps[0], steps[-1], y_ticks[0], y_ticks[-1])
    places = [frame.x(x) for x in steps]
    lines, floor = [], [frame.y(0.0)] * len(steps)
    for top in tops:
        roof = [frame.y(y) for y in top]
        there = zip(places, roof, strict=True)
        back = zip(reversed(places), reversed(floor), strict=True)
        lines.append(Line("M" + "L".join(f"{x} {y}" for x, y in [*there, *back]) + "Z", []))
        floor = roof
    return Chart(
        lines=lines,
        x_ticks=frame.x_ticks(whole=True),
        y_ticks=frame.y_ticks(y_ticks),
        marks=[frame.x(x) for x in marks if frame.x_low <= x <= frame.x_high],
        level=None,
        frame=frame,
    )


def _line(frame: Frame, points: Sequence[Point]) -> Line:
    parts, dots = [], []
    for stretch in _stretches(points):
        places = [(frame.x(x), frame.y(y)) for x, y in stretch]
        if len(places) == 1:
            dots += places
        else:
            parts.append("M" + "L".join(f"{x} {y}" for x, y in places))
    return Line("".join(parts), dots)


def _given(value: float | None) -> list[float]:
    return [] if value is None else [value]


def smoothed(points: Sequence[Point], weight: float = 0.9) -> list[Point]:
    """The exponential moving average of a series, without the pull of its start towards 0.

    `weight` is that of what came before; each value is divided by the sum of the weights so far (Kingma and Ba 2015,
    section 3, correct Adam's averages so).
    """
    found: list[Point] = []
    mean = total = 0.0
    for x, y in points:
        if y is not None:
            mean, total = weight * mean + (1 - weight) * y, weight * total + (1 - weight)
        found.append((x, mean / total if y is not None else None))
    return found


def downsample(points: Sequence[Point], most: int = 300) -> list[Point]:
    """At most `most` points that keep the first, the last, and the lowest and highest of every stretch between.

    A plain every-nth would hide the one spike that the reader is looking for.
    """
    if len(points) <= most:
        return list(points)
    inner = points[1:-1]
    buckets = (most - 2) // 2
    kept: list[Point] = [points[0]]
    for i in range(buckets):
        bucket = inner[i * len(inner) // buckets : (i + 1) * len(inner) // buckets]
        finite = [(y, index) for index, (_, y) in enumerate(bucket) if y is not None]
        if finite:
            kept += [bucket[index] for index in sorted({min(finite)[1], max(finite)[1]})]
        elif bucket:
            kept.append(bucket[0])
    return [*kept, points[-1]]


def averaged(points: Sequence[Point], most: int) -> list[Point]:
    """At most `most` points, each the mean of a stretch of neighbours and standing at its last step.

    For shares of a whole, where the mean says more than the extremes do.
    """
    if len(points) <= most:
        return list(points)
    found: list[Point] = []
    for i in range(most):
        stretch = points[i * len(points) // most : (i + 1) * len(points) // most]
        found.append((stretch[-1][0], sum(y or 0.0 for _, y in stretch) / len(stretch)))
    return found


def ticks(low: float, high: float, about: int) -> list[float]:
    """About `about` round numbers (1, 2 or 5 times a power of ten apart) that enclose [low, high]."""
    if not high - low > 1e-9 * max(abs(low), abs(high)):  # all the same, but for rounding
        room = abs(low) * 0.1 or 1.0
        low, high = low - room, high + room
    rough = (high - low) / about
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(magnitude * nice for nice in (1, 2, 5, 10) if magnitude * nice >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, last + 1)]


def label(value: float, step: float) -> str:
    """A tick's number with just the digits that its neighbours, `step` away, make necessary."""
    size = max(abs(value), step)
    if value == 0:
        return "0"
    if size < 1e-3 or size >= 1e7:
        text = f"{value:.1e}".replace(".0e", "e").replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")
    elif abs(value) >= 10_000:
        text = f"{value / 1000:.{_digits(step / 1000)}f}k"
    else:
        text = f"{value:.{_digits(step)}f}"
    return text.replace("-", "−")


def _digits(step: float) -> int:
    """Decimals that tell multiples of `step` apart."""
    return max(0, -math.floor(math.log10(step) + 1e-9))


def _step(values: Sequence[float]) -> float:
    return values[1] - values[0] if len(values) > 1 else 1.0


def _whole(values: Sequence[float]) -> list[float]:
    return [value for value in values if abs(value - round(value)) < 1e-9]


def _stretches(points: Sequence[Point]) -> list[list[tuple[float, float]]]:
    """The runs of neighbouring points that have values."""
    found: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if y is not None:
            found[-1].append((x, y))
        elif found[-1]:
            found.append([])
    return [stretch for stretch in found if stretch]
