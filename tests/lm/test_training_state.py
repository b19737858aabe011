"""Optimizer, learning rate and checkpoints."""

from __future__ import annotations

import random

import pytest
import torch

from lm.adapters import add_lora, trainable
from lm.checkpoint import load_state, save_state
from lm.config import LoraSettings
from lm.loading import load_policy
from lm.optim import learning_rate_at, make_optimizer, set_learning_rate
from lm.prefix import Group, response_logprobs

GROUPS = [Group([5, 6, 7], [[8, 9, 2], [10, 2]])]


def start(tiny, dropout: float = 0.0):
    model = add_lora(load_policy(str(tiny))[0], LoraSettings(rank=4, dropout=dropout), seed=0).train()
    return model, make_optimizer(trainable(model).values(), 1e-2, 0.1)


def train(model, optimizer, steps: int) -> list[float]:
    """A few steps whose losses depend on weights, moments and, with dropout, on the random generator."""
    losses = []
    for _ in range(steps):
        loss = -sum(value.sum() for value in response_logprobs(model, GROUPS)[0]) * (1 + random.random())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def test_training_continues_from_a_checkpoint_to_the_last_bit(tiny, tmp_path):
    torch.manual_seed(3)
    random.seed(3)
    model, optimizer = start(tiny, dropout=0.3)
    train(model, optimizer, 3)
    meta = {"step": 3, "order": [4, 1], "coefficient": 0.1 + 0.2}
    extra = {"reference": torch.randn(5)}
    save_state(tmp_path, parameters=trainable(model), optimizers={"policy": optimizer}, tensors=extra, meta=meta)
    expected = train(model, optimizer, 4)
    end = {name: value.clone() for name, value in trainable(model).items()}

    torch.manual_seed(99)
    random.seed(99)
    again, optimizer = start(tiny, dropout=0.3)
    found_meta, found_extra = load_state(tmp_path, parameters=trainable(again), optimizers={"policy": optimizer})
    assert found_meta == meta
    assert torch.equal(found_extra["reference"], extra["reference"])
    assert train(again, optimizer, 4) == expected
    assert all(torch.equal(value, end[name]) for name, value in trainable(again).items())


def test_a_checkpoint_holds_no_pickle(tiny, tmp_path):
    model, optimizer = start(tiny)
    train(model, optimizer, 1)
    save_state(tmp_path, parameters=trainable(model), optimizers={"policy": optimizer})
    assert sorted(file.name for file in tmp_path.iterdir()) == ["state.json", "state.safetensors"]


def test_a_checkpoint_of_other_settings_is_refused_and_changes_nothing(tiny, tmp_path):
    model, optimizer = start(tiny)
    save_state(tmp_path, parameters=trainable(model), optimizers={"policy": optimizer})
    other = add_lora(load_policy(str(tiny))[0], LoraSettings(rank=8), seed=1)
    before = {name: value.clone() for name, value in trainable(other).items()}
    with pytest.raises(ValueError, match="another model"):
        load_state(tmp_path, parameters=trainable(other))
    assert all(torch.equal(value, before[name]) for name, value in trainable(other).items())
    with pytest.raises(ValueError, match="critic"):
        load_state(tmp_path, parameters=trainable(model), optimizers={"critic": optimizer})


def test_matrices_decay_and_vectors_do_not():
    matrix, vector = torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(2))
    frozen = torch.nn.Parameter(torch.ones(2), requires_grad=False)
    optimizer = make_optimizer([matrix, vector, frozen], lr=0.5, weight_decay=0.1)
    matrix.grad, vector.grad = torch.zeros(2, 2), torch.zeros(2)
    optimizer.step()
    # AdamW without a gradient only decays: w - lr * decay * w.
    assert torch.allclose(matrix, torch.full((2, 2), 0.95))
    assert torch.equal(vector, torch.ones(2))


def test_the_learning_rate_rises_then_falls_to_nothing():
    linear = [learning_rate_at(step, 10, 0.2, "linear") for step in range(10)]
    assert linear[:3] == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert linear[6] == pytest.approx(0.5)
    assert linear == sorted(linear[:3]) + sorted(linear[3:], reverse=True)
    assert min(linear) > 0
    assert learning_rate_at(10, 10, 0.2, "linear") == 0.0
    assert learning_rate_at(5, 10, 0.0, "cosine") == pytest.approx(0.5)
    assert {learning_rate_at(step, 10, 0.0, "constant") for step in range(10)} == {1.0}
    assert learning_rate_at(0, 1, 0.0, "linear") == 1.0


def test_a_learning_rate_applies_to_every_group():
    parameters = [torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(2))]
    optimizer = make_optimizer(parameters, lr=1.0)
    set_learning_rate(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]
