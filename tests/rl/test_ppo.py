import json

import pytest
import torch

from rl.training.actor import load_actor
from rl.training.config import PPOConfig
from rl.training.judge import Judge
from rl.training.online import OnlineTrainer
from rl.training.prompts import encode_prompts, read_prompts
from rl.training.rollout import roll_out
from rl.training.work import work
from runs.child import RunDir, Stopped, UserError
from tests.rl.worlds import StopAfter, events, result, weights, write_jsonl, write_run

FAST = {
    "algorithm": "ppo",
    "steps": 3,
    "prompts_per_step": 4,
    "samples_per_prompt": 3,
    "max_response_tokens": 8,
    "learning_rate": 3e-3,
    "epochs": 2,
    "minibatches": 2,
    "lora": {"rank": 4},
    "sample_prompts": 1,
    "checkpoint_every": 100,
    "evaluate_every": 0,
}


def start(tmp_path, tiny, judge, prompt_file, name="run", **changes):
    inputs = {"prompts": prompt_file, "reward_model": judge, "model": tiny, "models_dir": None}
    inputs["adapter"] = changes.pop("adapter", None)
    return write_run(tmp_path / name, {**FAST, **changes}, **inputs)


def stage(tmp_path, tiny, judge, prompt_file, **changes):
    """A trainer that has not begun."""
    adapter = changes.get("adapter")
    run = RunDir(start(tmp_path, tiny, judge, prompt_file, **changes))
    config = PPOConfig.model_validate(run.config)
    actor = load_actor(config, run.inputs | {"adapter": adapter}, keep_reference=True)
    prompts = encode_prompts(read_prompts(prompt_file), actor.chat, 512)
    return OnlineTrainer(run, config, actor, Judge.load(config, run.inputs), prompts)


def experience(trainer, step=0):
    chosen = trainer.prompts[: trainer.config.prompts_per_step]
    return roll_out(
        trainer.actor,
        trainer.judge,
        chosen,
        trainer.config,
        step,
        critic=trainer.critic,
        kl_coef=trainer.kl_coef,
        moments=trainer.moments,
    )


@pytest.mark.parametrize(
    "changes", [{}, {"temperature": 0.7}, {"method": "full", "learning_rate": 1e-3}, {"batch_tokens": 16}]
)
def test_the_first_step_has_ratio_one_and_kl_zero(tmp_path, tiny, judge, prompt_file, changes):
    directory = start(tmp_path, tiny, judge, prompt_file, steps=1, **changes)
    work(RunDir(directory))
    first = events(directory)[0]["data"]
    assert first["first_ratio_error"] == pytest.approx(0.0, abs=1e-5)
    assert first["kl"] == pytest.approx(0.0, abs=1e-5)
    assert first["kl_k3"] == pytest.approx(0.0, abs=1e-5)
    assert first["sampler_error"] == pytest.approx(0.0, abs=1e-5)


def test_ratios_start_at_one_in_later_steps_too(tmp_path, tiny, judge, prompt_file):
    directory = start(tmp_path, tiny, judge, prompt_file)
    work(RunDir(directory))
    later = [event["data"] for event in events(directory)]
    assert [each["first_ratio_error"] for each in later] == pytest.approx([0.0] * 3, abs=1e-5)
    assert [each["sampler_error"] for each in later] == pytest.approx([0.0] * 3, abs=1e-5)
    assert later[-1]["kl"] != 0.0 and later[-1]["update_kl"] > 0.0


def test_from_an_adapter_the_reference_is_that_adapter(tmp_path, tiny, judge, prompt_file):
    first = start(tmp_path, tiny, judge, prompt_file, "first")
    work(RunDir(first))
    second = start(tmp_path, tiny, judge, prompt_file, "second", steps=1, adapter=first / "output")
    work(RunDir(second))
    figures = events(second)[0]["data"]
    assert figures["kl"] == pytest.approx(0.0, abs=1e-4)
    before, after = weights(first), weights(second)
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_training_raises_the_reward(tmp_path, tiny, judge, prompt_file):
    directory = start(
        tmp_path,
        tiny,
        judge,
        prompt_file,
        steps=12,
        samples_per_prompt=8,
        learning_rate=1e-2,
        kl_coef=0.0,
        eos_penalty=0.0,
    )
    work(RunDir(directory))
    rewards = [event["data"]["reward"] for event in events(directory)]
    assert sum(rewards[-3:]) / 3 > sum(rewards[:3]) / 3 + 0.1


def test_a_strong_kl_penalty_keeps_the_policy_near_its_reference(tmp_path, tiny, judge, prompt_file):
    def final_kl(name, coefficient):
        changes = {"steps": 12, "samples_per_prompt": 8, "learning_rate": 2e-3, "sample_every": 0}
        directory = start(tmp_path, tiny, judge, prompt_file, name, kl_coef=coefficient, **changes)
        work(RunDir(directory))
        return events(directory)[-1]["data"]["kl_k3"]

    assert final_kl("held", 2.0) < 0.5 * final_kl("free", 0.0)


def test_only_policy_and_critic_learn_and_the_reference_stays(tmp_path, tiny, judge, prompt_file):
    trainer = stage(tmp_path, tiny, judge, prompt_file)
    model = trainer.actor.model
    frozen = {name: value.clone() for name, value in model.named_parameters() if "lora_" not in name}
    before = {name: value.detach().clone() for name, value in trainer.parameters.items()}
    trainer.updater.update(experience(trainer), 0, trainer.kl_coef)
    assert all(torch.equal(frozen[name], value) for name, value in model.named_parameters() if name in frozen)
    moved = {name for name, value in trainer.parameters.items() if not torch.equal(before[name], value)}
    assert any(".policy." in name for name in moved)
    assert any(".critic." in name for name in moved)
    assert "critic.value_head.weight" in moved
    with trainer.actor.reference() as reference, torch.no_grad():
        again = experience(trainer, step=0)
        assert reference is model
    assert torch.isfinite(again.reference).all()


def test_the_reward_sits_on_the_last_token_of_the_response(tmp_path, tiny, judge, prompt_file):
    trainer = stage(tmp_path, tiny, judge, prompt_file, critic="zero")
    rollout = experience(trainer)
    returns = rollout.estimates.returns
    # With a critic that says 0, gamma 1 and no KL yet, every return of a response with lambda 1 is its score.
    config = trainer.config
    assert config.gamma == 1.0
    lengths = rollout.mask.sum(1)
    for row, score in enumerate(rollout.scores.tolist()):
        last = int(lengths[row]) - 1
        assert returns[row, last].item() == pytest.approx(score, abs=1e-4)
        if last:
            assert returns[row, last - 1].item() == pytest.approx(score * config.lam, abs=1e-4)
        assert not returns[row, last + 1 :].any()


def test_a_response_without_end_is_scored_less_by_the_penalty(tmp_path, tiny, judge, prompt_file):
    trainer = stage(tmp_path, tiny, judge, prompt_file, max_response_tokens=3, eos_penalty=2.5)
    rollout = experience(trainer)
    finished = torch.tensor([one.finished for one in rollout.samples])
    assert not finished.all()
    taken = torch.tensor(rollout.verdict.rewards) - rollout.scores
    assert taken[~finished].tolist() == pytest.approx([2.5] * int((~finished).sum()))
    assert not taken[finished].any()


def test_rewards_are_those_of_the_reward_model_on_the_text(tmp_path, tiny, judge, prompt_file):
    trainer = stage(tmp_path, tiny, judge, prompt_file)
    rollout = experience(trainer)
    first = rollout.rows(0)
    scorer = trainer.judge.model.scorer
    alone = scorer.rewards([(rollout.prompts[0].messages, [rollout.texts[row] for row in first])])
    assert [rollout.verdict.rewards[row] for row in first] == [pytest.approx(row[0], abs=1e-4) for row in alone[0]]


def test_how_a_minibatch_is_cut_does_not_change_the_step(tmp_path, tiny, judge, prompt_file):
    changes = {"sample_every": 0, "steps": 2}
    whole = start(tmp_path, tiny, judge, prompt_file, "whole", **changes)
    cut = start(tmp_path, tiny, judge, prompt_file, "cut", batch_tokens=16, **changes)
    for directory in (whole, cut):
        work(RunDir(directory))
    one, other = (events(directory)[0]["data"] for directory in (whole, cut))
    for name in ("policy_loss", "value_loss", "entropy", "grad_norm", "critic_grad_norm", "reward"):
        assert one[name] == pytest.approx(other[name], rel=1e-3, abs=1e-4), name


def test_a_stopped_run_resumes_to_the_weights_it_would_have_had(tmp_path, tiny, judge, prompt_file):
    changes = {"kl_control": "adaptive", "kl_target": 0.01, "kl_horizon": 100}
    straight, broken = (start(tmp_path, tiny, judge, prompt_file, name, **changes) for name in ("straight", "broken"))
    work(RunDir(straight))
    with pytest.raises(Stopped):
        work(StopAfter(broken, 1))
    assert [path.name for path in (broken / "checkpoints").iterdir()] == ["step-00000001"]
    work(RunDir(broken))
    expected = weights(straight)
    assert all(torch.equal(expected[name], value) for name, value in weights(broken).items())
    assert result(straight)["last"]["kl_coef"] == result(broken)["last"]["kl_coef"] != 0.05
    assert result(straight)["last"]["reward"] == result(broken)["last"]["reward"]


def test_a_run_stopped_in_the_middle_of_an_update_keeps_its_last_checkpoint(tmp_path, tiny, judge, prompt_file):
    class Impatient(RunDir):
        def progress(self, done, total, note=""):
            super().progress(done, total, note)
            self.stop_requested = self.stop_requested or (done == 2 and note == "updating")

    straight, broken = (
        start(tmp_path, tiny, judge, prompt_file, name, checkpoint_every=1) for name in ("straight", "broken")
    )
    work(RunDir(straight))
    with pytest.raises(Stopped):
        work(Impatient(broken))
    assert [path.name for path in (broken / "checkpoints").iterdir()] == ["step-00000002"]
    work(RunDir(broken))
    expected = weights(straight)
    assert all(torch.equal(expected[name], value) for name, value in weights(broken).items())


def test_the_saved_policy_is_an_adapter_with_tokenizer_and_card(tmp_path, tiny, judge, prompt_file):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    directory = start(tmp_path, tiny, judge, prompt_file, steps=1)
    work(RunDir(directory))
    output = directory / "output"
    PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny), output)
    assert AutoTokenizer.from_pretrained(output).chat_template
    assert not any("critic" in name for name in weights(directory))
    assert json.loads((output / "policy.json").read_text())["algorithm"] == "ppo"


def test_every_reported_figure_is_named(tmp_path, tiny, judge, prompt_file):
    directory = start(tmp_path, tiny, judge, prompt_file, steps=1)
    work(RunDir(directory))
    assert set(events(directory)[0]["data"]) == {
        "reward", "reward_std", "reward/helpfulness", "kl", "kl_k3", "kl_coef", "sampler_error",
        "response_tokens", "eos_rate", "repetition", "even_groups", "tokens_per_second",
        "value_mean", "explained_variance", "policy_loss", "value_loss", "clip_fraction", "value_clip_fraction",
        "entropy", "update_kl", "first_ratio_error", "grad_norm", "critic_grad_norm", "learning_rate",
        "seconds/sample", "seconds/score", "seconds/reference", "seconds/update", "seconds/step",
    }  # fmt: skip


def test_samples_of_the_same_prompt_carry_their_reward(tmp_path, tiny, judge, prompt_file):
    directory = start(tmp_path, tiny, judge, prompt_file, sample_every=2)
    work(RunDir(directory))
    shown = events(directory, "sample")
    assert [event["step"] for event in shown] == [0, 2, 3]
    assert all(isinstance(event["data"]["reward"], float) for event in shown)


def test_a_long_prompt_loses_its_oldest_turns_and_is_counted(tmp_path, tiny, judge):
    turns = [{"role": role, "content": "x" * 40} for role in ("user", "assistant", "user")]
    prompts = write_jsonl(tmp_path / "prompts.jsonl", [{"id": "1", "messages": turns}])
    directory = start(tmp_path, tiny, judge, prompts, steps=1, max_prompt_tokens=100)
    work(RunDir(directory))
    assert result(directory)["prompts_cut"] == 1


def test_a_score_that_is_not_a_number_stops_the_run_and_names_the_prompts(tmp_path, tiny, judge, prompt_file):
    trainer = stage(tmp_path, tiny, judge, prompt_file)
    with torch.no_grad():
        trainer.judge.model.scorer.net.classifier.score.weight.fill_(float("nan"))
    before = {name: value.detach().clone() for name, value in trainer.parameters.items()}
    with pytest.raises(UserError, match=r"step 1 is not a number, on prompts \d"):
        trainer.fit()
    assert all(torch.equal(before[name], value) for name, value in trainer.parameters.items())


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "no prompts"),
        ([{"id": "1", "messages": []}], "line 1"),
        ([{"id": "1", "messages": [{"role": "assistant", "content": "Hi"}]}], "ends with a user's"),
    ],
)
def test_prompts_that_cannot_be_answered_are_refused(tmp_path, tiny, judge, lines, message):
    prompts = write_jsonl(tmp_path / "prompts.jsonl", lines)
    with pytest.raises(UserError, match=message):
        work(RunDir(start(tmp_path, tiny, judge, prompts)))


def test_what_is_not_a_reward_model_is_refused(tmp_path, tiny, prompt_file):
    with pytest.raises(UserError, match="not a reward model"):
        work(RunDir(start(tmp_path, tiny, tiny, prompt_file)))


def test_a_dimension_the_reward_model_lacks_is_refused(tmp_path, tiny, judge, prompt_file):
    directory = start(tmp_path, tiny, judge, prompt_file, dimension_weights={"charm": 1.0})
    with pytest.raises(UserError, match="charm"):
        work(RunDir(directory))


def test_responses_longer_than_the_model_reads_are_refused(tmp_path, tiny, judge, prompt_file):
    with pytest.raises(UserError, match="1024 tokens"):
        work(RunDir(start(tmp_path, tiny, judge, prompt_file, max_response_tokens=1020)))
