"""A fast slice of benchmarks/learning.py: learning is real, and where nothing is learnt the measure says so."""

import pytest

from benchmarks import learning
from tests.tiny import tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("learning")
    tiny_model(found / "model")
    learning.write_prompts(found / "prompts.jsonl", 64)
    return found


def test_reinforce_raises_the_true_objective_on_prompts_it_never_saw(folder):
    curve = learning.online(folder, "reinforce", 0, steps=10)
    assert curve.learnt
    assert curve.outcome["kl"]["value"] > 0
    assert [part for part, _, _ in curve.points] == sorted(part for part, _, _ in curve.points)


def test_without_a_learning_rate_nothing_is_learnt_and_the_interval_says_so(folder):
    curve = learning.online(folder, "reinforce", 1, steps=2, learning_rate=1e-12)
    assert not curve.learnt
    [row] = learning.results([curve])
    assert row.met is False


def test_the_chart_has_a_line_for_every_training(folder):
    outcome = {"gain": {"low": 0.1, "value": 0.2, "high": 0.3}}
    curves = [learning.Curve(name, 0, [(0.0, 0.2, 0.0), (1.0, 0.5, 3.0)], outcome) for name in ("ppo", "dpo")]
    assert learning.svg(curves).count("<polyline") == 2
