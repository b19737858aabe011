"""What metrics mean to the person who reads the chart. Apps register theirs; docs/metrics.md explains each one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """How one metric is shown.

    `anchor` is its place in docs/metrics.md: a heading, or (left empty) the table row that has the metric's own name.
    Charts stand by `order`, then as registered.
    """

    label: str
    unit: str = ""
    good: Literal["higher", "lower", ""] = ""
    anchor: str = ""
    order: int = 0

    @property
    def title(self) -> str:
        return f"{self.label} ({self.good} is better)" if self.good else self.label


@dataclass(frozen=True)
class Plot:
    """One chart of metrics that are read together, the most telling first.

    `reward/*` among the `lines` stands for all parts of a metric, less those named in `apart`. `good` says in words
    what is good. `level` is a setting of the run that the lines are held against, `stacked` draws shares of a whole.
    """

    title: str
    lines: tuple[str, ...]
    good: str = ""
    level: str = ""
    level_when: tuple[str, str] | None = None  # only where this other setting has this value
    stacked: bool = False
    apart: tuple[str, ...] = ()

    def chosen(self, names: Collection[str]) -> list[str]:
        """Those of `names` that belong here, in order."""
        found: list[str] = []
        for line in self.lines:
            base = line.removesuffix("*")
            found += sorted(name for name in names if name.startswith(base)) if base != line else [line]
        return [name for name in dict.fromkeys(found) if name in names and name not in self.apart]


OTHERS = "Others"  # the subject of metrics that no plot has

_metrics: dict[str, Metric] = {}
_plots: dict[str, Mapping[str, Sequence[Plot]]] = {}


def register_plots(kind: str, subjects: Mapping[str, Sequence[Plot]]) -> None:
    """Say which metrics of a kind of run are drawn together, by subject, the most important first."""
    _plots[kind] = subjects


def plots_of(kind: str, names: Collection[str]) -> list[tuple[str, list[tuple[Plot, list[str]]]]]:
    """By subject, what to draw of a run's metrics: each plot with its lines. Every metric is in exactly one."""
    left = dict.fromkeys(sorted(names, key=place))
    found = []
    for subject, plots in _plots.get(kind, {}).items():
        drawn = []
        for plot in plots:
            chosen = plot.chosen(left)
            for name in chosen:
                del left[name]
            if chosen:
                drawn.append((plot, chosen))
        if drawn:
            found.append((subject, drawn))
    alone = [(_alone(name), [name]) for name in left]
    return [*found, (OTHERS, alone)] if alone else found


def _alone(name: str) -> Plot:
    metric = describe(name)
    return Plot(metric.label, (name,), good=f"{metric.good} is better" if metric.good else "")


def register_metrics(metrics: Mapping[str, Metric]) -> None:
    """Make metrics known, by the names that children report. Call it in AppConfig.ready().

    `test_accuracy` also stands for `test_accuracy/helpfulness` and the like.
    """
    for name, metric in metrics.items():
        _metrics[name] = replace(metric, anchor=metric.anchor or name)


def registered() -> dict[str, Metric]:
    return dict(_metrics)


def describe(name: str) -> Metric:
    """How to show a metric. One that nobody registered is still shown, under its own name and without a link."""
    if name in _metrics:
        return _metrics[name]
    base, _, part = name.partition("/")
    if part and base in _metrics:
        return replace(_metrics[base], label=f"{_metrics[base].label}, {part.replace('_', ' ')}")
    return Metric(label=name.replace("_", " "))


def place(name: str) -> tuple[int, int, str]:
    """Sort key for charts; metrics that nobody registered come last, by name."""
    base = name if name in _metrics else name.partition("/")[0]
    if base not in _metrics:
        return (1000, 0, name)
    return (_metrics[base].order, list(_metrics).index(base), name)


# What every trainer reports; less telling than what an app knows of its own runs, so it stands behind.
register_metrics(
    {
        "grad_norm": Metric("Gradient norm before clipping", order=90),
        "learning_rate": Metric("Learning rate", order=91),
        "tokens_per_second": Metric("Speed", unit="tokens/s", good="higher", order=92),
    }
)
