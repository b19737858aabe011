"""Consensus rankings and soft labels against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from annotate.quality.consensus import (
    PRIOR_VARIANCE,
    agreement_with_others,
    bradley_terry,
    consensus,
    ranks_of,
    soft_labels,
    wins_of,
)
from annotate.quality.judged import judged
from tests.annotate.quality.worlds import rankings

CYCLE = [[1, 2, 3], [3, 1, 2], [2, 3, 1]]


def test_unanimous_judges_are_followed_by_every_method():
    for method in ("bradley-terry", "borda", "majority"):
        assert consensus([[2, 1, 3]] * 3, method=method).ranks == [2, 1, 3]


def test_a_cycle_is_a_tie():
    for method in ("bradley-terry", "borda", "majority"):
        assert consensus(CYCLE, method=method).ranks == [1, 1, 1]


def test_a_pair_of_two_judges_by_hand():
    """One response twice before the other: sigma(-d) * 2 = s / v with d = 2 s, at the maximum."""
    found = consensus([[1, 2], [1, 2]]).scores
    assert found[0] == -found[1]
    assert 2 / (1 + np.exp(2 * found[0])) == pytest.approx(found[0] / PRIOR_VARIANCE)


def test_borda_by_hand():
    # The second ranking does not place the third response: 0 and 1 of one rival. The first gives 1, 1/2, 0 of two.
    assert consensus([[1, 2, 3], [2, 1, None]], method="borda").scores == pytest.approx([0.5, 0.75, 0.0])


def test_majority_by_hand():
    # 0 beats 1 twice to one, ties with 2 (one each and a tie), and 1 beats 2 twice to one.
    found = consensus([[1, 2, 3], [2, 3, 1], [2, 1, 2]], method="majority")
    assert found.scores == pytest.approx([1.5, 1.0, 0.5])
    assert found.ranks == [1, 2, 3]


def test_weights_decide_and_weight_nothing_is_nobody():
    rankings = [[1, 2], [2, 1], [2, 1]]
    assert consensus(rankings).ranks == [2, 1]
    assert consensus(rankings, weights=[1.0, 0.3, 0.3]).ranks == [1, 2]
    assert consensus(rankings, weights=[1, 0, 0], method="borda").ranks == [1, 2]
    assert consensus(rankings, weights=[0, 0, 0]).ranks == [2, 1]  # nobody trusted: all alike
    with pytest.raises(ValueError, match="not negative"):
        consensus(rankings, weights=[1, -1, 0])
    with pytest.raises(ValueError, match="no consensus method"):
        consensus(rankings, method="dice")


def test_an_unplaced_response_is_never_last():
    found = consensus([[1, None, 2], [1, None, 2]])
    assert found.ranks == [1, None, 2]
    assert np.isnan(found.scores[1])
    assert consensus([]).ranks == []


def test_equal_scores_share_a_rank():
    assert ranks_of(np.array([0.5, 2.0, 0.5 + 1e-9, np.nan, -1.0])) == [2, 1, 2, None, 3]


def test_newton_finds_the_maximum_from_anywhere():
    random = np.random.default_rng(0)
    wins = random.exponential(30, size=(200, 5, 5)) * (1 - np.eye(5)) * (random.random((200, 5, 5)) < 0.4)
    scores = bradley_terry(wins)
    chance = 1 / (1 + np.exp(scores[:, None, :] - scores[:, :, None]))
    slope = (wins - (wins + wins.transpose(0, 2, 1)) * chance).sum(axis=2) - scores / PRIOR_VARIANCE
    assert np.abs(slope).max() < 1e-8
    assert np.abs(scores.sum(axis=1)).max() < 1e-8


def test_soft_labels_are_sure_where_judges_agree_and_even_where_they_do_not():
    labels = soft_labels([[1, 2, 3], [1, 3, 2], [1, 2, None]])
    assert (labels[0, 1] > 0.85 and 0.5 < labels[1, 2] < 0.55) or labels[1, 2] == pytest.approx(0.5)
    assert soft_labels([[1, 2], [2, 1]])[0, 1] == pytest.approx(0.5)
    assert soft_labels([[1, 1]])[0, 1] == pytest.approx(0.5)
    assert soft_labels([[1, None]]) == {}
    assert soft_labels([[1, 2], [2, 1]], reliabilities=[0.95, 0.55])[0, 1] > 0.7
    assert soft_labels([[2, 1]], reliabilities=[0.05])[0, 1] > 0.7  # an adversary means the opposite


def test_agreement_with_others_leaves_ones_own_judgement_out():
    # a and b say 1 2 3; c says 1 3 2. For a the others' consensus is (b, c): response 0 first, 1 and 2 even.
    table = judged([(0, "a", {0: 1, 1: 2, 2: 3}), (0, "b", {0: 1, 1: 2, 2: 3}), (0, "c", {0: 1, 1: 3, 2: 2})])
    agreeing, every = agreement_with_others(table, np.ones(3))
    assert agreeing.tolist() == [2, 2, 2]
    assert every.tolist() == [2, 2, 3]
    # Trusted, b alone is a's consensus; the weightless have no say.
    agreeing, every = agreement_with_others(table, np.array([1.0, 1.0, 0.0]))
    assert every.tolist() == [3, 3, 3]
    assert agreeing.tolist() == [3, 3, 2]


def test_agreement_with_others_is_the_same_in_chunks():
    table = judged(rankings(60, 4, 3, {"a": 1, "b": 0.5, "c": 0, "d": -1}))
    whole, parts = (agreement_with_others(table, np.ones(4), chunk=chunk) for chunk in (10_000, 7))
    assert (whole[0] == parts[0]).all() and (whole[1] == parts[1]).all()
    assert agreement_with_others(judged([(0, "a", {0: 1, 1: 2})]), np.ones(1))[1].tolist() == [0]


def test_wins_count_ties_half_and_absent_not_at_all():
    wins = wins_of(np.array([[1, 1, 0, 2]], np.int16), np.array([2.0]))[0]
    assert wins.tolist() == [[0, 1, 0, 2], [1, 0, 0, 2], [0, 0, 0, 0], [0, 0, 0, 0]]
