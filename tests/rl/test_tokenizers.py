"""A reward model whose tokenizer is not the policy's: the two meet in the text."""

from __future__ import annotations

import json

import pytest
import torch

from lm.chat import Chat
from rl.training.actor import load_actor
from rl.training.config import PPOConfig
from rl.training.judge import Judge
from rl.training.prompts import encode_prompts
from rl.training.rollout import roll_out
from rl.training.work import work
from runs.child import RunDir, UserError
from tests.rewardmodel.worlds import write_run as write_reward_run
from tests.rl.test_online import FAST, many_prompts, start  # noqa: F401
from tests.rl.worlds import events
from tests.tiny import tiny_config

OTHER_TEMPLATE = (
    "{% for message in messages %}{{ '[' + message['role'] + ']' + message['content'] + '<end>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '[assistant]' }}{% endif %}"
)


def other_tokenizer():
    """Bytes in reverse order, pairs of letters as tokens of their own, other special tokens and another template."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["<end>", "<fill>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet(), reverse=True)
    merges = [("y", "e"), ("ye", "s"), ("n", "o"), ("e", "r"), ("i", "n")]
    words = [*special, *letters, *(a + b for a, b in merges)]
    tokenizer = Tokenizer(models.BPE(vocab={word: number for number, word in enumerate(words)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<fill>")
    fast.chat_template = OTHER_TEMPLATE
    return fast


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A base of another width, with that tokenizer."""
    from transformers import LlamaForCausalLM

    directory = tmp_path_factory.mktemp("other")
    tokenizer = other_tokenizer()
    torch.manual_seed(7)
    LlamaForCausalLM(
        tiny_config(vocab_size=len(tokenizer), hidden_size=48, pad_token_id=1, bos_token_id=None, eos_token_id=0)
    ).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def other_judge(tmp_path_factory, other, dataset):
    from rewardmodel.training.run import train_reward_model

    config = {"learning_rate": 1e-2, "epochs": 1, "comparisons_per_step": 8, "lora": {"rank": 4}}
    run = RunDir(write_reward_run(tmp_path_factory.mktemp("judge") / "run", dataset, other, config))
    train_reward_model(run)
    return run.output


def test_the_reward_is_that_of_the_text_in_the_reward_models_own_tokens(start, tiny, other_judge):  # noqa: F811
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    config = PPOConfig(**{**FAST, "max_response_tokens": 24})
    inputs = json.loads((start("ppo") / "run.json").read_text())["inputs"] | {"reward_model": str(other_judge)}
    actor = load_actor(config, inputs, keep_reference=True)
    critic = actor.add_critic(config)
    prompts = encode_prompts([("1", [{"role": "user", "content": "Are yes and no enough?"}], None)], actor.chat, 512)
    rollout = roll_out(actor, Judge.load(config, inputs), prompts, config, 0, critic=critic)
    # By plain transformers: the reward model's own template and tokenizer on the policy's decoded text.
    chat = Chat(AutoTokenizer.from_pretrained(other_judge))
    model = AutoModelForSequenceClassification.from_pretrained(other_judge)
    shift = json.loads((other_judge / "reward.json").read_text())["shift"]["helpfulness"]
    for text, found in zip(rollout.texts, rollout.verdict.rewards, strict=True):
        ids = chat.prompt_ids(prompts[0].messages) + chat.response_ids(text)
        assert ids[-1] == chat.end_id != actor.chat.end_id
        with torch.no_grad():
            assert found == pytest.approx(model(torch.tensor([ids])).logits.item() - shift, abs=1e-3)
    # The same text is not the same tokens: nothing was handed over as ids.
    assert chat.response_ids("yes and no") != actor.chat.response_ids("yes and no")
    assert len(chat.response_ids("yes and no")) < len(actor.chat.response_ids("yes and no"))


def test_ppo_trains_against_it_and_says_that_the_critic_starts_from_zero(start, other_judge):  # noqa: F811
    directory = start("ppo", steps=2, evaluate_every=0, inputs={"reward_model": other_judge})
    work(RunDir(directory))
    said = [event["data"]["message"] for event in events(directory, "log")]
    assert "The critic starts from zero: the reward model is of another architecture." in said
    figures = [event["data"] for event in events(directory)]
    assert figures[0]["value_mean"] == 0.0 and figures[-1]["grad_norm"] > 0


def test_both_kinds_of_reward_model_are_added_up(start, judge, other_judge):  # noqa: F811
    more = [{"name": "other", "path": str(other_judge), "weight": 2.0}]
    directory = start("grpo", steps=1, evaluate_every=0)
    spec = json.loads((directory / "run.json").read_text())
    spec["inputs"]["more_reward_models"] = more
    (directory / "run.json").write_text(json.dumps(spec))
    work(RunDir(directory))
    first = events(directory)[0]["data"]
    assert first["reward"] == pytest.approx(first["reward/helpfulness"] + 2 * first["reward/other"], abs=1e-5)


def test_an_adapter_over_another_tokenizers_base_is_refused(start, tmp_path, other):  # noqa: F811
    first = start("grpo", "first", steps=1)
    work(RunDir(first))
    with pytest.raises(UserError, match="does not fit"):
        work(RunDir(start("grpo", "second", inputs={"model": other, "adapter": first / "output"})))
