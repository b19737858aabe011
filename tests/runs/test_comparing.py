"""Several runs side by side: what tells them apart, and their curves over the same axes."""

from __future__ import annotations

from itertools import pairwise

import pytest

from runs.charts import BOTTOM, HEIGHT, LABEL_GAP, TOP, line_chart, overlay_chart
from runs.comparing import asked_runs, overlaid_series, settings_apart
from runs.models import Run, RunEvent


def heights(path: str) -> list[float]:
    return [float(point.split()[1]) for point in path.strip("M").split("L")]


def test_lines_share_their_axes() -> None:
    low, high = [(0, 1.0), (10, 1.0)], [(0, 2.0), (5, 2.0)]
    chart = overlay_chart([low, high], "AB")
    first, second = chart.curves
    assert len({*heights(first.path)}) == 1 and heights(first.path)[0] > heights(second.path)[0]
    assert first.path.endswith(f"L{chart.right}.0 {heights(first.path)[0]}")  # the longer run reaches the end
    assert second.end[0] < first.end[0]
    assert [tick.label for tick in chart.y_ticks] == [tick.label for tick in line_chart([*low, (11, 2.0)]).y_ticks]


def test_a_run_without_the_metric_leaves_the_others_their_letters() -> None:
    chart = overlay_chart([[], [(1, None)], [(1, 0.5), (2, 0.6)]], "ABC")
    assert [(curve.number, curve.label) for curve in chart.curves] == [(3, "C")]
    assert overlay_chart([[], [(1, None)]], "AB") is None


def test_labels_of_lines_that_end_together_stand_apart_and_inside() -> None:
    chart = overlay_chart([[(0, 0.0), (1, 1.0)] for _ in range(4)], "ABCD")
    places = sorted(curve.end[1] for curve in chart.curves)
    assert all(b - a >= LABEL_GAP for a, b in pairwise(places))
    assert places[0] >= TOP and places[-1] <= HEIGHT - BOTTOM


def test_settings_are_told_apart_or_folded() -> None:
    runs = [
        Run(config={"lora": {"rank": 4}, "epochs": 1, "seed": 0}),
        Run(config={"lora": {"rank": 8}, "epochs": 1, "seed": 0, "patience": 2}),
    ]
    found = settings_apart(runs)
    assert found.differing == [("lora.rank", ["4", "8"]), ("patience", ["–", "2"])]
    assert found.common == [("epochs", "1"), ("seed", "0")]


def test_what_is_no_number_is_passed_over() -> None:
    assert asked_runs(["3", "x", "3", "1", "", "²", "9" * 30]) == [3, 1]


@pytest.mark.django_db
def test_a_metric_that_one_run_alone_reports_is_not_compared() -> None:
    first, second = (Run.objects.create(kind="counting", title=name) for name in "ab")
    for run, data in ((first, {"loss": 1.0, "own": 1.0}), (second, {"loss": 0.5})):
        for step in (1, 2):
            RunEvent.objects.create(run=run, type="metrics", step=step, data=data)
    [loss] = overlaid_series([first, second])
    assert loss.name == "loss"
    assert loss.last == [("A", 1.0), ("B", 0.5)]
