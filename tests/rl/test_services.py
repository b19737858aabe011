"""Starting runs: refused by field before a run exists, or queued whole."""

import json

import pytest
from django.core.exceptions import ValidationError

from annotate.models import Generator
from rl.kind import EvaluationKind, PolicyKind
from rl.models import EvaluationRun, PolicyRun
from rl.selectors import is_held_out
from rl.services import evaluation_run_start, policy_register, policy_run_start
from runs.models import Run
from tests.rl.conftest import answer

DPO, PPO = {"algorithm": "dpo"}, {"algorithm": "ppo"}


def refused(start, field, words, **arguments):
    with pytest.raises(ValidationError) as caught:
        start(**arguments)
    assert words in " ".join(caught.value.message_dict[field])
    assert not PolicyRun.objects.filter(state="queued").exists()
    assert not EvaluationRun.objects.filter(state="queued").exists()


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_dpo_run_waits_in_the_gpu_queue_with_its_whole_configuration(version, generator, admin):
    run = policy_run_start(
        generator=generator, config={**DPO, "beta": 0.2, "seed": 7}, dataset_version=version, title=" New ", user=admin
    )
    run = PolicyRun.objects.get(pk=run.pk)
    assert (run.kind, run.queue, run.state, run.title, run.seed) == ("policy", "gpu", "queued", "New", 7)
    assert (run.algorithm, run.config["beta"], run.config["lora"]["rank"]) == ("dpo", 0.2, 16)
    assert run.created_by == admin and run.policy is None


def test_a_ppo_run_without_prompts_of_its_own_takes_those_of_the_reward_models_dataset(
    version, generator, reward_model, tmp_path
):
    run = policy_run_start(generator=generator, config=PPO, reward_model=reward_model)
    assert run.dataset_version == version
    inputs = PolicyKind().prepare(run, tmp_path)
    prompts = lines(tmp_path / "prompts.jsonl")
    assert inputs["prompts"] == str(tmp_path / "prompts.jsonl")
    assert len(prompts) == 12 and all(prompt["messages"][-1]["role"] == "user" for prompt in prompts)


def test_ppo_on_a_project_never_trains_on_what_is_held_out(project, version, generator, reward_model, tmp_path):
    run = policy_run_start(generator=generator, config=PPO, reward_model=reward_model, project=project)
    PolicyKind().prepare(run, tmp_path)
    prompts = lines(tmp_path / "prompts.jsonl")
    held_out = [prompt for prompt in project.prompts.all() if is_held_out(prompt.messages, version)]
    assert 0 < len(held_out) < 12
    assert len(prompts) == 12 - len(held_out)
    assert not {prompt["id"] for prompt in prompts} & {str(prompt.pk) for prompt in held_out}


def test_a_later_attempt_trains_on_the_same_prompts(project, generator, reward_model, tmp_path):
    run = policy_run_start(generator=generator, config=PPO, reward_model=reward_model, project=project)
    PolicyKind().prepare(run, tmp_path)
    before = (tmp_path / "prompts.jsonl").read_bytes()
    project.prompts.all().delete()
    PolicyKind().prepare(run, tmp_path)
    assert (tmp_path / "prompts.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("config", "field", "words"),
    [
        ({"algorithm": "sarsa"}, "algorithm", "sft, dpo, kto, ppo"),
        ({}, "algorithm", "sft, dpo, kto, ppo"),
        ({**DPO, "beta": -1}, "beta", "greater than 0"),
        ({**DPO, "kl_coef": 1}, "kl_coef", "not permitted"),
        ({**DPO, "lora": {"rank": 0}}, "lora.rank", "greater than or equal to 1"),
        ({**DPO, "dimension_weights": {"charm": 1}}, "dimension_weights", "Choose among harmlessness, helpfulness"),
    ],
)
def test_a_wrong_setting_is_refused_beside_its_field(version, generator, config, field, words):
    refused(policy_run_start, field, words, generator=generator, config=config, dataset_version=version)


def test_dpo_needs_a_dataset_and_nothing_else(version, generator, reward_model):
    refused(policy_run_start, "dataset_version", "choose a dataset", generator=generator, config=DPO)
    arguments = {"generator": generator, "config": DPO, "dataset_version": version, "reward_model": reward_model}
    refused(policy_run_start, "reward_model", "dataset version alone", **arguments)


def test_a_dataset_without_training_pairs_is_refused(version, generator):
    version.counts = {"dimensions": {"helpfulness": {"pairs": {"train": 0}}, "harmlessness": {"pairs": {"train": 3}}}}
    version.save()
    arguments = {"generator": generator, "dataset_version": version}
    refused(policy_run_start, "dataset_version", "helpfulness in its train split", config=DPO, **arguments)
    assert policy_run_start(config={**DPO, "dimension_weights": {"harmlessness": 1}}, **arguments).pk


def test_ppo_needs_a_reward_model_that_knows_the_dimensions(version, generator, reward_model):
    refused(policy_run_start, "reward_model", "choose one", generator=generator, config=PPO, dataset_version=version)
    config = {**PPO, "dimension_weights": {"charm": 1}}
    refused(
        policy_run_start, "dimension_weights", "charm", generator=generator, config=config, reward_model=reward_model
    )


def test_ppo_without_prompts_is_refused(version, generator, reward_model):
    arguments = {"generator": generator, "config": PPO, "reward_model": reward_model}
    refused(policy_run_start, "project", "no prompts", project=version.project, **arguments)
    both = {"project": version.project, "dataset_version": version}
    refused(policy_run_start, "project", "not both", **both, **arguments)


CHECKED = {"algorithm": "grpo", "checks": [{"kind": "exact"}]}


def test_checks_alone_are_a_reward_and_take_answers_from_the_prompts(project, generator, tmp_path):
    first = project.prompts.first()
    first.metadata = {"answer": 42}
    first.save()
    run = policy_run_start(generator=generator, config=CHECKED, project=project)
    inputs = PolicyKind().prepare(run, tmp_path)
    assert inputs["reward_model"] is None and inputs["more_reward_models"] == []
    prompts = {prompt["id"]: prompt for prompt in lines(tmp_path / "prompts.jsonl")}
    assert len(prompts) == 12 and prompts[str(first.pk)]["answer"] == 42
    assert sum("answer" in prompt for prompt in prompts.values()) == 1


def test_without_reward_model_and_checks_or_without_prompts_nothing_starts(generator):
    refused(policy_run_start, "reward_model", "or add a check", generator=generator, config={"algorithm": "grpo"})
    refused(policy_run_start, "project", "whose prompts", generator=generator, config=CHECKED)


def test_several_reward_models_are_handed_on_and_one_is_only_watched(generator, reward_model, real_judge, tmp_path):
    run = policy_run_start(
        generator=generator, config={"algorithm": "rloo"}, reward_model=reward_model, more_reward_models=[real_judge]
    )
    inputs = PolicyKind().prepare(run, tmp_path)
    assert [each["name"] for each in inputs["more_reward_models"]] == [real_judge.name]
    assert {each["name"] for each in PolicyKind().lineage(run)["reward_models"]} == {reward_model.name, real_judge.name}
    arguments = {"generator": generator, "config": {"algorithm": "rloo"}, "reward_model": reward_model}
    watched = policy_run_start(**arguments, watched_reward_model=real_judge)
    assert PolicyKind().prepare(watched, tmp_path / "..")["watched_reward_model"]


def test_a_reward_model_is_not_used_twice(generator, reward_model):
    arguments = {"generator": generator, "config": {"algorithm": "rloo"}, "reward_model": reward_model}
    refused(policy_run_start, "more_reward_models", "already", **arguments, more_reward_models=[reward_model])
    refused(policy_run_start, "watched_reward_model", "shows nothing", **arguments, watched_reward_model=reward_model)


def test_a_gate_must_be_a_dimension_of_the_reward_model(generator, reward_model):
    config = {"algorithm": "rloo", "gate_dimension": "charm"}
    refused(policy_run_start, "gate_dimension", "must be a dimension", generator=generator, config=config,
            reward_model=reward_model)  # fmt: skip


def test_the_language_model_mix_takes_a_dataset_version(project, version, generator, reward_model, tmp_path):
    config = {**PPO, "ptx_coef": 1.0}
    arguments = {"generator": generator, "config": config, "reward_model": reward_model}
    refused(policy_run_start, "ptx_coef", "dataset version", project=project, **arguments)
    assert "dataset" in PolicyKind().prepare(policy_run_start(**arguments), tmp_path)


def test_a_start_whose_weights_are_elsewhere_or_broken_is_refused(version, endpoint, generator, tmp_path):
    refused(policy_run_start, "generator", "local model", generator=endpoint, config=DPO, dataset_version=version)
    generator.model = str(tmp_path)
    refused(policy_run_start, "generator", "config.json", generator=generator, config=DPO, dataset_version=version)


def test_a_finished_policy_becomes_a_generator_over_the_same_base(version, generator, admin, policy_run, tmp_path):
    from runs.artifacts import artifact_publish

    adapter = tmp_path / "adapter"
    adapter.mkdir()
    tiny_adapter(adapter)
    run = policy_run_start(generator=generator, config=DPO, dataset_version=version, title="Better", user=admin)
    artifact = artifact_publish(run=run, source=adapter, kind="policy")
    policy = policy_register(run=run)
    assert policy.name == f"Better ({run.pk})"  # the name alone was taken
    assert (policy.model, policy.adapter, policy.created_by) == (generator.model, artifact, admin)
    assert policy.produced_by == Run.objects.get(pk=run.pk)
    assert PolicyRun.objects.get(pk=run.pk).policy == policy


def tiny_adapter(directory):
    import torch
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, directory / "adapter_model.safetensors")
    (directory / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))


# evaluations --------------------------------------------------------------------------------------------------------


def test_an_evaluation_reads_the_held_out_responses_of_both_sides(answered, version, generator, reward_model, tmp_path):
    other = Generator.objects.create(name="Other", model=generator.model)
    answer(answered, other, "no")
    run = evaluation_run_start(generator=other, reference=generator, reward_model=reward_model, project=answered)
    assert (run.kind, run.queue, run.title) == ("evaluation", "gpu", "Other against Tiny")
    inputs = EvaluationKind().prepare(run, tmp_path)
    ours, before = lines(tmp_path / "responses.jsonl"), lines(tmp_path / "reference_responses.jsonl")
    held_out = {str(p.pk) for p in answered.prompts.all() if is_held_out(p.messages, version)}
    assert {row["prompt_id"] for row in ours} == {row["prompt_id"] for row in before} == held_out
    assert {row["text"] for row in ours} == {"no 0", "no 1"} and {row["text"] for row in before} == {"yes 0", "yes 1"}
    assert inputs["reference"] == {"model": generator.model, "adapter": None}


def test_all_prompts_are_read_when_asked_for(answered, generator, reward_model, tmp_path):
    run = evaluation_run_start(
        generator=generator,
        reference=generator,
        reward_model=reward_model,
        project=answered,
        config={"prompts": "all"},
    )
    inputs = EvaluationKind().prepare(run, tmp_path)
    assert len(lines(tmp_path / "responses.jsonl")) == 24
    assert "reference_responses" not in inputs


def test_an_evaluation_without_responses_is_refused(project, generator, reward_model):
    refused(
        evaluation_run_start,
        "generator",
        "no responses to held-out prompts",
        generator=generator,
        reference=generator,
        reward_model=reward_model,
        project=project,
    )


def test_an_evaluation_refuses_wrong_settings_by_field(answered, generator, reward_model):
    arguments = {"generator": generator, "reference": generator, "reward_model": reward_model, "project": answered}
    refused(evaluation_run_start, "confidence", "less than 1", config={"confidence": 2}, **arguments)
    refused(evaluation_run_start, "dimension_weights", "charm", config={"dimension_weights": {"charm": 1}}, **arguments)
