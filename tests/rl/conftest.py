"""A tiny policy, a tiny reward model, and small datasets."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rewardmodel.conftest import endpoint, generator, make_version, reward_model  # noqa: F401
from tests.rewardmodel.worlds import easy_rows, two_dimensions, write_dataset
from tests.rewardmodel.worlds import write_run as write_reward_run
from tests.rl.worlds import prompts, write_jsonl
from tests.runs.workers import start_worker  # noqa: F401
from tests.tiny import tiny_model


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("easy"), easy_rows())


@pytest.fixture(scope="session")
def dataset_of_two(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("two"), two_dimensions(easy_rows()))


@pytest.fixture(scope="session")
def judge(tmp_path_factory, tiny, dataset) -> Path:
    """A reward model, trained for a few steps, as a directory."""
    from rewardmodel.training.run import train_reward_model
    from runs.child import RunDir

    config = {"learning_rate": 1e-2, "epochs": 2, "comparisons_per_step": 4, "lora": {"rank": 4}}
    run = RunDir(write_reward_run(tmp_path_factory.mktemp("judge") / "run", dataset, tiny, config))
    train_reward_model(run)
    return run.output


@pytest.fixture(scope="session")
def prompt_file(tmp_path_factory) -> Path:
    return write_jsonl(tmp_path_factory.mktemp("prompts") / "prompts.jsonl", prompts())


@pytest.fixture
def version(make_version, dataset_of_two):  # noqa: F811
    """A built dataset version with helpfulness and harmlessness that holds out two prompts in five."""
    found = make_version(dataset_of_two)
    found.run.config = {"test_fraction": 0.4}
    found.run.save()
    return found


@pytest.fixture
def project(version):
    """The version's project, with twelve prompts."""
    from annotate.models import Prompt
    from annotate.pairs import content_hash

    for number in range(12):
        messages = [{"role": "user", "content": f"Question {number}"}]
        Prompt.objects.create(project=version.project, messages=messages, content_hash=content_hash(messages))
    return version.project


@pytest.fixture
def answered(project, generator):  # noqa: F811
    """The project, once `generator` has answered all its prompts twice."""
    answer(project, generator, "yes")
    return project


def answer(project, writer, text):
    from annotate.models import Response

    for prompt in project.prompts.all():
        for index in range(2):
            Response.objects.create(
                prompt=prompt,
                generator=writer,
                text=f"{text} {index}",
                content_hash=f"{writer.pk}-{index}",
                sample_index=index,
                finish_reason="stop",
            )


@pytest.fixture
def real_judge(reward_model, judge, version, generator, admin):  # noqa: F811
    """A reward model with weights, which knows helpfulness."""
    from django.utils import timezone

    from rewardmodel.models import RewardModelRun
    from rewardmodel.services import reward_model_create
    from runs.artifacts import artifact_publish

    run = RewardModelRun.objects.create(
        kind="reward_model",
        title="Real judge",
        state="succeeded",
        finished_at=timezone.now(),
        dataset_version=version,
        generator=generator,
        created_by=admin,
    )
    artifact_publish(run=run, source=judge, kind="reward_model")
    return reward_model_create(run=run, result={"dimensions": ["helpfulness"]})


@pytest.fixture
def policy_run(version, generator, reward_model, admin, tmp_path):  # noqa: F811
    """A PPO run that has succeeded; its adapter is a card only."""
    from django.utils import timezone

    from annotate.models import Generator
    from rl.models import PolicyRun
    from rl.training.config import PPOConfig
    from runs.artifacts import artifact_publish

    run = PolicyRun.objects.create(
        kind="policy",
        title="Better",
        state="succeeded",
        finished_at=timezone.now(),
        config=PPOConfig().model_dump(mode="json"),
        algorithm="ppo",
        generator=generator,
        dataset_version=version,
        reward_model=reward_model,
        created_by=admin,
        result={
            "algorithm": "ppo",
            "prompts": 12,
            "prompts_cut": 1,
            "first": {"reward": -0.25, "kl": 0.0, "clip_fraction": 0.031, "entropy": 2.5},
            "last": {"reward": 0.5, "kl": 4.25, "clip_fraction": 0.125, "entropy": 2.25},
        },
    )
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "policy.json").write_text("{}")
    artifact_publish(run=run, source=tmp_path / "policy", kind="policy")
    run.policy = Generator.objects.create(name="Better", model=generator.model, produced_by_id=run.pk)
    run.save()
    return run


@pytest.fixture
def evaluation_run(policy_run, project, generator, reward_model, admin):  # noqa: F811
    """An evaluation that has succeeded."""
    from django.utils import timezone

    from rl.models import EvaluationRun
    from rl.training.config import EvaluationConfig

    def mean(value, spread=0.1):
        return {"value": value, "low": value - spread, "high": value + spread, "n": 8, "prompts": 4}

    before = {"reward": mean(0.0), "tokens": mean(20.0, 2.0), "eos_rate": mean(0.5)}
    return EvaluationRun.objects.create(
        kind="evaluation",
        title="Better against Tiny",
        state="succeeded",
        finished_at=timezone.now(),
        config=EvaluationConfig().model_dump(mode="json"),
        generator=policy_run.policy,
        reference=generator,
        reward_model=reward_model,
        project=project,
        created_by=admin,
        result={
            "policy": {**before, "reward": mean(0.5), "kl": mean(4.25), "kl_k3_per_token": mean(0.02, 0.01)},
            "reference": before,
            "difference": {"reward": mean(0.5), "tokens": mean(0.0), "eos_rate": mean(0.0)},
            "responses": 8,
            "reference_responses": 8,
            "interval": "95% percentile bootstrap interval",
            "kl_compared": True,
        },
    )
