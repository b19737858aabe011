"""Line charts as geometry: numbers in, SVG coordinates out. Templates and style sheets decide how they look. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[float, float | None]  # (step, value); None where the value was not a number

WIDTH, HEIGHT = 360, 184
LEFT, RIGHT, TOP, BOTTOM = 48, 8, 8, 28
LABELS, LABEL_GAP = 24, 14  # of several lines: room for their letters, and how far apart these stand


@dataclass(frozen=True)
class Tick:
    at: float  # SVG coordinate along its axis
    label: str


@dataclass(frozen=True)
class Chart:
    """One line in a box of `width` x `height` SVG units; the plot lies between left/right and top/bottom."""

    path: str
    dots: list[tuple[float, float]]  # points that no line reaches
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


@dataclass(frozen=True)
class Curve:
    """One of several lines in a chart. `end`: where its label stands; the labels of a chart keep apart."""

    number: int  # its place among the series that were asked for, from 1
    label: str
    path: str
    dots: list[tuple[float, float]]
    end: tuple[float, float]


@dataclass(frozen=True)
class Overlay:
    """Several lines over the same axes, in a box as that of Chart with room for labels to the right."""

    curves: list[Curve]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - LABELS
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def line_chart(points: Sequence[Point]) -> Chart | None:
    """The chart of a series sorted by step; None if it has no finite value."""
    axes = _Axes.of([points], WIDTH - RIGHT)
    if axes is None:
        return None
    path, dots = axes.drawn(points)
    return Chart(path, dots, axes.x_ticks(), axes.y_ticks())


def overlay_chart(series: Sequence[Sequence[Point]], labels: Sequence[str]) -> Overlay | None:
    """Several series, each sorted by step and with a short label, over the same axes; None if none has a finite value.

    A series without one has no curve, and the others keep their numbers.
    """
    axes = _Axes.of(series, WIDTH - LABELS)
    if axes is None:
        return None
    drawn = [(number, axes.drawn(points), _last(points)) for number, points in enumerate(series, start=1)]
    ends = {number: (axes.x_at(last[0]), axes.y_at(last[1])) for number, _, last in drawn if last}
    apart = dict(zip(ends, _apart([y for _, y in ends.values()], LABEL_GAP, TOP, HEIGHT - BOTTOM), strict=True))
    curves = [
        Curve(number, labels[number - 1], path, dots, (ends[number][0], apart[number]))
        for number, (path, dots), last in drawn
        if last
    ]
    return Overlay(curves, axes.x_ticks(), axes.y_ticks())


@dataclass(frozen=True)
class _Axes:
    """Where steps and values of one chart lie; `right` is where its plot ends."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float
    values: tuple[float, ...]  # round ones, for the ticks
    right: int

    @classmethod
    def of(cls, series: Sequence[Sequence[Point]], right: int) -> _Axes | None:
        values = [y for points in series for _, y in points if y is not None]
        if not values:
            return None
        round_ones = ticks(min(values), max(values), 4)
        steps = [points[at][0] for points in series if points for at in (0, -1)]
        low, high = min(round_ones[0], min(values)), max(round_ones[-1], max(values))
        return cls(min(steps), max(steps), low, high, tuple(round_ones), right)

    def x_at(self, x: float) -> float:
        share = (x - self.x_low) / (self.x_high - self.x_low) if self.x_high > self.x_low else 0.5
        return round(LEFT + share * (self.right - LEFT), 1)

    def y_at(self, y: float) -> float:
        share = (y - self.y_low) / (self.y_high - self.y_low) if self.y_high > self.y_low else 0.5
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    def x_ticks(self) -> list[Tick]:
        low, high = self.x_low, self.x_high
        found = [Tick(self.x_at(x), label(x, 1)) for x in _whole(ticks(low, high, 4)) if low <= x <= high]
        return found or [Tick(self.x_at(low), label(low, 1))]

    def y_ticks(self) -> list[Tick]:
        return [Tick(self.y_at(y), label(y, _step(self.values))) for y in self.values]

    def drawn(self, points: Sequence[Point]) -> tuple[str, list[tuple[float, float]]]:
        """The path of a series, and the points that no line reaches."""
        parts, dots = [], []
        for stretch in _stretches(points):
            if len(stretch) == 1:
                dots.append((self.x_at(stretch[0][0]), self.y_at(stretch[0][1])))
            else:
                parts.append("M" + "L".join(f"{self.x_at(x)} {self.y_at(y)}" for x, y in stretch))
        return "".join(parts), dots


def _last(points: Sequence[Point]) -> tuple[float, float] | None:
    return next(((x, y) for x, y in reversed(points) if y is not None), None)


def _apart(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """The places, moved as little as it takes for neighbours to be `gap` apart; they stay between low and high."""
    order = sorted(range(len(places)), key=lambda index: places[index])
    found = [0.0] * len(places)
    above = low - gap
    for index in order:
        found[index] = above = max(places[index], above + gap)
    below = high + gap
    for index in reversed(order):
        found[index] = below = round(min(found[index], below - gap), 1)
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
        finite = [index for index, (_, y) in enumerate(bucket) if y is not None]
        if finite:
            low = min(finite, key=lambda index: bucket[index][1])  # type: ignore[arg-type,return-value]
            high = max(finite, key=lambda index: bucket[index][1])  # type: ignore[arg-type,return-value]
            kept += [bucket[index] for index in sorted({low, high})]
        elif bucket:
            kept.append(bucket[0])
    return [*kept, points[-1]]


def ticks(low: float, high: float, about: int) -> list[float]:
    """About `about` round numbers (1, 2 or 5 times a power of ten apart) that enclose [low, high]."""
    if not high > low:
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
