"""A reward-model run from the form's configuration to a model in the list, through the real executor and child."""

import pytest
import torch

from rewardmodel.models import RewardModel
from rewardmodel.services import reward_model_run_start
from runs.artifacts import artifact_path
from runs.executor import run_execute
from runs.models import RunEvent

pytestmark = pytest.mark.django_db(transaction=True)

CONFIG = {"learning_rate": 1e-2, "epochs": 4, "comparisons_per_step": 4, "lora": {"rank": 4}}


def test_a_run_leaves_a_reward_model_that_plain_transformers_loads(version, generator, admin, as_admin):
    from transformers import AutoModelForSequenceClassification

    run = reward_model_run_start(
        dataset_version=version, generator=generator, config=CONFIG, title="Tiny judge", user=admin
    )
    run_execute(run_id=run.pk, worker="test")
    run.refresh_from_db()
    assert run.state == "succeeded", f"{run.error}\n{run.error_detail}"
    reward_model = RewardModel.objects.get()
    assert (reward_model.name, reward_model.run, reward_model.dimensions) == (
        "Tiny judge",
        run,
        ["harmlessness", "helpfulness"],
    )
    directory = artifact_path(reward_model.artifact)
    model = AutoModelForSequenceClassification.from_pretrained(directory)
    with torch.no_grad():
        assert model(torch.tensor([[5, 6, model.config.eos_token_id]])).logits.shape == (1, 2)
    lineage = reward_model.artifact.manifest["lineage"]
    assert lineage["dataset"]["sha256"] == version.sha256
    assert lineage["start"]["generator"] == "Tiny"
    metrics = run.events.filter(type=RunEvent.Type.METRICS)
    assert {"loss", "accuracy", "grad_norm", "learning_rate"} <= metrics.first().data.keys()
    assert run.events.filter(type=RunEvent.Type.SAMPLE).exists()
    page = as_admin.get(reward_model.get_absolute_url()).content.decode()
    assert "Tiny judge" in page
    assert as_admin.get(f"/api/v1/reward-models/{reward_model.pk}/").json()["metrics"]["accuracy"]["helpfulness"]["n"]


def test_a_run_whose_dataset_teaches_nothing_fails_with_what_to_change(make_version, generator, admin, tmp_path):
    from tests.rewardmodel.worlds import easy_rows, write_dataset

    version = make_version(write_dataset(tmp_path / "silent", easy_rows(train=0, test=3)))
    run = reward_model_run_start(dataset_version=version, generator=generator, config=CONFIG, user=admin)
    run_execute(run_id=run.pk, worker="test")
    run.refresh_from_db()
    assert (run.state, run.fault) == ("failed", "user")
    assert "no preference for helpfulness in its train split" in run.error
    assert "make the test fraction smaller" in run.error
    assert not RewardModel.objects.exists()
    assert not run.artifacts.exists()
