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


def line_chart(points: Sequence[Point]) -> Chart | None:
    """The chart of a series sorted by step; None if it has no finite value."""
    values = [y for _, y in points if y is not None]
    if not values:
        return None
    y_ticks = ticks(min(values), max(values), 4)
    x_low, x_high = points[0][0], points[-1][0]
    y_low, y_high = min(y_ticks[0], min(values)), max(y_ticks[-1], max(values))

    def x_at(x: float) -> float:
        share = (x - x_low) / (x_high - x_low) if x_high > x_low else 0.5
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y_at(y: float) -> float:
        share = (y - y_low) / (y_high - y_low) if y_high > y_low else 0.5
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    parts, dots = [], []
    for stretch in _stretches(points):
        if len(stretch) == 1:
            dots.append((x_at(stretch[0][0]), y_at(stretch[0][1])))
        else:
            parts.append("M" + "L".join(f"{x_at(x)} {y_at(y)}" for x, y in stretch))
    return Chart(
        path="".join(parts),
        dots=dots,
        x_ticks=[Tick(x_at(x), label(x, 1)) for x in _whole(ticks(x_low, x_high, 4)) if x_low <= x <= x_high]
        or [Tick(x_at(x_low), label(x_low, 1))],
        y_ticks=[Tick(y_at(y), label(y, _step(y_ticks))) for y in y_ticks],
    )


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
