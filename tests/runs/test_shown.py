"""Figures of a run's result as its page says them."""

from __future__ import annotations

from runs.views import _flat


def test_figures_in_lists_are_rounded_like_those_beside_them():
    result = {
        "loss": 0.123456789,
        "held_out": {"figures": [{"accuracy": 0.6666666666666, "at": [0.1 + 0.2, 3]}], "parts": [1 / 3, -2.0, True]},
        "names": ["a", "b"],
    }
    assert dict(_flat(result)) == {
        "loss": "0.123457",
        "held_out.figures": '[{"accuracy": 0.666667, "at": [0.3, 3]}]',
        "held_out.parts": "0.333333, −2, yes",
        "names": "a, b",
    }
