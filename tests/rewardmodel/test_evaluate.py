"""Accuracy, its interval, and the baseline."""

import numpy as np
import pytest

from annotate.pairs import Edge, edges
from rewardmodel.training import evaluate
from rewardmodel.training.data import Comparison


def comparison(prompt, responses, ranks, dimension="helpfulness"):
    rankings = [{"ranks": ranks}]
    return Comparison(
        id="1",
        split="test",
        prompt=[{"role": "user", "content": prompt}],
        responses=responses,
        rankings={dimension: rankings},
        edges={dimension: edges(rankings, len(responses))},
    )


def test_a_pair_is_right_when_the_preferred_response_scores_higher():
    judged = [Edge(0, 1, 1.0, 1.0), Edge(0, 2, 1.0, 0.0), Edge(1, 2, 1.0, 0.9)]
    # 0 > 1 right, 2 > 0 wrong, 1 > 2 at equal scores: a coin flip
    assert evaluate.pair_outcomes([3.0, 1.0, 1.0], judged) == [1.0, 0.0, 0.5]


def test_ties_have_no_right_answer_and_are_not_counted():
    assert evaluate.pair_outcomes([3.0, 1.0], [Edge(0, 1, 1.0, 0.5)]) == []


def test_wilson_matches_the_published_example():
    # 8 of 10: 0.4902 to 0.9433 (Agresti and Coull 1998 use the same interval)
    assert evaluate.wilson(0.8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)


def test_independent_outcomes_get_the_plain_wilson_interval():
    outcomes = [(str(i), 1.0) for i in range(8)] + [(str(i), 0.0) for i in range(8, 10)]
    # clusters of one: deff = count / (count - 1) = 10/9, so n_eff = 9
    found = evaluate.clustered_share(outcomes)
    assert (found.low, found.high) == pytest.approx(evaluate.wilson(0.8, 9))
    assert (found.value, found.n, found.prompts) == (pytest.approx(0.8), 10, 10)


def test_repeating_every_outcome_within_its_prompt_adds_no_evidence():
    once = [(str(i), float(i % 3 == 0)) for i in range(30)]
    many = [(key, outcome) for key, outcome in once for _ in range(6)]
    a, b = evaluate.clustered_share(once), evaluate.clustered_share(many)
    assert (a.value, a.low, a.high) == pytest.approx((b.value, b.low, b.high))
    assert b.n == 180 and b.prompts == 30


def test_a_perfect_score_over_few_prompts_stays_uncertain():
    found = evaluate.clustered_share([("a", 1.0)] * 6 + [("b", 1.0)] * 6)
    assert (found.low, found.high) == pytest.approx(evaluate.wilson(1.0, 2))
    assert found.low < 0.5


def test_no_outcomes_give_no_estimate():
    assert evaluate.clustered_share([]) is None


def test_the_interval_covers_the_truth_when_pairs_of_a_prompt_go_together():
    rng = np.random.default_rng(0)
    covered, naive, repeats = 0, 0, 400
    for _ in range(repeats):
        ability = rng.beta(2, 1, size=40)  # mean 2/3
        outcomes = [(str(prompt), float(rng.random() < p)) for prompt, p in enumerate(ability) for _ in range(6)]
        found = evaluate.clustered_share(outcomes)
        covered += found.low <= 2 / 3 <= found.high
        low, high = evaluate.wilson(found.value, found.n)
        naive += low <= 2 / 3 <= high
    assert covered / repeats >= 0.92
    assert naive / repeats < 0.9


def test_longer_is_better_counts_characters():
    rows = [comparison("a", ["long answer", "short"], [1, 2]), comparison("b", ["x", "xxxx"], [1, 2])]
    lengths = evaluate.by_length(rows, ["helpfulness", "harmlessness"])
    found = evaluate.accuracy(rows, lengths, ["helpfulness", "harmlessness"])
    assert found["helpfulness"]["value"] == 0.5
    assert "harmlessness" not in found


def test_accuracy_reads_each_dimension_from_its_own_column():
    rows = [comparison("a", ["x", "y"], [1, 2], "helpfulness"), comparison("b", ["x", "y"], [1, 2], "harmlessness")]
    scores = [[[1.0, 9.0], [0.0, 9.9]], [[9.0, 0.0], [9.9, 1.0]]]
    found = evaluate.accuracy(rows, scores, ["helpfulness", "harmlessness"])
    assert found["helpfulness"]["value"] == 1.0
    assert found["harmlessness"]["value"] == 0.0


def test_two_scorers_are_compared_by_the_prompts_on_which_they_differ():
    rows = [comparison(prompt, ["x", "y"], [1, 2]) for prompt in "abcde"]
    right, wrong = [[1.0], [0.0]], [[0.0], [1.0]]
    ours, theirs = [right, right, right, wrong, right], [wrong, wrong, wrong, right, right]
    found = evaluate.head_to_head(rows, ours, theirs, ["helpfulness"])["helpfulness"]
    assert (found["value"], found["n"]) == (0.75, 4)
    assert (found["low"], found["high"]) == pytest.approx(evaluate.wilson(0.75, 4))


def test_scorers_that_never_differ_have_nothing_between_them():
    rows = [comparison("a", ["x", "y"], [1, 2])]
    assert evaluate.head_to_head(rows, [[[1.0], [0.0]]], [[[2.0], [1.0]]], ["helpfulness"]) == {}


def test_moments_are_over_all_responses_of_all_comparisons():
    mean, std = evaluate.moments([[[1.0], [2.0]], [[6.0]]], ["helpfulness"])
    assert mean["helpfulness"] == pytest.approx(3.0)
    assert std["helpfulness"] == pytest.approx((14 / 3) ** 0.5)
