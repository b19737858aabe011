"""The dataset card's plots, as SVG files that any browser shows beside the text. Pure; the same counts, the same bytes.

They are pictures in pages that may be light or dark, so they have no background and only colours that read on both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 480, 256, 56, 8, 44, 48
INK, LINE = "#7a7f87", "#7a7f8755"
COLOURS = ("#3b82c4", "#c98a3b")
FOLDER = "plots"
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Bar:
    """value with an optional interval; series: which colour."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    series: int = 0


def plots(counts: Json) -> dict[str, str]:
    """{file name: SVG} of what there is to show."""
    found = {
        "agreement.svg": _agreement(counts),
        "length.svg": _lengths(counts),
        "position.svg": _positions(counts),
        "preference.svg": _preferences(counts),
    }
    return {name: picture for name, picture in found.items() if picture}


def write_plots(directory: Path, counts: Json) -> list[str]:
    """Write them below `directory`/plots; returns their paths."""
    made = plots(counts)
    if made:
        (directory / FOLDER).mkdir(exist_ok=True)
    for name, picture in made.items():
        (directory / FOLDER / name).write_text(picture, encoding="utf-8", newline="\n")
    return [f"{FOLDER}/{name}" for name in made]


def _agreement(counts: Json) -> str:
    bars = [
        Bar(name, tally["agreement"], *(tally["agreement_interval"] or (None, None)))
        for name, tally in counts["dimensions"].items()
        if tally["agreement"] is not None
    ]
    title = "Agreement of two annotators on a pair (50 % is chance)"
    return picture(title, bars, top=1.0, baseline=0.5) if bars else ""


def _lengths(counts: Json) -> str:
    sides: dict[str, dict[int, int]] = {"chosen": {}, "rejected": {}}
    for tally in counts["dimensions"].values():
        for side, found in tally["lengths"].items():
            for least, count in found.items():
                sides[side][int(least)] = sides[side].get(int(least), 0) + count
    total = sum(sides["chosen"].values())
    if not total:
        return ""
    bins = sorted(sides["chosen"].keys() | sides["rejected"].keys())
    bars = [
        Bar(_short(least), sides[side].get(least, 0) / total, series=number)
        for least in bins
        for number, side in enumerate(sides)
    ]
    return picture("Characters of chosen and rejected responses, from … on", bars, legend=("chosen", "rejected"))


def _positions(counts: Json) -> str:
    shown: dict[int, int] = {}
    best: dict[int, float] = {}
    for tally in counts["dimensions"].values():
        for row in tally["places"]:
            shown[row["place"]] = shown.get(row["place"], 0) + row["shown"]
            best[row["place"]] = best.get(row["place"], 0.0) + row["best"] * row["shown"]
    if not shown:
        return ""
    bars = [Bar(str(place), best[place] / shown[place]) for place in sorted(shown)]
    chance = sum(best.values()) / sum(shown.values())
    return picture("How often the response shown at each place was ranked best", bars, baseline=chance)


def _preferences(counts: Json) -> str:
    bins: list[int] = []
    for tally in counts["dimensions"].values():
        bins = [a + b for a, b in zip(bins or [0] * len(tally["preferences"]), tally["preferences"], strict=True)]
    total = sum(bins)
    if not total:
        return ""
    step = 50 / len(bins)
    bars = [Bar(f"{50 + step * n:g}", count / total) for n, count in enumerate(bins)]
    return picture("Share that prefers the chosen response, from … % on", bars)


def picture(
    title: str,
    bars: Sequence[Bar],
    *,
    top: float | None = None,
    baseline: float | None = None,
    legend: Sequence[str] = (),
) -> str:
    """Bars of shares. Bars of one label, in several series, stand side by side."""
    labels = list(dict.fromkeys(bar.label for bar in bars))
    series = max(bar.series for bar in bars) + 1
    highest = max([bar.high if bar.high is not None else bar.value for bar in bars] + [baseline or 0.0])
    top = top or next(step for step in (0.1, 0.2, 0.4, 0.6, 0.8, 1.0) if highest <= step)
    slot = (WIDTH - LEFT - RIGHT) / len(labels)
    width = min(slot * 0.8 / series, 48.0)

    def y_at(value: float) -> str:
        return _n(HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM))

    said = ", ".join(f"{bar.label} {100 * bar.value:.1f} %" for bar in bars[:40])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" font-family="system-ui, sans-serif" font-size="13" fill="{INK}">',
        f"<title>{escape(title)}</title>",
        f"<desc>{escape(said)}</desc>",
        f'<text x="8" y="16" font-size="15">{escape(title)}</text>',
    ]
    for n in range(5):
        value = top * n / 4
        parts.append(f'<path d="M{LEFT} {y_at(value)}H{WIDTH - RIGHT}" stroke="{LINE}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y_at(value)}" dy="4" text-anchor="end">{100 * value:g} %</text>')
    for bar in bars:
        centre = LEFT + slot * (labels.index(bar.label) + 0.5) + width * (bar.series - (series - 1) / 2)
        height = _n(max(bar.value, 0.0) / top * (HEIGHT - TOP - BOTTOM))
        parts.append(
            f'<rect x="{_n(centre - width / 2)}" y="{y_at(bar.value)}" width="{_n(width)}" height="{height}" '
            f'fill="{COLOURS[bar.series]}"/>'
        )
        if bar.low is not None and bar.high is not None:
            parts.append(f'<path d="M{_n(centre)} {y_at(bar.low)}V{y_at(bar.high)}" stroke="{INK}" stroke-width="2"/>')
    every = -(-len(labels) // 10)
    for n, label in enumerate(labels):
        if n % every == 0:
            x = _n(LEFT + slot * (n + 0.5))
            parts.append(f'<text x="{x}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{escape(_cut(label))}</text>')
    if baseline is not None:
        y = y_at(baseline)
        parts.append(f'<path d="M{LEFT} {y}H{WIDTH - RIGHT}" stroke="{INK}" stroke-dasharray="5 4"/>')
    for n, name in enumerate(legend):
        left = LEFT + 96 * n
        parts.append(f'<rect x="{left}" y="{HEIGHT - 12}" width="10" height="10" fill="{COLOURS[n]}"/>')
        parts.append(f'<text x="{left + 16}" y="{HEIGHT - 3}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _n(value: float) -> str:
    return f"{value:.1f}"


def _cut(label: str) -> str:
    return label if len(label) <= 16 else label[:15] + "…"


def _short(number: int) -> str:
    return f"{number // 1024}k" if number >= 1024 else str(number)
