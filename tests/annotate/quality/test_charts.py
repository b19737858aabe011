"""Charts as geometry."""

from __future__ import annotations

import pytest

from annotate.quality.charts import band_chart, bar_chart, dot_plot
from runs.charts import BOTTOM, HEIGHT, LEFT, TOP, WIDTH


def test_a_band_holds_its_line_and_chance_is_where_the_axis_says():
    plot = band_chart([("2026-09-07", (0.6, 0.5, 0.7)), ("2026-09-14", (0.8, 0.7, 0.9))], chance=0.5)
    assert all(point.high < point.y < point.low for point in plot.points)  # y grows downwards
    assert plot.baseline == next(tick.at for tick in plot.y_ticks if tick.label == "50 %")
    assert [tick.label for tick in plot.x_ticks] == ["09-07", "09-14"]
    assert plot.band.endswith("Z") and plot.path.count("L") == 1
    assert band_chart([], chance=0.5) is None


def test_weeks_without_an_interval_are_points_only():
    plot = band_chart([("2026-09-07", (0.6, None, None)), ("2026-09-14", (0.8, 0.7, 0.9))], chance=0.5)
    assert plot.band == "" and len(plot.points) == 2


def test_dots_lie_in_rows_and_long_names_are_shortened():
    plot = dot_plot([("ada", (0.5, 0.4, 0.6), False), ("x" * 40, (1.0, 0.9, 1.0), True)], chance=0.5)
    one, two = plot.points
    assert one.x == plot.baseline and one.low < one.x < one.high and two.y > one.y
    assert two.label.endswith("…") and two.flagged
    assert plot.bottom > two.y


def test_bars_stand_on_the_axis_and_reach_their_value():
    plot = bar_chart([("1st", (0.25, 0.2, 0.3)), ("2nd", (0.75, 0.7, 0.8))], chance=0.5)
    for bar in plot.bars:
        assert bar.y + bar.height == pytest.approx(HEIGHT - BOTTOM) and LEFT <= bar.x < WIDTH
        assert bar.interval.high < bar.y < bar.interval.low
    assert plot.bars[1].height == pytest.approx(3 * plot.bars[0].height, abs=0.2)
    assert TOP <= plot.baseline <= HEIGHT - BOTTOM
    assert bar_chart([]) is None
    assert bar_chart([("none", (0.0, None, None))]).bars[0].height == 0
