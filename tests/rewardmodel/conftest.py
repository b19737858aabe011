"""A tiny policy, its chat, and small datasets."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rewardmodel.worlds import easy_rows, two_dimensions, write_dataset
from tests.tiny import tiny_model


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_chat(tiny):
    from lm.loading import load_chat

    return load_chat(str(tiny))


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("easy"), easy_rows())


@pytest.fixture(scope="session")
def dataset_of_two(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("two"), two_dimensions(easy_rows()))


@pytest.fixture(scope="session")
def trained_directory(tmp_path_factory, dataset_of_two, tiny) -> Path:
    """A reward model of harmlessness and helpfulness, trained for a moment."""
    from rewardmodel.training.run import train_reward_model
    from runs.child import RunDir
    from tests.rewardmodel.worlds import write_run

    config = {"learning_rate": 1e-2, "epochs": 2, "comparisons_per_step": 4, "lora": {"rank": 4}, "dtype": "float32"}
    config |= {"max_prompt_tokens": 120, "max_response_tokens": 60}
    directory = write_run(tmp_path_factory.mktemp("trained") / "1", dataset_of_two, tiny, config)
    train_reward_model(RunDir(directory))
    return directory / "output"


@pytest.fixture
def trained(version, generator, admin, trained_directory):
    """That reward model as the platform has it."""
    from django.utils import timezone

    from rewardmodel.models import RewardModelRun
    from rewardmodel.services import reward_model_create
    from runs.artifacts import artifact_publish

    run = RewardModelRun.objects.create(
        kind="reward_model",
        title="Judge",
        state="succeeded",
        finished_at=timezone.now(),
        dataset_version=version,
        generator=generator,
        created_by=admin,
    )
    artifact_publish(run=run, source=trained_directory, kind="reward_model")
    return reward_model_create(run=run, result={"dimensions": ["harmlessness", "helpfulness"]})


@pytest.fixture
def generator(db, tiny):
    """A policy on this machine."""
    from annotate.models import Generator

    return Generator.objects.create(name="Tiny", model=str(tiny))


@pytest.fixture
def endpoint(db):
    """A policy whose weights are elsewhere."""
    from annotate.models import Generator

    return Generator.objects.create(
        name="Far away", kind="endpoint", endpoint_url="https://example.org/v1", endpoint_model="large"
    )


@pytest.fixture
def make_version(db):
    """`make_version(directory)`: a dataset directory as a built dataset version."""
    from django.utils import timezone

    from annotate.models import DatasetRun, DatasetVersion, Project
    from runs.artifacts import artifact_publish

    def make(directory: Path) -> DatasetVersion:
        project, _ = Project.objects.get_or_create(name="First", slug="first")
        run = DatasetRun.objects.create(
            kind="dataset", title="First dataset", state="succeeded", finished_at=timezone.now(), project=project
        )
        artifact = artifact_publish(run=run, source=directory, kind="dataset")
        return DatasetVersion.objects.create(
            project=project,
            number=project.dataset_versions.count() + 1,
            run=run,
            artifact=artifact,
            sha256=artifact.sha256,
            counts={"dimensions": {"helpfulness": {}, "harmlessness": {}}},
        )

    return make


@pytest.fixture
def version(make_version, dataset_of_two):
    """A built dataset version with helpfulness and harmlessness."""
    return make_version(dataset_of_two)


@pytest.fixture
def reward_model(version, generator, admin, tmp_path):
    """A reward model whose run has succeeded; its directory holds a card only."""
    from django.utils import timezone

    from rewardmodel.models import RewardModelRun
    from rewardmodel.services import reward_model_create
    from rewardmodel.training.config import RewardConfig
    from runs.artifacts import artifact_publish

    run = RewardModelRun.objects.create(
        kind="reward_model",
        title="Judge",
        state="succeeded",
        finished_at=timezone.now(),
        config=RewardConfig().model_dump(mode="json"),
        dataset_version=version,
        generator=generator,
        created_by=admin,
    )
    output = tmp_path / "output"
    output.mkdir()
    (output / "reward.json").write_text("{}")
    artifact_publish(run=run, source=output, kind="reward_model")
    share = {"low": 0.55, "high": 0.84, "n": 60, "prompts": 20}
    result = {
        "dimensions": ["harmlessness", "helpfulness"],
        "accuracy": {"helpfulness": {"value": 0.712, **share}, "harmlessness": {"value": 0.6, **share}},
        "train_accuracy": {"helpfulness": {"value": 0.9, **share}},
        "baseline_longer": {"helpfulness": {"value": 0.433, **share}},
        "better_than_longer": {"helpfulness": {"value": 0.8, "low": 0.6, "high": 0.9, "n": 15}},
        "score_mean": {"helpfulness": 0.25, "harmlessness": -0.5},
        "score_std": {"helpfulness": 1.0, "harmlessness": 1.5},
        "comparisons": {"train": 12, "test": 6, "train_measured": 12},
        "cuts": {"prompts_cut": 0, "responses_cut": 3},
        "loss": 0.61,
        "train_loss": 0.4,
        "steps": 3,
    }
    return reward_model_create(run=run, result=result)
