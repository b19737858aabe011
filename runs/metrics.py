"""What metrics mean to the person who reads the chart. Apps register theirs; docs/metrics.md explains each one."""

from __future__ import annotations

from collections.abc import Mapping
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


_metrics: dict[str, Metric] = {}


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
