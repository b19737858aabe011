from __future__ import annotations

import pytest
import torch

from lm.adapters import add_lora
from lm.config import LoraSettings, Sampling
from lm.loading import load_policy
from lm.packed import PackedLinear, packed
from lm.prefix import Group, response_logprobs
from lm.sampler import Sample, sample
from lm.seeds import seed_of

K = 3
FREE = Sampling(temperature=1.0, top_p=1.0, max_tokens=60)
CUT = Sampling(temperature=0.8, top_p=0.9, max_tokens=40)


def lively(tiny, dtype: str = "float32"):
    """The tiny model with an end token likely enough that samples end at many lengths."""
    model, chat = load_policy(str(tiny), device="cpu", dtype=dtype)
    with torch.no_grad():
        model.get_input_embeddings().weight[chat.end_id] *= 2.5
    return model, chat


@pytest.fixture
def policy(tiny):
    return lively(tiny)


def prompts() -> list[list[int]]:
    generator = torch.Generator().manual_seed(0)
    lengths = (5, 9, 70, 3, 12, 1, 30)
    return [torch.randint(3, 259, (length,), generator=generator).tolist() for length in lengths]


def seeds(count: int) -> list[int]:
    return [seed_of(0, f"prompt-{number}", index) for number in range(count) for index in range(K)]


def ids_of(samples: list[list[Sample]]) -> list[list[list[int]]]:
    return [[one.ids for one in of_prompt] for of_prompt in samples]


def plain(model, chat, prompt: list[int], sampling: Sampling, seed: int) -> list[int]:
    """One sample the long way: the whole sequence again for every token, through transformers alone."""
    import numpy

    from lm.draw import draw

    uniforms = numpy.random.Generator(numpy.random.Philox(key=seed)).random(sampling.max_tokens)
    ids: list[int] = []
    with torch.no_grad():
        while len(ids) < sampling.max_tokens and chat.end_id not in ids:
            logits = model(torch.tensor([prompt + ids])).logits[:, -1].float()
            ids.append(int(draw(logits, torch.tensor(uniforms[len(ids)])[None], sampling)[0]))
    return ids


@pytest.mark.parametrize("sampling", [FREE, CUT, Sampling(temperature=0.0, max_tokens=15)])
def test_samples_equal_those_made_one_by_one_without_a_cache(tiny, sampling):
    model, chat = lively(tiny, "float64")
    some = prompts()[:3]
    found = sample(model, chat, some, K, sampling, seeds(3), rows=4)
    for number, prompt in enumerate(some):
        for index in range(K):
            expected = plain(model, chat, prompt, sampling, seeds(3)[number * K + index])
            assert found[number][index].ids == expected


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sampling", [FREE, CUT])
def test_results_do_not_depend_on_what_is_sampled_together(tiny, dtype, sampling):
    model, chat = lively(tiny, dtype)
    everything = sample(model, chat, prompts(), K, sampling, seeds(7), rows=100)
    for rows in (1, 5, 8):
        assert ids_of(sample(model, chat, prompts(), K, sampling, seeds(7), rows=rows)) == ids_of(everything)
    alone = sample(model, chat, prompts()[4:5], K, sampling, seeds(7)[4 * K : 5 * K])
    assert ids_of(alone) == ids_of(everything[4:5])


def test_lengths_vary_so_that_the_tests_above_see_rows_finish_and_be_replaced(policy):
    found = sample(*policy, prompts(), K, FREE, seeds(7), rows=5)
    assert len({len(one.ids) for of_prompt in found for one in of_prompt}) > 8
    assert {one.finished for of_prompt in found for one in of_prompt} == {True, False}


def test_a_finished_sample_ends_with_its_only_end_token_and_another_is_cut_off(policy):
    model, chat = policy
    for of_prompt in sample(model, chat, prompts(), K, FREE, seeds(7)):
        for one in of_prompt:
            assert len(one.logprobs) == len(one.ids)
            assert one.finished == (one.ids[-1] == chat.end_id)
            assert one.ids.count(chat.end_id) == one.finished
            assert one.finished or len(one.ids) == FREE.max_tokens


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_recorded_log_probs_are_the_models_own(policy, temperature):
    """So a first PPO step has ratio 1: the trainer's forward pass gives what the sampler recorded."""
    model, chat = policy
    sampling = Sampling(temperature=temperature, top_p=1.0, max_tokens=40)
    found = sample(model, chat, prompts(), K, sampling, seeds(7), rows=4)
    groups = [Group(prompt, [one.ids for one in some]) for prompt, some in zip(prompts(), found, strict=True)]
    with torch.no_grad():
        again = response_logprobs(model, groups, temperature=temperature)
    for some, values in zip(found, again, strict=True):
        for one, value in zip(some, values, strict=True):
            assert torch.allclose(torch.tensor(one.logprobs), value, atol=1e-5)


def test_an_adapter_is_sampled_with_and_left_as_it_was(policy):
    model, chat = policy
    base = ids_of(sample(model, chat, prompts(), K, FREE, seeds(7)))
    adapted = add_lora(model, LoraSettings(rank=4), seed=0)
    assert ids_of(sample(adapted, chat, prompts(), K, FREE, seeds(7))) == base, "a new adapter is the identity"
    torch.manual_seed(0)
    for name, value in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value, std=0.2)
    adapted.train()
    before = {name: value.clone() for name, value in adapted.state_dict().items()}
    found = sample(adapted, chat, prompts(), K, FREE, seeds(7))
    assert ids_of(found) != base
    groups = [Group(prompt, [one.ids for one in some]) for prompt, some in zip(prompts(), found, strict=True)]
    with torch.no_grad():
        again = response_logprobs(adapted, groups)
    largest = max(
        float((torch.tensor(one.logprobs) - value).abs().max())
        for some, values in zip(found, again, strict=True)
        for one, value in zip(some, values, strict=True)
    )
    assert largest < 1e-4
    with adapted.disable_adapter():
        assert ids_of(sample(adapted, chat, prompts(), K, FREE, seeds(7))) == base
    assert adapted.training
    after = adapted.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not any(isinstance(module, PackedLinear) for module in adapted.modules())


def test_packed_layers_compute_the_same_and_are_taken_out_after_an_error(policy):
    model, _ = policy
    text = torch.tensor([prompts()[1]])
    with torch.no_grad():
        expected = model(text).logits
        with packed(model):
            assert any(isinstance(module, PackedLinear) for module in model.modules())
            assert torch.allclose(model(text).logits, expected, atol=1e-5)
        with pytest.raises(IndexError), packed(model):
            model(torch.tensor([[10**6]]))
    assert not any(isinstance(module, PackedLinear) for module in model.modules())


def test_a_model_with_a_window_samples_what_the_long_way_samples(tmp_path, chat):
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=259,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=8,
        initializer_range=0.2,
    )
    MistralForCausalLM(config).save_pretrained(tmp_path)
    chat.save(tmp_path)
    model, chat = load_policy(str(tmp_path), device="cpu")
    some = prompts()[:3]
    found = sample(model, chat, some, K, CUT, seeds(3))
    for number, prompt in enumerate(some):
        for index in range(K):
            assert found[number][index].ids == plain(model, chat, prompt, CUT, seeds(3)[number * K + index])


def test_each_prompt_is_handed_over_once_as_soon_as_it_is_complete(policy):
    handed: dict[int, list[Sample]] = {}
    found = sample(*policy, prompts(), K, FREE, seeds(7), rows=4, on_prompt=lambda p, some: handed.update({p: some}))
    assert handed == dict(enumerate(found))
    assert list(handed) != sorted(handed), "prompts finish in an order of their own"


def test_a_stop_ends_sampling_and_leaves_unfinished_prompts_empty(policy):
    handed: list[int] = []
    found = sample(
        *policy,
        prompts(),
        K,
        FREE,
        seeds(7),
        rows=4,
        stop=lambda: len(handed) >= 2,
        on_prompt=lambda number, _: handed.append(number),
    )
    assert [number for number, some in enumerate(found) if some] == sorted(handed)
    assert 2 <= len(handed) < 7


def test_no_prompts_give_no_samples(policy):
    assert sample(*policy, [], K, FREE, []) == []


def test_what_cannot_be_sampled_is_refused(policy):
    with pytest.raises(ValueError, match="no tokens"):
        sample(*policy, [[]], 1, FREE, [0])
    with pytest.raises(ValueError, match="1024 positions"):
        sample(*policy, [[5] * 1000], 1, FREE, [0])
    with pytest.raises(ValueError, match="seeds"):
        sample(*policy, [[5]], 2, FREE, [0])


def test_seeds_differ_for_every_run_prompt_and_sample_and_stay_what_they_are():
    found = {seed_of(run, prompt, index) for run in range(3) for prompt in ("1", "11") for index in range(12)}
    assert len(found) == 3 * 2 * 12
    assert seed_of(0, "12", 3) == 7706752197943393002
