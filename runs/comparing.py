"""Several runs of one kind side by side: which settings tell them apart, and their curves over the same axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runs import metrics
from runs.charts import Overlay, downsample, overlay_chart
from runs.figures import figures_flat
from runs.models import Run
from runs.selectors import metric_points

FEWEST, MOST = 2, 4
LETTERS = "ABCD"
ALIKE_ONLY_BY_CHANCE = frozenset({"tokens_per_second"})  # says what the machine did, not what the run is


@dataclass(frozen=True)
class OverlaidSeries:
    """One metric of several runs. last: of each run letter and last value, None where it did not report the metric."""

    name: str
    metric: metrics.Metric
    chart: Overlay
    last: list[tuple[str, float | None]]


@dataclass(frozen=True)
class Settings:
    """What several runs were told: names with one value a run, and names with the value that all share."""

    differing: list[tuple[str, list[str]]]
    common: list[tuple[str, str]]


def asked_runs(values: Sequence[str]) -> list[int]:
    """The numbers of `?run=..&run=..`, each once, in their order; what is no number is passed over."""
    numbers = [int(value) for value in values if value.isascii() and value.isdecimal() and len(value) < 19]
    return list(dict.fromkeys(numbers))


def settings_apart(runs: Sequence[Run]) -> Settings:
    """The runs' settings; one that a run does not have, being older than the setting, is a dash."""
    flat = [dict(figures_flat(run.config)) for run in runs]
    names = sorted({name for each in flat for name in each})
    rows = [(name, [each.get(name, "–") for each in flat]) for name in names]
    return Settings(
        [(name, values) for name, values in rows if len(set(values)) > 1],
        [(name, values[0]) for name, values in rows if len(set(values)) == 1],
    )


def overlaid_series(runs: Sequence[Run]) -> list[OverlaidSeries]:
    """Every metric that at least two of the runs reported, by what was registered; one query a run."""
    points = [metric_points(run) for run in runs]
    names = {name for each in points for name in each if sum(name in other for other in points) > 1}
    found = []
    for name in sorted(names - ALIKE_ONLY_BY_CHANCE, key=metrics.place):
        series = [downsample(each.get(name, [])) for each in points]
        chart = overlay_chart(series, LETTERS)
        if chart is None:
            continue
        last = [next((value for _, value in reversed(each) if value is not None), None) for each in series]
        named = list(zip(LETTERS, last, strict=False))
        found.append(OverlaidSeries(name, metrics.describe(name), chart, named))
    return found
