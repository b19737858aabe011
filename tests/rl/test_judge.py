"""What a response earns, worked out by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from rl.training.config import GRPOConfig
from rl.training.estimators import RunningMoments, scaled_rewards
from rl.training.judge import Judge
from rl.training.prompts import Prompt
from rl.training.rewards import Opinion, Rewards

PROMPTS = [Prompt("1", [{"role": "user", "content": "Why?"}], [1])]
TEXTS = [["short", "long", "rude"]]
TOKENS = [[50, 300, 10]]


class Says(Rewards):
    """A reward model whose opinions are given; how they are weighed and combined is the real thing."""

    def __init__(self, dimensions, opinions, weights=None, members=1):
        super().__init__(SimpleNamespace(dimensions=dimensions, members=members, shift=[0.0]), weights or {})
        self.said = opinions

    def opinions(self, conversations, *, batch_tokens, stop=lambda: False):
        return [self.said]


# means of helpfulness and harmlessness; spreads of the ensemble
HELPFUL, HARMLESS = [1.0, 3.0, 5.0], [2.0, 1.0, -4.0]
SPREADS = [[0.5, 0.0], [2.0, 1.0], [0.0, 0.0]]
OPINIONS = [Opinion([a, b], spread) for a, b, spread in zip(HELPFUL, HARMLESS, SPREADS, strict=True)]


def earned(*, more=(), watched=None, weights=None, members=1, texts=TEXTS, **settings):
    judge = Judge(
        GRPOConfig(**settings),
        Says(("helpfulness", "harmlessness"), OPINIONS, weights, members),
        more=more,
        watched=watched,
    )
    return judge.verdict(PROMPTS, texts, TOKENS, batch_tokens=100, watch=True)


def test_dimensions_count_by_their_weights():
    # (1 + 2)/2, (3 + 1)/2, (5 - 4)/2
    assert earned().rewards == pytest.approx([1.5, 2.0, 0.5])
    # weights 3 and 1: (3*1 + 2)/4, (3*3 + 1)/4, (3*5 - 4)/4
    weighed = earned(weights={"helpfulness": 3.0, "harmlessness": 1.0})
    assert weighed.rewards == pytest.approx([1.25, 2.5, 2.75])
    assert weighed.columns == {"helpfulness": HELPFUL, "harmlessness": HARMLESS}


def test_further_reward_models_and_checks_are_added_by_weight():
    second = Says(("style",), [Opinion([value], [0.0]) for value in (10.0, 0.0, -10.0)])
    checks = [{"kind": "words", "any_of": ["long"], "weight": 4.0}]
    found = earned(more=[("style", 0.5, second)], checks=checks, reward_model_weight=2.0)
    # 2*1.5 + 0.5*10 + 0, 2*2 + 0 + 4, 2*0.5 - 5 + 0
    assert found.rewards == pytest.approx([8.0, 8.0, -4.0])


def test_below_the_gate_it_alone_is_the_reward():
    # rude is harmless -4, below -1: its reward is -4 whatever its help
    gated = earned(gate_dimension="harmlessness", gate_threshold=-1.0)
    assert gated.rewards == pytest.approx([1.5, 2.0, -4.0])
    # at the threshold itself the gate is open
    assert earned(gate_dimension="harmlessness", gate_threshold=1.0).rewards == pytest.approx([1.5, 2.0, -4.0])
    assert earned(gate_dimension="harmlessness", gate_threshold=1.5).rewards == pytest.approx([1.5, 1.0, -4.0])


def test_tokens_beyond_the_free_length_cost():
    # long: 2 - 0.5 * (300 - 100)/100
    assert earned(length_penalty=0.5, free_tokens=100).rewards == pytest.approx([1.5, 1.0, 0.5])


def test_the_lower_bound_of_an_ensemble_takes_its_spread_off():
    # means less half a spread: (0.75 + 2)/2, (2 + 0.5)/2, (5 - 4)/2
    found = earned(ensemble_penalty=0.5, members=3)
    assert found.rewards == pytest.approx([1.375, 1.25, 0.5])
    # the bound that is watched takes a whole one: (0.5 + 2)/2, (1 + 0)/2
    assert found.bound == pytest.approx([1.25, 0.5, 0.5])
    assert earned().bound == []


def test_a_watched_model_is_heard_and_earns_nothing():
    watched = Says(("other",), [Opinion([value], [0.0]) for value in (7.0, 8.0, 9.0)])
    found = earned(watched=watched)
    assert found.watched == [7.0, 8.0, 9.0] and found.rewards == pytest.approx([1.5, 2.0, 0.5])


def test_rewards_are_scaled_by_what_was_seen_and_then_clipped():
    moments = RunningMoments()
    moments.update([1.0, 3.0])  # mean 2, spread 1
    rewards = torch.tensor([2.5, -4.0, 5.0])
    assert scaled_rewards(rewards, moments, 2.0).tolist() == [0.5, -2.0, 2.0]
    assert scaled_rewards(rewards, None, 3.0).tolist() == [2.5, -3.0, 3.0]
    assert scaled_rewards(rewards, None, None).tolist() == rewards.tolist()
