"""Figures for people: significant digits, real minus signs, units, and a dash where there is nothing."""

import pytest

from config.templatetags.plumbline import duration, filesize, interval, number, percent


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        ("", "–"),
        (float("nan"), "–"),
        (0, "0"),
        (1234567, "1,234,567"),
        (12345.6, "12,346"),
        (0.123456, "0.123"),
        (-0.5, "−0.5"),
        (0.00012, "1.20e−04"),
    ],
)
def test_numbers(value, shown):
    assert number(value) == shown


def test_shares_and_intervals():
    assert percent(0.125) == "12.5 %"
    assert percent(-0.01) == "−1.0 %"
    assert percent(None) == "–"
    assert interval({"value": 0.5, "low": 0.4, "high": 0.6}, "percent") == "50.0 % [40.0 %, 60.0 %]"
    assert interval(None) == interval({"value": None}) == "–"


@pytest.mark.parametrize(
    ("seconds", "shown"), [(None, "–"), (4, "4 s"), (200, "3 min 20 s"), (7500, "2 h 05 min"), (59.6, "60 s")]
)
def test_durations(seconds, shown):
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("size", "shown"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (540 * 2**20, "540 MiB"), (2**31, "2.0 GiB")]
)
def test_sizes(size, shown):
    assert filesize(size) == shown
