"""Numbers to lines: the geometry says what the numbers say."""

from __future__ import annotations

import re

import pytest

from runs.charts import averaged, downsample, label, line_chart, lines_chart, smoothed, stacked_chart, ticks
from runs.metrics import Metric, Plot, describe, place, plots_of, register_metrics, register_plots


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0.0, 0.5, 1.0]),
        (0.52, 0.71, [0.5, 0.55, 0.6, 0.65, 0.7, 0.75]),
        (3, 97, [0, 50, 100]),
        (-2, 2, [-2, -1, 0, 1, 2]),
        (1e-5, 5e-5, [1e-5, 2e-5, 3e-5, 4e-5, 5e-5]),
        (0.1, 0.1 + 1e-16, [0.09, 0.095, 0.1, 0.105, 0.11]),
        (7, 7, [6, 6.5, 7, 7.5, 8]),
        (0, 0, [-1, -0.5, 0, 0.5, 1]),
    ],
)
def test_ticks_are_round_numbers_around_the_values(low, high, expected) -> None:
    assert ticks(low, high, 4) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "step", "text"),
    [
        (0.0, 0.5, "0"), (0.5, 0.5, "0.5"), (0.55, 0.05, "0.55"), (1.0, 0.5, "1.0"), (-2, 1, "−2"),
        (2e-5, 1e-5, "2e−5"), (12_000, 2_000, "12k"), (12_500, 500, "12.5k"), (1_500, 500, "1500"), (2e7, 1e7, "2e7"),
    ],
)  # fmt: skip
def test_labels_have_the_digits_their_neighbours_make_necessary(value, step, text) -> None:
    assert label(value, step) == text


def test_a_rising_line_rises_from_left_to_right() -> None:
    chart = line_chart([(0, 0.0), (1, 1.0), (2, 2.0)])
    points = [tuple(map(float, pair.split())) for pair in re.findall(r"[\d.]+ [\d.]+", chart.path)]
    assert points == [(chart.left, chart.bottom), (200.0, 82.0), (chart.right, chart.top)]


def test_a_gap_breaks_the_line_and_a_lone_point_is_a_dot() -> None:
    chart = line_chart([(1, 1.0), (2, 2.0), (3, None), (4, 1.5), (5, None)])
    assert chart.path.count("M") == 1 and len(chart.dots) == 1
    single = line_chart([(7, 0.25)])
    assert single.path == "" and len(single.dots) == 1 and single.x_ticks[0].label == "7"
    assert line_chart([(1, None)]) is None and line_chart([]) is None


def test_thinning_keeps_ends_and_spikes_and_order() -> None:
    points = [(float(step), 1.0) for step in range(10_000)]
    points[5_432] = (5_432.0, 99.0)
    points[7_001] = (7_001.0, -99.0)
    points[3_000] = (3_000.0, None)
    thin = downsample(points)
    assert len(thin) <= 300 and thin[0] == points[0] and thin[-1] == points[-1]
    assert (5_432.0, 99.0) in thin and (7_001.0, -99.0) in thin
    assert [x for x, _ in thin] == sorted(x for x, _ in thin)
    assert downsample(points[:300]) == points[:300]


def test_a_metric_is_shown_as_its_app_says_and_an_unknown_one_by_its_name(monkeypatch) -> None:
    from runs import metrics

    monkeypatch.setattr(metrics, "_metrics", dict(metrics._metrics))
    register_metrics({"test_accuracy": Metric("Held-out accuracy", good="higher")})
    assert describe("test_accuracy").title == "Held-out accuracy (higher is better)"
    by_dimension = describe("test_accuracy/being_kind")
    assert (by_dimension.label, by_dimension.anchor) == ("Held-out accuracy, being kind", "test_accuracy")
    assert (describe("odd_one").title, describe("odd_one").anchor) == ("odd one", "")
    names = ["odd_one", "learning_rate", "test_accuracy/a"]
    assert sorted(names, key=place) == ["test_accuracy/a", "learning_rate", "odd_one"]


def numbers(path: str) -> list[tuple[float, float]]:
    return [tuple(map(float, pair.split())) for pair in re.findall(r"[\d.]+ [\d.]+", path)]


def test_lines_in_one_chart_share_its_axes_with_marks_and_level() -> None:
    chart = lines_chart([[(0, 0.0), (10, 1.0)], [(5, 2.0), (10, 2.0)]], marks=[5, 99], level=4.0)
    assert chart is not None
    first, second = (numbers(line.path) for line in chart.lines)
    assert first[0] == (chart.left, chart.bottom) and first[1][0] == chart.right
    assert second[0] == (200.0, 82.0), "half of 0 to 4, for the level is on the axis too"
    assert chart.level == chart.top and chart.marks == [200.0]
    assert lines_chart([[(0, None)], []]) is None


def test_layers_of_a_stack_stand_on_each_other() -> None:
    chart = stacked_chart([[(0, 1.0), (1, 1.0)], [(0, 1.0), (1, None)]])
    assert chart is not None
    below, above = (numbers(line.path) for line in chart.lines)
    assert below == [(chart.left, 82.0), (chart.right, 82.0), (chart.right, chart.bottom), (chart.left, chart.bottom)]
    assert above == [(chart.left, chart.top), (chart.right, 82.0), (chart.right, 82.0), (chart.left, 82.0)]


def test_averages_of_stretches_keep_the_mean() -> None:
    assert averaged([(1, 2.0), (2, 4.0), (3, None), (4, 6.0)], 2) == [(2, 3.0), (4, 3.0)]
    assert averaged([(1, 2.0)], 2) == [(1, 2.0)]


def test_an_average_starts_at_the_first_value_and_follows() -> None:
    # Weights 1; then 0.9 * 0.1 and 0.1, which are 0.09 and 0.1 of 0.19.
    found = smoothed([(1, 2.0), (2, 4.0), (3, None)])
    assert found[0] == (1, pytest.approx(2.0)) and found[2] == (3, None)
    assert found[1][1] == pytest.approx((0.09 * 2.0 + 0.1 * 4.0) / 0.19)


def test_every_metric_is_drawn_once_under_its_subject(monkeypatch) -> None:
    from runs import metrics

    monkeypatch.setattr(metrics, "_plots", {})
    main, parts = Plot("Main", ("a", "test_a")), Plot("Parts", ("a/*",), apart=("a/whole",))
    register_plots("counting", {"First": [main, parts], "Second": [Plot("Nothing", ("absent",))]})
    found = plots_of("counting", ["other", "a/y", "test_a", "a/x", "a/whole", "a"])
    assert [(subject, [names for _, names in plots]) for subject, plots in found] == [
        ("First", [["a", "test_a"], ["a/x", "a/y"]]),
        ("Others", [["a/whole"], ["other"]]),
    ]
    assert [subject for subject, _ in plots_of("another", ["a"])] == ["Others"]
