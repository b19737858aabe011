"""Edges, pairs and splits, against numbers worked out by hand."""

import pytest

from annotate.pairs import Edge, canonical, content_hash, edges, pairs, split_of


def test_two_judges_who_disagree_make_a_soft_label():
    rankings = [{"ranks": [1, 2, 3], "weight": 1.0}, {"ranks": [2, 1, 3], "weight": 3.0}]
    assert edges(rankings, 3) == [Edge(0, 1, 4.0, 0.25), Edge(0, 2, 4.0, 1.0), Edge(1, 2, 4.0, 1.0)]


def test_a_tie_is_one_half():
    assert edges([{"ranks": [1, 1], "weight": 2.0}], 2) == [Edge(0, 1, 2.0, 0.5)]


def test_an_unranked_response_is_absent_and_not_last():
    assert edges([{"ranks": [2, None, 1]}], 3) == [Edge(0, 2, 1.0, 0.0)]


def test_a_ranking_without_weight_says_nothing():
    assert edges([{"ranks": [1, 2], "weight": 0.0}], 2) == []


def test_strengths_add_up_over_the_steps_between_two_responses():
    rankings = [{"ranks": [1, 3, 2], "strengths": [2, None, 1]}]
    assert edges(rankings, 3) == [Edge(0, 1, 1.0, 1.0, 3.0), Edge(0, 2, 1.0, 1.0, 2.0), Edge(1, 2, 1.0, 0.0, -1.0)]


def test_a_ranking_of_the_wrong_length_is_refused():
    with pytest.raises(ValueError, match="2 ranks for 3 responses"):
        edges([{"ranks": [1, 2]}], 3)


def test_pairs_name_the_preferred_response_first_and_leave_ties_out():
    rankings = [{"ranks": [2, 1, 1]}]
    assert [(chosen, rejected) for chosen, rejected, _ in pairs(rankings, 3)] == [(1, 0), (2, 0)]
    assert len(pairs(rankings, 3, keep_ties=True)) == 3


def test_the_split_depends_on_the_prompt_alone():
    prompt = [{"role": "user", "content": "你好"}]
    assert split_of(prompt, 0.3) == split_of([{"content": "你好", "role": "user", "extra": 1}], 0.3)
    assert canonical(prompt) == '[{"content":"你好","role":"user"}]'
    assert len(content_hash(prompt)) == 64
    sides = [split_of([{"role": "user", "content": str(i)}], 0.25) for i in range(4000)]
    assert 900 < sides.count("test") < 1100


def test_no_fraction_means_no_test_split():
    assert {split_of([{"role": "user", "content": str(i)}], 0.0) for i in range(200)} == {"train"}
