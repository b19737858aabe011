"""Speed, position and length: by hand, and that the innocent are left alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from annotate.quality.bias import LEAST_TIMED, length_bias, length_flag, paces, position_bias


def timed(*per_word: float, judgements: int = 20) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Annotators 0.. with these seconds per word, on texts of 100 words."""
    who = np.repeat(np.arange(len(per_word)), judgements)
    return who, np.repeat(np.array(per_word) * 100.0, judgements), np.full(len(who), 100.0)


def test_pace_by_hand():
    found = paces(*timed(0.2, 0.25, 0.2, 0.16, 0.02))
    assert found[0].seconds == 20.0 and found[0].per_word == pytest.approx(0.2)
    # The others' medians are 0.25, 0.2, 0.16, 0.02: their median log is that of sqrt(0.2 * 0.16).
    assert found[0].ratio == pytest.approx(0.2 / math.sqrt(0.2 * 0.16))
    assert [found[k].flag for k in range(5)] == ["", "", "", "", "fast"]


def test_who_is_just_a_little_quicker_than_very_equal_peers_is_not_flagged():
    assert not any(pace.flag for pace in paces(*timed(0.2, 0.2, 0.2, 0.2, 0.12)).values())


def test_pace_needs_peers_and_judgements():
    few = paces(*timed(0.2, 0.2, 0.01))
    assert few[2].ratio is None and few[2].flag == ""
    little = paces(*timed(0.2, 0.2, 0.2, 0.2, 0.01, judgements=LEAST_TIMED - 1))
    assert little[4].z is None
    who, _, words = timed(0.2)
    assert paces(who, np.full(len(who), np.nan), words) == {}


def test_position_bias_by_hand():
    found = position_bias(np.array([1.0] * 30 + [0.5, 0.5] + [0.0] * 8), np.full(40, 4))
    assert found.share.value == pytest.approx(31 / 40)
    assert (found.chance, found.flag) == (0.25, "first")
    assert position_bias(np.ones(20), np.full(20, 4)).flag == ""  # too few to say
    assert position_bias(np.zeros(60), np.full(60, 2)).flag == "not first"
    assert position_bias(np.zeros(0), np.zeros(0, int)) is None


def test_chance_is_rarely_flagged_as_position_bias():
    random = np.random.default_rng(0)
    flagged = sum(
        bool(position_bias((random.random(200) < 0.25).astype(float), np.full(200, 4)).flag) for _ in range(500)
    )
    assert flagged <= 15  # 1 in 100 is what the 99 % interval allows; 15 of 500 is three times that


def test_length_bias_by_hand():
    """Pairs of ratio 2: longer won 3 of 4. sigma(b log 2) = 3/4, so twice the length has three times the odds."""
    found = length_bias(np.full(40, math.log(2)), np.tile([1.0, 1.0, 1.0, 0.0], 10), np.arange(40))
    assert found.doubled == pytest.approx(3.0)
    # Independent pairs: variance 1 / (n x^2 p (1 - p)), but for the small-sample factor 40 / 39.
    assert found.variance == pytest.approx(40 / 39 / (40 * math.log(2) ** 2 * 3 / 16))


def test_length_bias_does_not_depend_on_which_response_is_called_first():
    random = np.random.default_rng(1)
    x, y = random.normal(size=300), (random.random(300) < 0.6).astype(float)
    turned = np.where(np.arange(300) % 2, 1, -1)
    one = length_bias(x, y, np.arange(300))
    two = length_bias(x * turned, np.where(turned > 0, y, 1 - y), np.arange(300))
    assert one.slope.value == pytest.approx(two.slope.value)
    assert one.slope.low == pytest.approx(two.slope.low)


def test_the_interval_of_the_slope_covers_it():
    random = np.random.default_rng(2)
    covered = 0
    for _ in range(200):
        x = random.normal(size=200)
        y = (random.random(200) < 1 / (1 + np.exp(-0.7 * x))).astype(float)
        found = length_bias(x, y, np.arange(200)).slope
        covered += found.low <= 0.7 <= found.high
    assert 0.90 <= covered / 200 <= 0.99


def test_length_says_nothing_where_nothing_can_be_said():
    assert length_bias(np.zeros(10), np.ones(10), np.arange(10)) is None
    assert length_bias(np.ones(10), np.ones(10), np.arange(10)) is None  # always longer: no finite slope
    assert length_bias(np.ones(10), np.tile([0.0, 1.0], 5), np.zeros(10, int)) is None  # one comparison
    assert length_flag(None, None) == ""


def test_who_prefers_long_responses_far_more_than_others_is_flagged():
    random = np.random.default_rng(3)
    x = random.normal(size=400)

    def of(slope: float):
        return length_bias(x, (random.random(400) < 1 / (1 + np.exp(-slope * x))).astype(float), np.arange(400))

    others = of(0.3)
    assert length_flag(of(3.0), others) == "longer"
    assert length_flag(of(-2.0), others) == "shorter"
    assert length_flag(of(0.3), others) == ""
