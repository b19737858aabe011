"""Which pairs are contested, by hand."""

import pytest

from annotate.quality.agreement import contested_share, disagreement
from annotate.review.conflict import conflict_of

CASES = {
    "the same order": ([{"a": 1, "b": 2}, {"a": 1, "b": 3}], [], 1),
    "the other way round": ([{"a": 1, "b": 2}, {"a": 2, "b": 1}], [("a", "b")], 1),
    "a tie and an order": ([{"a": 1, "b": 1}, {"a": 1, "b": 2}], [("a", "b")], 1),
    "two ties": ([{"a": 1, "b": 1}, {"a": 2, "b": 2}], [], 1),
    "placed by one only": ([{"a": 1, "b": 2}, {"a": 1}], [], 0),
    "one of three pairs": ([{"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 3, "c": 2}], [("b", "c")], 3),
    "one judgement": ([{"a": 1, "b": 2}], [], 0),
}


@pytest.mark.parametrize("case", CASES)
def test_a_pair_is_contested_if_not_all_say_the_same(case):
    rankings, contested, pairs = CASES[case]
    conflict = conflict_of(rankings, ["a", "b", "c"])
    assert list(conflict.contested) == contested
    assert conflict.pairs == pairs
    assert conflict.share == contested_share({"helpfulness": rankings})


def test_each_response_knows_whom_its_order_is_contested_with():
    conflict = conflict_of([{"a": 1, "b": 2, "c": 3}, {"a": 3, "b": 2, "c": 1}], ["a", "b", "c"])
    assert conflict.against("a") == ["b", "c"]
    assert conflict.against("b") == ["a", "c"]


def test_all_bad_contradicts_a_ranking_and_a_tie_but_not_itself():
    ranked, tied, nothing = {"a": 1, "b": 2}, {"a": 1, "b": 1}, {}
    for given, all_bad, contested in (
        ([ranked, nothing], [False, True], 1),
        ([tied, tied], [False, True], 1),
        ([tied, tied], [True, True], 0),
        ([tied, nothing], [True, True], 0),
        ([ranked, ranked], [False, True], 0),
        ([ranked, tied], [False, True], 1),
    ):
        conflict = conflict_of(given, ["a", "b"], all_bad)
        assert (len(conflict.contested), conflict.pairs) == (contested, 1)
        assert contested_share({"h": given}, {"h": all_bad}) == contested
        assert disagreement(
            [(({"h": r} if r else {}), ["h"] * bad) for r, bad in zip(given, all_bad, strict=True)]
        ) == (contested)
    assert disagreement([({}, ["h"]), ({}, ["h"])]) is None, "no response is placed by anybody"
    assert disagreement([({"h": ranked}, [])]) is None
