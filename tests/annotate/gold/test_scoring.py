from __future__ import annotations

import pytest

from annotate.gold.scoring import gold_score, reference_read

REFERENCE = {"helpfulness": {"1": 1, "2": 2, "3": 2}, "harmlessness": {"1": 1, "2": 2}}


@pytest.mark.parametrize(
    ("rankings", "score"),
    [
        (REFERENCE, 1.0),
        ({"helpfulness": {"1": 1, "2": 3, "3": 2}, "harmlessness": {"1": 1, "2": 2}}, 1.0),  # the tie asks nothing
        ({"helpfulness": {"1": 2, "2": 1, "3": 3}, "harmlessness": {"1": 1, "2": 2}}, 2 / 3),
        ({"helpfulness": {"1": 1, "2": 1, "3": 1}, "harmlessness": {"1": 1, "2": 2}}, 1 / 3),  # a tie is not the same
        ({"helpfulness": {"1": 1, "2": 2}, "harmlessness": {"1": 1, "2": 2}}, 2 / 3),  # nor is what was not placed
        ({}, 0.0),
    ],
)
def test_the_score_is_the_share_of_ordered_pairs_that_are_ordered_the_same(rankings, score):
    assert gold_score(rankings, REFERENCE) == pytest.approx(score)


def test_a_reference_that_orders_nothing_scores_nothing():
    assert gold_score({"helpfulness": {"1": 1, "2": 2}}, {"helpfulness": {"1": 1, "2": 1}}) is None


def read(rankings):
    return reference_read(rankings, dimensions={"helpfulness": "Helpfulness"}, responses=[1, 2, 3])


def test_a_reference_is_read_with_its_gaps_closed():
    assert read({"helpfulness": {1: 2, "3": 5}}) == {"helpfulness": {"1": 1, "3": 2}}


@pytest.mark.parametrize(
    ("rankings", "complaint"),
    [
        (None, "must be an object"),
        ({"beauty": {"1": 1}}, "“beauty” is not a dimension"),
        ({"helpfulness": [1, 2]}, "Helpfulness: this must be an object"),
        ({"helpfulness": {"4": 1, "1": 2}}, "response 4 is not in this comparison"),
        ({"helpfulness": {"1": 0, "2": 1}}, "0 is not a rank"),
        ({"helpfulness": {"1": True, "2": 2}}, "True is not a rank"),
        ({"helpfulness": {"1": 1, "2": 1}}, "at least one response before another"),
        ({}, "at least one response before another"),
    ],
)
def test_a_reference_that_cannot_be_one_is_refused(rankings, complaint):
    with pytest.raises(ValueError, match=complaint):
        read(rankings)


@pytest.mark.parametrize(
    ("chosen", "score"),
    [({"1": 1, "2": 2, "3": 2}, 1.0), ({"2": 1, "1": 2, "3": 2}, 1.0), ({"3": 1, "1": 2, "2": 2}, 0.0), ({}, 0.0)],
)
def test_whoever_chooses_one_of_the_best_is_right(chosen, score):
    reference = {"helpfulness": {"1": 1, "2": 1, "3": 3}}
    assert gold_score({"helpfulness": chosen}, reference, only_best=True) == score


def test_the_order_of_the_others_is_not_asked_of_who_chooses_the_best():
    known = {"helpfulness": {"1": 1, "2": 2, "3": 3}}
    assert gold_score({"helpfulness": {"1": 1, "2": 2, "3": 2}}, known, only_best=True) == 1.0
    read = reference_read(known, dimensions={"helpfulness": "H"}, responses=[1, 2, 3], only_best=True)
    assert read == {"helpfulness": {"1": 1, "2": 2, "3": 2}}
