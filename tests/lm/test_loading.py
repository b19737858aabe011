from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lm.config import Sampling
from lm.loading import load_policy, pick_dtype, resolve_model, save_model
from lm.prefix import Group, response_logprobs
from lm.sampler import sample
from lm.seeds import seed_of

HELLO = [{"role": "user", "content": "Hello! Who are you?"}]


def test_what_is_saved_loads_in_plain_transformers(policy, tmp_path):
    model, chat = policy
    save_model(model, chat, tmp_path)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    text = torch.tensor([[5, 6, 7]])
    assert torch.equal(plain(text).logits, model(text).logits)
    ids = tokenizer.apply_chat_template(HELLO, add_generation_prompt=True, return_dict=False)
    assert ids == chat.prompt_ids(HELLO)
    assert (tokenizer.pad_token_id, plain.config.pad_token_id) == (chat.pad_id, chat.pad_id)
    assert plain.generation_config.eos_token_id == chat.end_id


def test_names_are_resolved_to_what_from_pretrained_takes(tiny: Path):
    assert resolve_model(str(tiny)) == str(tiny)
    assert resolve_model(tiny.name, tiny.parent) == str(tiny)
    assert resolve_model("owner/name") == "owner/name"
    with pytest.raises(ValueError, match="alias"):
        resolve_model("nothing-like-it")


def test_a_model_that_cannot_be_loaded_is_named_in_one_sentence(tiny: Path, tmp_path):
    config = json.loads((tiny / "config.json").read_text())
    config["model_type"] = "no_such_architecture"
    for file in tiny.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="cannot be loaded") as caught:
        load_policy(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_number_formats_have_names():
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert pick_dtype("auto", cpu) == torch.float32
    assert pick_dtype("auto", cuda) == torch.bfloat16
    assert pick_dtype("bfloat16", cpu) == torch.bfloat16
    with pytest.raises(ValueError, match="number format"):
        pick_dtype("int8", cpu)


@pytest.mark.model
def test_the_packaged_model_is_unpacked_once_and_speaks(real_models):
    directory = Path(resolve_model("smollm2-135m-instruct", real_models))
    written = (directory / "model.safetensors").stat().st_mtime_ns
    model, chat = load_policy("smollm2-135m-instruct", models_dir=real_models, device="cpu")
    assert (directory / "model.safetensors").stat().st_mtime_ns == written
    assert "quantization_config" not in json.loads((directory / "config.json").read_text())
    assert chat.tokenizer.convert_ids_to_tokens([chat.end_id, chat.pad_id]) == ["<|im_end|>", "<|endoftext|>"]
    assert not list(real_models.glob(".smollm2-135m-instruct-*")), "no half-written directory is left"

    prompt = chat.prompt_ids([{"role": "user", "content": "What is the capital of France?"}])
    greedy = Sampling(temperature=0.0, max_tokens=12)
    (answer,) = sample(model, chat, [prompt], 1, greedy, [0])[0]
    assert "Paris" in chat.text(answer.ids)


@pytest.mark.model
def test_the_packaged_model_loads_in_plain_transformers_with_the_same_answer(real_models):
    model, chat = load_policy("smollm2-135m-instruct", models_dir=real_models, device="cpu")
    plain = AutoModelForCausalLM.from_pretrained(real_models / "smollm2-135m-instruct")
    text = torch.tensor([chat.prompt_ids(HELLO)])
    with torch.no_grad():
        assert torch.allclose(plain(text).logits, model(text).logits, atol=1e-4)


@pytest.mark.model
def test_on_the_packaged_model_sampled_log_probs_are_those_of_a_forward_pass(real_models):
    model, chat = load_policy("smollm2-135m-instruct", models_dir=real_models, device="cpu")
    prompts = [chat.prompt_ids([{"role": "user", "content": text}]) for text in ("Name a colour.", "你好！", "2 + 2?")]
    seeds = [seed_of(0, str(number), index) for number in range(3) for index in range(2)]
    sampling = Sampling(temperature=0.9, top_p=1.0, max_tokens=16)
    found = sample(model, chat, prompts, 2, sampling, seeds)
    groups = [Group(prompt, [one.ids for one in some]) for prompt, some in zip(prompts, found, strict=True)]
    with torch.no_grad():
        again = response_logprobs(model, groups, temperature=0.9)
        rows = response_logprobs(model, groups, temperature=0.9, shared=False)
    for some, values, separate in zip(found, again, rows, strict=True):
        for one, value, other in zip(some, values, separate, strict=True):
            assert torch.allclose(torch.tensor(one.logprobs), value, atol=1e-4)
            assert torch.allclose(value, other, atol=1e-4)
