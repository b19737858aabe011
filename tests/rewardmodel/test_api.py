"""Reward models over REST."""

import pytest

from rewardmodel.models import RewardModelRun

PLACES = ["/api/v1/reward-models/", "/api/v1/reward-models/{pk}/", "/api/v1/reward-model-runs/"]


@pytest.mark.parametrize("place", PLACES)
def test_endpoints_are_for_admins(place, reward_model, as_admin, as_annotator, as_outsider, as_nobody):
    address = place.format(pk=reward_model.pk)
    assert as_admin.get(address).status_code == 200
    for visitor in (as_annotator, as_outsider):
        assert visitor.get(address).status_code == 403
    assert as_nobody.get(address).status_code == 401


def test_only_admins_start_runs(version, generator, as_annotator, as_nobody):
    data = {"dataset_version": version.pk, "generator": generator.pk}
    address = "/api/v1/reward-model-runs/"
    assert as_annotator.post(address, data, content_type="application/json").status_code == 403
    assert as_nobody.post(address, data, content_type="application/json").status_code == 401
    assert not RewardModelRun.objects.exists()


def test_a_reward_model_comes_with_its_accuracy_and_lineage(reward_model, version, generator, as_admin):
    found = as_admin.get(f"/api/v1/reward-models/{reward_model.pk}/").json()
    assert found["metrics"]["accuracy"]["helpfulness"]["low"] == 0.55
    assert found["dimensions"] == ["harmlessness", "helpfulness"]
    assert (found["dataset_version"], found["generator"]) == (version.pk, generator.pk)
    assert found["artifact_sha256"] == reward_model.artifact.sha256


def test_a_run_is_started_with_json(version, generator, admin, as_admin):
    answer = as_admin.post(
        "/api/v1/reward-model-runs/",
        {
            "dataset_version": version.pk,
            "generator": generator.pk,
            "config": {"epochs": 2, "dimensions": ["helpfulness"], "lora": {"rank": 4}},
        },
        content_type="application/json",
    )
    assert answer.status_code == 201, answer.json()
    run = RewardModelRun.objects.get(pk=answer.json()["id"])
    assert run.created_by == admin
    assert (run.config["epochs"], run.config["lora"]["rank"], run.config["schedule"]) == (2, 4, "cosine")
    assert answer.json()["reward_model"] is None


@pytest.mark.parametrize(
    ("config", "field"),
    [({"epochs": 0}, "epochs"), ({"lora": {"rank": "many"}}, "lora.rank"), ({"dimensions": ["truth"]}, "dimensions")],
)
def test_mistakes_are_answered_by_field(version, generator, as_admin, config, field):
    answer = as_admin.post(
        "/api/v1/reward-model-runs/",
        {"dataset_version": version.pk, "generator": generator.pk, "config": config},
        content_type="application/json",
    )
    assert answer.status_code == 400
    assert list(answer.json()) == [field]
    assert not RewardModelRun.objects.exists()


def test_what_is_not_there_is_answered_by_field(as_admin):
    answer = as_admin.post(
        "/api/v1/reward-model-runs/", {"dataset_version": 99, "generator": 99}, content_type="application/json"
    )
    assert answer.status_code == 400
    assert set(answer.json()) == {"dataset_version", "generator"}


def test_a_finished_run_names_its_reward_model(reward_model, as_admin):
    found = as_admin.get(f"/api/v1/reward-model-runs/{reward_model.run_id}/").json()
    assert found["reward_model"] == reward_model.pk


def test_the_openapi_schema_describes_every_setting(as_admin):
    schema = as_admin.get("/api/v1/schema/", HTTP_ACCEPT="application/vnd.oai.openapi+json").content.decode()
    assert "comparisons_per_step" in schema
    assert "Assumed share of flipped preferences" in schema
