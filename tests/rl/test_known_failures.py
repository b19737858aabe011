"""Failures that users of other trainers reported, each with a test here that would have caught it.

The names say where; what went wrong is told in our own words.
"""

from __future__ import annotations

import json

import pytest
import torch

from lm.config import Sampling
from lm.loading import load_policy
from lm.prefix import Group, hidden_states, response_logprobs, response_statistics
from lm.sampler import sample
from rl.training import estimators
from rl.training.work import work
from runs.child import RunDir
from tests.rewardmodel.worlds import easy_rows, write_dataset
from tests.rl.test_online import CLIPPED, FAST, many_prompts, start  # noqa: F401
from tests.rl.worlds import events, weights, write_run
from tests.tiny import tiny_tokenizer


@pytest.fixture(scope="module")
def policy(tiny):
    return load_policy(str(tiny))


PROMPTS = ["Why?", "Why is it that the longest of all these prompts is so much longer?", "How?"]


def asked(chat, text):
    return chat.prompt_ids([{"role": "user", "content": text}])


# TRL 3750 -----------------------------------------------------------------------------------------------------------


def test_trl_3750_the_score_stands_on_the_end_token_and_not_on_the_padding_behind_it():
    """There the index of the score was one too far: it lay on the first padding token, which the loss then masked."""
    mask = torch.tensor([[True, True, False, False], [True, True, True, True]])
    zeros = torch.zeros(2, 4)
    rewards = estimators.token_rewards(torch.tensor([5.0, 7.0]), zeros, zeros, mask, 0.1)
    assert rewards.tolist() == [[0, 5, 0, 0], [0, 0, 0, 7]]
    assert torch.equal(rewards * mask, rewards)


def test_trl_3750_a_response_without_end_is_penalised_whatever_the_token_that_ends_a_turn(tmp_path, start, judge):  # noqa: F811
    """There the penalty looked for the tokenizer's end token, while another one ended the turns."""
    from lm.chat import Chat
    from rl.training.actor import load_actor
    from rl.training.config import GRPOConfig
    from rl.training.judge import Judge
    from rl.training.prompts import encode_prompts
    from rl.training.rollout import roll_out

    config = GRPOConfig(**{**FAST, "max_response_tokens": 64, "eos_penalty": 50.0, "samples_per_prompt": 64})
    inputs = json.loads((start("grpo") / "run.json").read_text())["inputs"]
    actor = load_actor(config, inputs)
    actor.chat.tokenizer.eos_token = "<|im_start|>"
    actor.chat = Chat(actor.chat.tokenizer)
    assert actor.chat.end_id != actor.chat.tokenizer.eos_token_id
    prompts = encode_prompts([("1", [{"role": "user", "content": "Why?"}], None)], actor.chat, 512)
    rollout = roll_out(actor, Judge.load(config, inputs), prompts, config, 0)
    ended = torch.tensor([one.ids[-1] == actor.chat.end_id for one in rollout.samples])
    assert 0 < int(ended.sum()) < 64
    taken = torch.tensor(rollout.verdict.rewards) - rollout.scores
    assert torch.equal(taken > 49, ~ended)


# TRL 925 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", CLIPPED)
def test_trl_925_the_kl_of_a_policy_with_an_adapter_is_not_negative(start, algorithm):  # noqa: F811
    """There the KL of a LoRA policy to its base sank far below 0: the two were measured on other text than was sampled.

    k1 may be negative by chance, but near the start it must be about k3, which never is.
    """
    directory = start(algorithm, steps=4, kl_coef=0.0, learning_rate=5e-3, epochs=4, evaluate_every=0, sample_every=0)
    work(RunDir(directory))
    figures = [event["data"] for event in events(directory)]
    assert figures[0]["kl"] == pytest.approx(0.0, abs=1e-5)
    assert all(each["kl_k3"] >= -1e-6 for each in figures)
    assert figures[-1]["kl_k3"] > 1e-3
    assert figures[-1]["kl"] > -0.5 * figures[-1]["kl_k3"]


# TRL 469 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shared", [True, False])
def test_trl_469_log_probs_do_not_depend_on_what_else_is_in_the_batch(policy, shared):
    """There a short prompt, padded beside a long one, got other positions and with them other log-probs."""
    model, chat = policy
    groups = [Group(asked(chat, text), [chat.response_ids("Because."), chat.response_ids("No")]) for text in PROMPTS]
    with torch.no_grad():
        together = response_logprobs(model, groups, shared=shared)
        for group, found in zip(groups, together, strict=True):
            [alone] = response_logprobs(model, [group], shared=shared)
            for one, other in zip(found, alone, strict=True):
                assert torch.allclose(one, other, atol=1e-5)


def test_trl_469_what_is_sampled_does_not_depend_on_what_else_is_sampled(policy):
    model, chat = policy
    ids, sampling = [asked(chat, text) for text in PROMPTS], Sampling(temperature=1.0, top_p=1.0, max_tokens=12)
    seeds = [11, 12, 13]
    together = sample(model, chat, ids, 1, sampling, seeds)
    for prompt, seed, [found] in zip(ids, seeds, together, strict=True):
        [[alone]] = sample(model, chat, [prompt], 1, sampling, [seed])
        assert alone.ids == found.ids
        assert alone.logprobs == pytest.approx(found.logprobs, abs=1e-4)


# TRL 4159 and 6789 --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.6, 1.0, 1.7])
def test_trl_4159_sampler_and_trainer_speak_of_the_same_temperature(policy, temperature):
    """There the sampler gave log-probs of the untempered distribution, and the ratio of the first step was near 2."""
    model, chat = policy
    ids = [asked(chat, text) for text in PROMPTS]
    drawn = sample(model, chat, ids, 2, Sampling(temperature=temperature, top_p=1.0, max_tokens=8), list(range(6)))
    groups = [Group(prompt, [one.ids for one in some]) for prompt, some in zip(ids, drawn, strict=True)]
    with torch.no_grad():
        for some, found in zip(drawn, response_logprobs(model, groups, temperature=temperature), strict=True):
            for one, values in zip(some, found, strict=True):
                assert torch.expm1(torch.tensor(one.logprobs) - values).abs().max() < 1e-3


def test_trl_6789_a_cut_distribution_is_not_trained_on(policy):
    """There responses were drawn with top-p while the trainer's log-probs were of all tokens, which biases each ratio.

    Here log-probs of a cut are those of the cut, so they differ, and no algorithm that trains on ratios offers a cut.
    """
    from rl.training.config import ALGORITHMS

    model, chat = policy
    prompt = asked(chat, PROMPTS[0])
    [[cut]] = sample(model, chat, [prompt], 1, Sampling(temperature=1.0, top_p=0.5, max_tokens=8), [3])
    with torch.no_grad():
        [[whole]] = response_logprobs(model, [Group(prompt, [cut.ids])])
    assert (torch.tensor(cut.logprobs) > whole + 1e-3).all()
    for name in ("ppo", *CLIPPED):
        assert not {"top_p", "top_k"} & ALGORITHMS[name].model_fields.keys()


# TRL 3021 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalise", ["token", "sequence", "constant"])
def test_trl_3021_the_step_does_not_depend_on_how_it_is_accumulated(start, normalise):  # noqa: F811
    """There each accumulated part was divided by its own number of tokens, so that smaller parts trained worse."""
    changes = {"steps": 1, "minibatches": 1, "normalise": normalise, "evaluate_every": 0, "sample_every": 0}
    whole = start("grpo", "whole", **changes)
    parts = start("grpo", "parts", batch_tokens=16, **changes)
    for directory in (whole, parts):
        work(RunDir(directory))
    one, other = events(whole)[0]["data"], events(parts)[0]["data"]
    assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-3)
    expected, found = weights(whole), weights(parts)
    assert all(torch.allclose(expected[name], found[name], atol=2e-4) for name in expected)


# TRL 5213 -----------------------------------------------------------------------------------------------------------

THINKING = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n' }}{% endif %}"
)


def test_trl_5213_only_the_response_is_learnt_where_the_template_opens_a_thought(tmp_path, tiny):
    """There prompt and response were found in the tokens of both together, and a template that writes more before an
    answer than it keeps in a conversation made the two differ: tokens of the prompt were learnt, or none at all."""
    from rewardmodel.training.data import encode, read_rankings
    from rl.training.config import SFTConfig
    from rl.training.objectives import Supervised

    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = THINKING
    from lm.chat import Chat

    chat = Chat(tokenizer)
    [comparison] = read_rankings(write_dataset(tmp_path / "data", easy_rows(1, 0))).train
    lesson = Supervised(SFTConfig()).lesson(comparison)
    encoded = encode(comparison, chat, max_prompt_tokens=512, max_response_tokens=512)
    prompt, response = encoded.group.prompt, encoded.group.responses[lesson.keep[0]]
    assert chat.text(response) == comparison.responses[2]
    assert response[-1] == chat.end_id
    assert prompt == chat.prompt_ids(comparison.prompt)
    assert tokenizer.decode(prompt).endswith("<think>\n")


# OpenRLHF 853, 1319 and 238 -----------------------------------------------------------------------------------------


def test_openrlhf_1319_the_entropy_is_that_of_the_tempered_distribution(policy):
    """There the entropy was taken before the logits were divided by the temperature of sampling."""
    model, chat = policy
    group = Group(asked(chat, "Why?"), [chat.response_ids("Because.")])
    with torch.no_grad():
        hidden = hidden_states(model, [group])
        logits = model.get_output_embeddings()(hidden.states[hidden.predictors[0][0]]) / 0.5
        expected = torch.distributions.Categorical(logits=logits).entropy()
        [[found]] = response_statistics(model, [group], temperature=0.5)[1]
    assert torch.allclose(found, expected, atol=1e-4)


def test_openrlhf_238_an_end_that_was_not_sampled_is_not_trained_on(policy):
    """There the last token of a response that ran out of room was replaced by the end token, for the reward model's
    sake, and the policy was trained on a token that it had not chosen."""
    model, chat = policy
    sampling = Sampling(temperature=1.0, top_p=1.0, max_tokens=3)
    drawn = sample(model, chat, [asked(chat, "Why?")], 32, sampling, list(range(32)))[0]
    unfinished = [one for one in drawn if not one.finished]
    assert unfinished and all(len(one.ids) == 3 and one.ids[-1] != chat.end_id for one in unfinished)


# TRL 1340, NeMo-RL 1518 ---------------------------------------------------------------------------------------------


def test_trl_1340_training_on_from_an_adapter_is_held_to_that_adapter_and_not_to_its_base(tmp_path, start, tiny):  # noqa: F811
    """There the reference of a policy that began as an adapter was the bare base, and the first KL was huge."""
    first = start("reinforce", "first", steps=2, learning_rate=0.05)
    work(RunDir(first))
    spec = json.loads((first / "run.json").read_text())
    inputs = {**spec["inputs"], "adapter": str(first / "output")}
    second = write_run(tmp_path / "second", {"algorithm": "grpo", **FAST, "steps": 1}, **inputs)
    work(RunDir(second))
    assert events(second)[0]["data"]["test_kl"] == pytest.approx(0.0, abs=1e-4)


def test_nemo_rl_1518_one_right_answer_among_wrong_ones_does_not_explode():
    """There the leave-one-out baseline was combined with dividing by the others' spread, which is 0 if they agree."""
    scores = torch.tensor([1.0, 0.0, 0.0, 0.0])
    assert estimators.leave_one_out(scores, 4).abs().max() <= 1.0
    assert estimators.group_advantages(scores, 4, standardise=True).abs().max() < 2.0
