"""Agreement against numbers worked out by hand."""

from __future__ import annotations

import pytest

from annotate.quality.agreement import pair_counts, percent_agreement
from annotate.quality.selectors import project_agreement


def test_pairs_count_only_where_both_order_strictly():
    # (0,1): 1<2 and 2>1 disagree; (0,2): 1<3 and 2<3 agree; (1,2): 2<3 and 1<3 agree.
    assert pair_counts([[1, 2, 3], [2, 1, 3]]) == (2, 3)
    assert pair_counts([[1, 1, 2], [1, 2, 3]]) == (2, 2)  # a tie says nothing
    assert pair_counts([[1, None, 2], [1, 2, 3]]) == (1, 1)  # nor does an unranked response
    assert pair_counts([[1, 2], [1, 2], [2, 1]]) == (1, 3)  # three annotators are three couples


def test_one_comparison_has_no_interval():
    found = percent_agreement([[[1, 2, 3], [2, 1, 3]]])
    assert (found.value, found.low, found.high, found.pairs, found.comparisons) == (
        pytest.approx(2 / 3),
        None,
        None,
        3,
        1,
    )


def test_the_interval_holds_the_value_and_is_the_same_every_time():
    comparisons = [[[1, 2], [1, 2]]] * 30 + [[[1, 2], [2, 1]]] * 10
    found = percent_agreement(comparisons)
    assert found.value == 0.75
    assert 0.5 < found.low < 0.75 < found.high < 0.95
    assert percent_agreement(comparisons) == found


def test_unanimous_annotators_leave_no_doubt_and_nobody_leaves_no_figure():
    found = percent_agreement([[[1, 2], [1, 2]]] * 5)
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)
    assert percent_agreement([[[1, 2]], [[1, 1], [1, 2]]]) is None


def test_a_projects_agreement_is_of_current_judgements(project, make_comparison, judge, annotator, other_annotator):
    comparison = make_comparison(project, "Why?", ["a", "b", "c"])
    judge(comparison, annotator, helpfulness=[1, 2, 3])
    old = judge(comparison, other_annotator, helpfulness=[3, 2, 1])
    old.is_current = False
    old.save()
    judge(comparison, other_annotator, helpfulness=[1, 2, 3], harmlessness=[1, 1, 1])
    [row] = project_agreement(project)
    assert (row["dimension"], row["value"], row["pairs"]) == ("Helpfulness", 1.0, 3)
