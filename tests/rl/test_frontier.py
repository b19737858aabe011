"""What best-of-n earns and costs, by hand."""

from __future__ import annotations

import math
from itertools import combinations
from random import Random
from statistics import fmean

import pytest

from rl.training.frontier import best_of_n_kl, best_of_n_reward, frontier


def test_the_distance_of_best_of_n_by_hand():
    assert best_of_n_kl(1) == 0
    assert best_of_n_kl(2) == pytest.approx(0.6931472 - 0.5)
    assert best_of_n_kl(4) == pytest.approx(1.3862944 - 0.75)


def test_the_reward_of_best_of_n_by_hand():
    # Of 1, 2, 4, 9 the pairs are (1,2) (1,4) (1,9) (2,4) (2,9) (4,9): their highest are 2 + 4 + 9 + 4 + 9 + 9 = 37.
    assert best_of_n_reward([9.0, 1.0, 4.0, 2.0], 2) == pytest.approx(37 / 6)
    assert best_of_n_reward([9.0, 1.0, 4.0, 2.0], 1) == pytest.approx(4.0)
    assert best_of_n_reward([9.0, 1.0, 4.0, 2.0], 3) == pytest.approx((4 + 9 + 9 + 9) / 4)
    assert best_of_n_reward([9.0, 1.0, 4.0, 2.0], 4) == 9.0


def test_it_is_the_mean_over_all_subsets_with_ties_too():
    rng = Random(3)
    rewards = [float(rng.randrange(4)) for _ in range(9)]
    for n in range(1, 10):
        assert best_of_n_reward(rewards, n) == pytest.approx(fmean(max(each) for each in combinations(rewards, n)))


def test_more_than_was_sampled_cannot_be_told():
    for n in (0, 3):
        with pytest.raises(ValueError, match="from 2 samples"):
            best_of_n_reward([1.0, 2.0], n)


def test_the_frontier_doubles_up_to_all_samples_and_averages_over_prompts():
    found = frontier({"a": [0.0, 1.0, 2.0], "b": [10.0, 10.0, 10.0]})
    assert [each["n"] for each in found] == [1, 2, 3]
    # a: 1, (1 + 2 + 2) / 3 and 2; b: always 10.
    assert [each["reward"]["value"] for each in found] == pytest.approx([5.5, (5 / 3 + 10) / 2, 6.0])
    assert found[2]["kl"] == pytest.approx(math.log(3) - 2 / 3)
    assert found[0]["reward"]["prompts"] == 2
    assert [each["n"] for each in frontier({"a": [0.0] * 16})] == [1, 2, 4, 8, 16]


def test_one_exponential_reward_grows_by_the_harmonic_numbers():
    # The highest of n exponential variables has mean 1 + 1/2 + ... + 1/n.
    rng = Random(5)
    rewards = {str(prompt): [rng.expovariate(1.0) for _ in range(16)] for prompt in range(2000)}
    by_n = {each["n"]: each["reward"] for each in frontier(rewards)}
    for n, expected in ((1, 1.0), (2, 1.5), (4, 25 / 12), (8, 761 / 280)):
        assert by_n[n]["low"] < expected < by_n[n]["high"]
