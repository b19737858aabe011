"""What holds for every algorithm that samples: where it starts, how it is cut, how it goes on, and that it learns."""

from __future__ import annotations

import json

import pytest
import torch

from rl.training.work import work
from runs.child import RunDir, Stopped, UserError
from tests.rl.worlds import StopAfter, StopInside, events, result, weights, write_jsonl, write_run

ALGORITHMS = ["ppo", "grpo", "rloo", "reinforce", "best_of_n"]
CLIPPED = ALGORITHMS[:-1]
# Bytes are tokens, so an "e" is a token: the more of the response they are, the better.
LETTERS = {
    "kind": "share",
    "of": [{"kind": "pattern", "pattern": "[aeiou]"}, {"kind": "pattern", "pattern": "[a-z]{2}"}],
}

FAST = {
    "steps": 3,
    "prompts_per_step": 4,
    "samples_per_prompt": 4,
    "max_response_tokens": 8,
    "learning_rate": 3e-3,
    "epochs": 2,
    "minibatches": 2,
    "lora": {"rank": 4},
    "sample_prompts": 1,
    "checkpoint_every": 100,
    "evaluate_every": 2,
    "held_out_prompts": 2,
}


@pytest.fixture(scope="session")
def many_prompts(tmp_path_factory):
    rows = [
        {"id": str(number), "messages": [{"role": "user", "content": f"Why {'?' * (number % 3)} {number}"}]}
        for number in range(12)
    ]
    return write_jsonl(tmp_path_factory.mktemp("many") / "prompts.jsonl", rows)


@pytest.fixture
def start(tmp_path, tiny, judge, many_prompts):
    def write(algorithm, name="run", **changes):
        inputs = {"prompts": many_prompts, "reward_model": judge, "model": tiny, "models_dir": None, "adapter": None}
        inputs |= changes.pop("inputs", {})
        inputs = {key: value for key, value in inputs.items() if value != ""}
        return write_run(tmp_path / name, {"algorithm": algorithm, **FAST, **changes}, **inputs)

    return write


def metrics(directory, name):
    return [event["data"][name] for event in events(directory) if name in event["data"]]


@pytest.mark.parametrize("changes", [{}, {"temperature": 0.7}, {"batch_tokens": 16}], ids=str)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_first_step_has_ratio_one_and_kl_zero(start, algorithm, changes):
    directory = start(algorithm, steps=1, evaluate_every=0, **changes)
    work(RunDir(directory))
    first = events(directory)[0]["data"]
    for figure in ("first_ratio_error", "kl", "kl_k3", "sampler_error"):
        assert first[figure] == pytest.approx(0.0, abs=1e-5), figure


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_eight_times_one_is_one_time_eight(start, algorithm):
    """How a minibatch is cut into forwards changes its memory and not its result."""
    changes = {"steps": 1, "sample_every": 0, "evaluate_every": 0}
    whole, cut = start(algorithm, "whole", **changes), start(algorithm, "cut", batch_tokens=16, **changes)
    for directory in (whole, cut):
        work(RunDir(directory))
    expected, found = weights(whole), weights(cut)
    for name in expected:
        assert torch.allclose(expected[name], found[name], atol=2e-4), name
    for name in ("policy_loss", "entropy", "grad_norm"):
        assert metrics(whole, name) == pytest.approx(metrics(cut, name), rel=2e-3, abs=1e-4)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_stopped_run_resumes_to_the_weights_it_would_have_had(start, algorithm):
    changes = {"reward_scaling": "running", "reward_clip": 3.0, "steps": 4}
    if algorithm in CLIPPED:
        changes |= {"kl_control": "adaptive", "kl_target": 0.01, "kl_horizon": 100}
    straight, broken = (start(algorithm, name, **changes) for name in ("straight", "broken"))
    work(RunDir(straight))
    for steps in (1, 2):
        with pytest.raises(Stopped):
            work(StopAfter(broken, steps))
    work(RunDir(broken))
    expected = weights(straight)
    assert all(torch.equal(expected[name], value) for name, value in weights(broken).items())
    for part in ("held_out", "saved_step", "alarms"):
        assert result(straight)[part] == result(broken)[part], part
    assert result(straight)["last"] == result(broken)["last"]


@pytest.mark.parametrize("note", ["sampling", "updating"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_run_stopped_inside_a_step_resumes_to_the_weights_it_would_have_had(start, algorithm, note):
    changes = {"steps": 3, "checkpoint_every": 1, "evaluate_every": 0, "sample_every": 0, "save": "last"}
    straight, broken = (start(algorithm, name, **changes) for name in ("straight", "broken"))
    work(RunDir(straight))
    with pytest.raises(Stopped):
        work(StopInside(broken, steps=1, looks=3, note=note))
    assert len(metrics(broken, "reward")) == 1
    work(RunDir(broken))
    assert [event["step"] for event in events(broken, "resumed")] == [1]
    expected = weights(straight)
    assert all(torch.equal(expected[name], value) for name, value in weights(broken).items())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_checked_reward_rises_without_a_reward_model(start, algorithm):
    changes = {"steps": 16, "samples_per_prompt": 8, "learning_rate": 2e-2, "eos_penalty": 0.0, "epochs": 1}
    changes |= {"checks": [LETTERS], "sample_every": 0, "evaluate_every": 10}
    if algorithm in CLIPPED:
        changes["kl_coef"] = 0.0
    else:
        changes |= {"threshold": 0.5, "keep": 4, "steps": 14}  # of nothing but zeros, the best is noise
    directory = start(algorithm, inputs={"reward_model": ""}, **changes)
    work(RunDir(directory))
    rewards = metrics(directory, "reward")
    assert sum(rewards[-3:]) / 3 > sum(rewards[:3]) / 3 + 0.1
    assert result(directory)["dimensions"] == ["share"]
    assert "test_reward/share" in events(directory)[0]["data"]


@pytest.mark.parametrize("algorithm", ["grpo", "best_of_n"])
def test_the_saved_policy_is_an_adapter_with_a_card(start, tiny, algorithm):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    directory = start(algorithm, steps=1)
    work(RunDir(directory))
    PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny), directory / "output")
    card = json.loads((directory / "output" / "policy.json").read_text())
    assert (card["algorithm"], card["step"]) == (algorithm, result(directory)["saved_step"])
    assert not any("critic" in name for name in weights(directory))


@pytest.mark.parametrize("normalise", ["token", "sequence", "constant"])
@pytest.mark.parametrize("standardise", [True, False])
def test_grpo_learns_however_it_is_normalised(start, normalise, standardise):
    directory = start("grpo", steps=1, normalise=normalise, standardise=standardise, evaluate_every=0)
    work(RunDir(directory))
    assert metrics(directory, "grad_norm")[0] > 0


def test_grpo_is_held_by_its_penalty(start):
    def final_kl(name, coefficient):
        changes = {"steps": 8, "learning_rate": 5e-3, "sample_every": 0, "evaluate_every": 0, "epochs": 4}
        directory = start("grpo", name, kl_coef=coefficient, **changes)
        work(RunDir(directory))
        return metrics(directory, "kl_k3")[-1]

    assert final_kl("held", 5.0) < 0.5 * final_kl("free", 0.0)


def test_prompts_whose_responses_are_all_alike_are_counted_and_change_nothing(start):
    directory = start("rloo", steps=1, evaluate_every=0, kl_coef=0.0, eos_penalty=0.0, inputs={"reward_model": ""},
                      checks=[{"kind": "length", "min_characters": 0}])  # fmt: skip
    work(RunDir(directory))
    assert metrics(directory, "even_groups") == [1.0]
    assert metrics(directory, "grad_norm") == [0.0]


def test_rejection_sampling_learns_only_what_it_keeps(start):
    directory = start("best_of_n", steps=1, evaluate_every=0, keep=1)
    work(RunDir(directory))
    assert metrics(directory, "kept_share") == [0.25]
    # Nothing is good enough: nothing is learnt, and that is no failure.
    none = start("best_of_n", "none", steps=2, evaluate_every=0, threshold=1e5)
    work(RunDir(none))
    assert metrics(none, "kept_share") == [0.0, 0.0]
    assert not metrics(none, "policy_loss")


def test_the_held_out_prompts_are_not_trained_on(start, many_prompts):
    class Watching(RunDir):
        shown: list = []

        def log(self, message, **fields):
            self.shown.append(fields)

    run = Watching(start("grpo", steps=1))
    work(run)
    assert {"prompts": 10, "held_out": 2, "prompts_cut": 0} in run.shown
    assert result(run.path)["prompts"] == 10


def test_the_best_weights_are_saved_and_the_gain_is_theirs(start):
    directory = start("grpo", steps=4, learning_rate=0.05, evaluate_every=1, epochs=4)
    work(RunDir(directory))
    found = result(directory)
    rewards = metrics(directory, "test_reward")
    assert rewards[found["saved_step"]] == max(rewards)
    assert found["held_out"]["step"] == found["saved_step"]
    assert found["held_out"]["after"]["value"] == pytest.approx(max(rewards))
    last = start("grpo", "last", steps=4, learning_rate=0.05, evaluate_every=1, epochs=4, save="last")
    work(RunDir(last))
    assert result(last)["saved_step"] == 4


def test_a_cancelled_run_leaves_its_best_policy(start, tiny):
    directory = start("grpo", steps=50, evaluate_every=1)
    with pytest.raises(Stopped):
        work(StopAfter(directory, 2))
    assert (directory / "output" / "adapter_model.safetensors").is_file()
    assert json.loads((directory / "output" / "policy.json").read_text())["step"] in (0, 1, 2)


def test_an_alarm_is_said_once_and_stops_the_run_if_that_is_wanted(start):
    directory = start("grpo", steps=6, kl_limit=1e-6, on_alarm="stop", evaluate_every=0)
    work(RunDir(directory))
    assert len(metrics(directory, "reward")) == 2  # the first step's KL is 0
    found = result(directory)
    assert found["stopped"].startswith("Stopped at step 2 by an alarm. KL is")
    assert [alarm["name"] for alarm in found["alarms"]] == ["kl_runaway"]
    told = start("grpo", "told", steps=4, kl_limit=1e-6, evaluate_every=0)
    work(RunDir(told))
    assert len(metrics(told, "reward")) == 4 and not result(told)["stopped"]
    [said] = [event["data"] for event in events(told, "log") if "alarm" in event["data"]]
    assert (said["alarm"], said["at_step"]) == ("kl_runaway", 2)


def test_best_of_n_of_the_start_model_is_measured_once_and_before_training(start):
    directory = start("grpo", steps=2, evaluate_every=1, best_of_n_samples=4)
    with pytest.raises(Stopped):
        work(StopAfter(directory, 1))
    work(RunDir(directory))
    found = result(directory)["best_of_n"]
    assert [each["n"] for each in found] == [1, 2, 4]
    assert [each["kl"] for each in found] == pytest.approx([0.0, 0.193147, 0.636294], abs=1e-6)
    values = [each["reward"]["value"] for each in found]
    assert values == sorted(values)
    [said] = [event["data"] for event in events(directory, "log") if "best_of_n" in event["data"]]
    assert said["best_of_n"] == found
    off = start("grpo", "off", steps=1, best_of_n_samples=0)
    work(RunDir(off))
    assert result(off)["best_of_n"] == []


def test_memory_is_reported_by_hat_and_the_base_stands_once(start, tiny):
    directory = start("ppo", steps=1, evaluate_every=0)
    work(RunDir(directory))
    memory = result(directory)["memory"]
    from transformers import AutoModelForCausalLM

    base = sum(value.numel() * 4 for value in AutoModelForCausalLM.from_pretrained(tiny).parameters())
    assert memory["base"] == base
    assert memory["reference"] == 0
    assert 0 < memory["policy"] < base and 0 < memory["critic"] < base
    assert memory["reward_models"] > 0 and memory["optimizer"] > 0


def test_the_critic_starts_as_the_reward_model_where_it_stands_on_the_same_base(start, tiny, judge):
    from lm.prefix import Group
    from rl.training.actor import load_actor
    from rl.training.config import PPOConfig
    from rl.training.rewards import Rewards

    config = PPOConfig(lora={"rank": 4})
    actor = load_actor(config, {"model": str(tiny), "adapter": None, "models_dir": None})
    critic = actor.add_critic(config)
    rewards = Rewards.load(str(judge), {})
    assert critic.adopt(rewards) == ""
    messages = [{"role": "user", "content": "Why?"}]
    group = rewards.scorer.group(messages, ["yes yes", "no"])
    # The value before a token is read where the token before it stands: one more token makes the last one's readable.
    longer = Group(group.prompt, [[*response, 5] for response in group.responses])
    with torch.no_grad(), critic.worn():
        values = [value[-1].item() for value in critic.values([longer])[0]]
    assert values == pytest.approx(
        [row[0] for row in rewards.scorer.rewards([(messages, ["yes yes", "no"])])[0]], abs=1e-3
    )


def test_a_critic_of_lower_rank_than_the_reward_model_starts_from_zero_and_says_so(start):
    directory = start("ppo", steps=1, lora={"rank": 1})
    work(RunDir(directory))
    said = [event["data"]["message"] for event in events(directory, "log")]
    assert any("starts from zero" in message and "higher rank than 1" in message for message in said)


def test_the_language_model_mix_of_ppo_needs_and_uses_demonstrations(start, dataset):
    with pytest.raises(UserError, match="choose a dataset version"):
        work(RunDir(start("ppo", "without", steps=1, ptx_coef=1.0)))
    plain = start("ppo", "plain", steps=1, evaluate_every=0)
    mixed = start("ppo", "mixed", steps=1, evaluate_every=0, ptx_coef=5.0, inputs={"dataset": dataset})
    for directory in (plain, mixed):
        work(RunDir(directory))
    assert metrics(mixed, "ptx_loss")[0] > 0 and not metrics(plain, "ptx_loss")
    expected, found = weights(plain), weights(mixed)
    assert any(not torch.equal(expected[name], found[name]) for name in expected)


def test_a_prompt_without_the_answer_that_a_check_needs_is_refused_before_training(start, tmp_path):
    rows = [{"id": "7", "messages": [{"role": "user", "content": "1 + 1?"}], "answer": 2}]
    rows.append({"id": "8", "messages": [{"role": "user", "content": "2 + 2?"}]})
    prompts = write_jsonl(tmp_path / "sums.jsonl", rows)
    with pytest.raises(UserError, match=r"1 of 2 prompts bring none \(8\)"):
        work(RunDir(start("grpo", checks=[{"kind": "number"}], inputs={"prompts": prompts})))
    work(RunDir(start("grpo", "fine", steps=1, checks=[{"kind": "number"}], prompts_per_step=2, minibatches=1,
                      inputs={"prompts": write_jsonl(tmp_path / "one.jsonl", rows[:1])})))  # fmt: skip


def test_without_any_reward_the_run_is_refused(start):
    with pytest.raises(UserError, match="Choose a reward model, or add a check"):
        work(RunDir(start("grpo", inputs={"reward_model": ""})))
