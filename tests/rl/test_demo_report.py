"""The demo's table compares policies prompt by prompt."""

import pytest

from rl.demo.report import Scored, cluster_mean, compare

QUESTION = [{"role": "user", "content": "Which planet has the largest rings?"}]


def test_the_mean_is_over_prompts_not_over_samples():
    estimate = cluster_mean({1: [0.0, 0.0, 0.0], 2: [3.0]})
    assert estimate["value"] == 1.5
    assert estimate["low"] <= estimate["value"] <= estimate["high"]


def test_prompts_that_agree_leave_no_doubt():
    assert cluster_mean({1: [2.0], 2: [2.0]}) == {"value": 2.0, "low": 2.0, "high": 2.0}


def test_the_change_is_paired_by_prompt():
    """Prompts differ by 10, policies by exactly 1: the pairing removes the prompts' spread from the interval."""
    before = [Scored(p, QUESTION, "Saturn.", reward=10.0 * p, kl=0.0, tokens=3) for p in range(5)]
    after = [Scored(p, QUESTION, "Saturn.", reward=10.0 * p + 1, kl=0.5, tokens=4) for p in range(5)]
    table = compare({"before": before, "after": after}, baseline="before")
    assert table["after"]["reward"]["change"] == pytest.approx({"value": 1.0, "low": 1.0, "high": 1.0})
    assert table["before"]["reward"]["change"] is None
    spread = table["after"]["reward"]["estimate"]
    assert spread["high"] - spread["low"] > 1
    assert table["after"]["utility_helpfulness"]["change"]["value"] == 0
