"""A fast slice of benchmarks/policy_training.py and sampling.py: both sides really run, and do the same work."""

import pytest

from benchmarks import policy_training, sampling
from benchmarks.sides import Side, Turn, phases, started
from tests.tiny import tiny_model


def measured(*names, trl_python=None):
    return policy_training.cases(names, "unused", quick=True, turns=1, trl_python=trl_python)


def test_dpo_has_the_losses_of_trl_and_each_side_its_time_and_memory():
    results, lines = measured("dpo")
    assert [result.unit for result in results] == ["s", "CPU s"] * 2 + ["GiB"]
    assert all(result.ours > 0 and result.peer > 0 for result in results)
    one, _, three, _, _ = results
    assert 2.9 * one.peer < three.peer < 3.1 * one.peer
    assert three.ours < 3 * one.ours, "the reference is asked once"
    assert "reference" in lines[0]


def test_losses_that_differ_from_trls_are_no_comparison(monkeypatch):
    real = policy_training.made_up
    monkeypatch.setattr(
        policy_training, "made_up", lambda case: [(some[0], [prompt, *some[1:]]) for prompt, some in real(case)]
    )
    with pytest.raises(SystemExit, match="has loss"):
        measured("dpo")


def test_grpo_samples_as_many_tokens_as_trl_and_says_where_the_time_went():
    results, lines = measured("grpo")
    assert results[0].target == 2.0
    assert [line.split()[1] for line in lines] == ["ours", "TRL"]
    assert all("sample" in line and "reference" in line for line in lines)


def test_ppo_without_an_environment_for_its_peer_is_left_out_and_said_to_be():
    results, lines = measured("ppo")
    assert not results
    assert "left out" in lines[0]


def test_sampling_counts_the_useful_tokens_of_both_sides(tmp_path):
    model = str(tiny_model(tmp_path))
    results = sampling.cases(model, "unused", ["training"], quick=True, turns=1)
    speed, *_, length = results
    assert speed.target == sampling.TARGET
    assert 0 < length.ours <= 16 and 0 < length.peer <= 16


def test_a_side_that_dies_shows_what_it_said():
    side = Side("benchmarks.sampling", "ours", {"model": "/nowhere", "models_dir": "/nowhere"})
    with started(side), pytest.raises(SystemExit, match="nowhere"):
        side.turn()


def test_time_that_no_phase_took_is_shown_as_other():
    turn = Turn(seconds=5.0, cpu=9.0, phases={"sample": 3.0, "update": 1.5}, peak=1, value=None)
    assert phases([turn]) == {"sample": 3.0, "update": 1.5, "other": 0.5}
