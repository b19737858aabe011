from __future__ import annotations

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from lm.adapters import add_lora, freeze_reference, reference, trainable
from lm.config import LoraSettings
from lm.loading import load_policy, save_model

TEXT = torch.tensor([[5, 6, 7, 8, 9]])


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model(TEXT).logits


def nudge(model, seed: int = 0) -> None:
    """Change every trainable weight a little, as training would."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in trainable(model).values():
            value += 0.1 * torch.randn(value.shape, generator=generator)


def test_a_new_adapter_is_the_identity_and_only_it_is_trained(policy):
    model, _ = policy
    base = logits(model)
    adapted = add_lora(model, LoraSettings(rank=4))
    assert torch.equal(logits(adapted), base)
    assert trainable(adapted)
    assert all("lora_" in name for name in trainable(adapted))


def test_targets_choose_the_layers(policy, tiny):
    everywhere = set(trainable(add_lora(policy[0], LoraSettings(rank=2))))
    attention = set(trainable(add_lora(load_policy(str(tiny))[0], LoraSettings(rank=2, targets="attention"))))
    assert any("mlp" in name for name in everywhere)
    assert attention < everywhere
    assert all("self_attn" in name for name in attention)


def test_a_seed_decides_the_start_and_leaves_the_global_generator_alone(tiny):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first, second, other = (
        trainable(add_lora(load_policy(str(tiny))[0], LoraSettings(rank=2), seed=seed)) for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_reference_of_a_fresh_adapter_is_the_base(policy):
    model, _ = policy
    base = logits(model)
    adapted = add_lora(model, LoraSettings(rank=4), seed=0)
    nudge(adapted)
    moved = logits(adapted)
    assert not torch.equal(moved, base)
    with reference(adapted):
        assert torch.equal(logits(adapted), base)
    assert torch.equal(logits(adapted), moved)


def test_the_reference_of_a_trained_adapter_is_that_adapter_and_stays_put(policy):
    adapted = add_lora(policy[0], LoraSettings(rank=4), seed=0)
    nudge(adapted)
    start = logits(adapted)
    names = set(trainable(adapted))
    freeze_reference(adapted)
    assert set(trainable(adapted)) == names
    assert torch.equal(logits(adapted), start)
    nudge(adapted, seed=1)
    moved = logits(adapted)
    assert not torch.equal(moved, start)
    with reference(adapted):
        assert torch.equal(logits(adapted), start)
    assert torch.equal(logits(adapted), moved)
    assert set(trainable(adapted)) == names, "looking at the reference does not make it trainable"


def test_a_saved_adapter_loads_here_and_in_plain_peft(policy, tiny, tmp_path):
    model, chat = policy
    adapted = add_lora(model, LoraSettings(rank=4), seed=0)
    nudge(adapted)
    freeze_reference(adapted)
    save_model(adapted, chat, tmp_path / "adapter")
    assert not list((tmp_path / "adapter").glob("*.bin"))
    ours, _ = load_policy(str(tiny), adapter=tmp_path / "adapter", device="cpu")
    assert torch.allclose(logits(ours), logits(adapted), atol=1e-6)
    assert set(trainable(ours)) == set(trainable(adapted))
    plain = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny), tmp_path / "adapter").eval()
    assert torch.allclose(logits(plain), logits(adapted), atol=1e-6)


def test_an_adapter_of_another_shape_is_refused_in_words(policy, tmp_path, chat):
    from transformers import LlamaForCausalLM

    from tests.tiny import tiny_config

    adapted = add_lora(policy[0], LoraSettings(rank=4))
    save_model(adapted, chat, tmp_path / "adapter")
    save_model(LlamaForCausalLM(tiny_config(hidden_size=64)), chat, tmp_path / "wider")
    with pytest.raises(ValueError, match="does not fit"):
        load_policy(str(tmp_path / "wider"), adapter=tmp_path / "adapter")
