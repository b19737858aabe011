import numpy as np
import pytest

from rl.training.intervals import clustered_mean, paired_difference


def test_the_mean_is_over_responses_and_not_over_prompts():
    # prompt a has 3 responses of 1, prompt b one of 5: (1 + 1 + 1 + 5) / 4
    found = clustered_mean([1.0, 1.0, 1.0, 5.0], ["a", "a", "a", "b"])
    assert (found.value, found.n, found.prompts) == (2.0, 4, 2)
    assert found.low == 1.0 and found.high == 5.0


def test_responses_of_one_prompt_do_not_narrow_the_interval():
    noise = np.random.default_rng(0).normal(size=40)
    alone = clustered_mean(noise.tolist(), [str(i) for i in range(40)])
    copied = clustered_mean(np.repeat(noise, 10).tolist(), [str(i) for i in range(40) for _ in range(10)])
    naive = clustered_mean(np.repeat(noise, 10).tolist(), [str(i) for i in range(400)])
    assert copied.high - copied.low == pytest.approx(alone.high - alone.low, rel=0.05)
    assert naive.high - naive.low < 0.5 * (alone.high - alone.low)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(1)
    hits = 0
    for trial in range(200):
        prompts = np.repeat(generator.normal(size=30), 4)
        values = prompts + generator.normal(size=120)
        found = clustered_mean(values.tolist(), [str(i // 4) for i in range(120)], resamples=400, seed=trial)
        hits += found.low <= 0.0 <= found.high
    assert 0.88 <= hits / 200 <= 0.99


def test_the_same_seed_gives_the_same_interval():
    values, names = [0.1, 0.7, 0.3, 0.9], ["a", "b", "c", "d"]
    assert clustered_mean(values, names, seed=3) == clustered_mean(values, names, seed=3)


def test_pairing_takes_out_how_easy_the_prompts_are():
    ease = np.random.default_rng(2).normal(scale=10.0, size=25)
    names = [str(i) for i in range(25)]
    gap = paired_difference((ease + 1.0).tolist(), names, ease.tolist(), names)
    assert gap.value == pytest.approx(1.0)
    assert gap.high - gap.low == pytest.approx(0.0, abs=1e-9)


def test_only_prompts_that_both_answered_are_paired():
    gap = paired_difference([1.0, 100.0], ["a", "b"], [0.5, 9.0], ["a", "c"])
    assert (gap.value, gap.prompts) == (0.5, 1)
    assert paired_difference([1.0], ["a"], [1.0], ["b"]) is None


def test_nothing_has_no_mean():
    with pytest.raises(ValueError, match="nothing"):
        clustered_mean([], [])
