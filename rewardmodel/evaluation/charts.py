"""The charts of an evaluation as geometry, in the manner of runs.charts: figures in, SVG coordinates out. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from runs.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Tick, label, ticks

Json = dict[str, Any]
Along = Callable[[float], float]

STRIP, STRIP_HEIGHT, EDGE = 176, 20, 6  # SVG units of one row of a table of intervals


@dataclass(frozen=True)
class Strip:
    """One interval in a row of a table, on an axis from 0 to 1: dot, its range, another value, chance."""

    dot: float | None
    low: float | None
    high: float | None
    other: float | None
    chance: float
    width: int = STRIP
    height: int = STRIP_HEIGHT
    left: int = EDGE
    right: int = STRIP - EDGE
    middle: int = STRIP_HEIGHT // 2


@dataclass(frozen=True)
class Mark:
    """A point with its interval along the y axis, None where it has none."""

    x: float
    y: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Line:
    """A series: its name for the legend, how it looks, its path, and the band of its intervals."""

    name: str
    look: str
    path: str = ""
    band: str = ""
    marks: Sequence[Mark] = ()


@dataclass(frozen=True)
class Plot:
    """What a template draws. reference: a path that says where perfection or chance would lie."""

    x_ticks: list[Tick]
    y_ticks: list[Tick]
    lines: list[Line]
    reference: str = ""
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def strip(found: Json | None, other: Json | None = None, *, chance: float = 0.5) -> Strip:
    """An estimate of a share beside another's value."""
    at = _along(0.0, 1.0, EDGE, STRIP - EDGE)
    return Strip(
        dot=at(found["value"]) if found else None,
        low=_maybe(at, found["low"]) if found else None,
        high=_maybe(at, found["high"]) if found else None,
        other=at(other["value"]) if other else None,
        chance=at(chance),
    )


def reliability(bins: Sequence[Json]) -> Plot:
    """How often people preferred the model's choice, by how sure it was; on the diagonal it is as sure as right."""
    least = min([0.4, *(each["share"]["low"] for each in bins)])
    y_values = [value for value in ticks(least, 1.0, 4) if value >= -1e-9]
    x_at, y_at = _axes((0.5, 1.0), (y_values[0], 1.0))
    marks = [_mark(x_at(each["confidence"]), each["share"], y_at) for each in bins]
    return Plot(
        x_ticks=[Tick(x_at(value), _percent(value)) for value in ticks(0.5, 1.0, 5)],
        y_ticks=[Tick(y_at(value), _percent(value)) for value in y_values],
        lines=[Line("model", "first", _path([(mark.x, mark.y) for mark in marks]), marks=marks)],
        reference=_path([(x_at(0.5), y_at(0.5)), (x_at(1.0), y_at(1.0))]),
    )


def picks(curve: Sequence[Json]) -> Plot:
    """What the pick of n is worth: the model's, the best possible, one at random."""
    lows = [each["model"]["low"] for each in curve if each["model"]["low"] is not None]
    least = min([0.5, *lows, *(each["model"]["value"] for each in curve)])
    y_values = [value for value in ticks(least, 1.0, 4) if value >= -1e-9]
    x_at, y_at = _axes((1, len(curve)), (y_values[0], y_values[-1]))
    marks = [_mark(x_at(each["n"]), each["model"], y_at) for each in curve]
    best = [(x_at(each["n"]), y_at(each["best"]["value"])) for each in curve]
    chance = [(x_at(each["n"]), y_at(each["random"])) for each in curve]
    return Plot(
        x_ticks=[Tick(x_at(each["n"]), str(each["n"])) for each in curve],
        y_ticks=[Tick(y_at(value), _percent(value)) for value in y_values],
        lines=[
            Line("best possible", "third", _path(best)),
            Line("model", "first", _path([(mark.x, mark.y) for mark in marks]), _band(marks), marks),
        ],
        reference=_path(chance),
    )


def histogram(distribution: Json) -> Plot:
    """Rewards of preferred and other responses, as outlines over the same bins; shares of each."""
    edges = distribution["edges"]
    totals = {name: sum(distribution[name]) or 1 for name in ("chosen", "rejected")}
    shares = {name: [count / totals[name] for count in distribution[name]] for name in totals}
    y_values = ticks(0.0, max(max(each) for each in shares.values()), 3)
    x_at, y_at = _axes((edges[0], edges[-1]), (0.0, y_values[-1]))
    x_values = [value for value in ticks(edges[0], edges[-1], 5) if edges[0] <= value <= edges[-1]]
    step = x_values[1] - x_values[0] if len(x_values) > 1 else 1.0
    looks = {"rejected": ("not preferred", "third"), "chosen": ("preferred", "first")}
    lines = []
    for name, (words, look) in looks.items():
        corners = [(x_at(edges[0]), y_at(0.0))]
        for place, share in enumerate(shares[name]):
            corners += [(x_at(edges[place]), y_at(share)), (x_at(edges[place + 1]), y_at(share))]
        outline = _path([*corners, (x_at(edges[-1]), y_at(0.0))])
        lines.append(Line(words, look, outline, outline + "Z"))
    return Plot(
        x_ticks=[Tick(x_at(value), label(value, step)) for value in x_values],
        y_ticks=[Tick(y_at(value), _percent(value)) for value in y_values],
        lines=lines,
    )


def _axes(x: tuple[float, float], y: tuple[float, float]) -> tuple[Along, Along]:
    return _along(*x, LEFT, WIDTH - RIGHT), _along(*y, HEIGHT - BOTTOM, TOP)


def _along(low: float, high: float, start: float, end: float) -> Along:
    """A function from values in [low, high] to coordinates from start to end."""

    def at(value: float) -> float:
        share = (min(max(value, low), high) - low) / (high - low) if high > low else 0.5
        return round(start + share * (end - start), 1)

    return at


def _maybe(at: Along, value: float | None) -> float | None:
    return None if value is None else at(value)


def _mark(x: float, found: Json, y_at: Along) -> Mark:
    return Mark(x, y_at(found["value"]), _maybe(y_at, found["low"]), _maybe(y_at, found["high"]))


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x} {y}" for x, y in points) if len(points) > 1 else ""


def _band(marks: Sequence[Mark]) -> str:
    sure = [mark for mark in marks if mark.low is not None and mark.high is not None]
    upper, lower = [f"{mark.x} {mark.high}" for mark in sure], [f"{mark.x} {mark.low}" for mark in reversed(sure)]
    return "M" + "L".join([*upper, *lower]) + "Z" if len(sure) > 1 else ""


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"
