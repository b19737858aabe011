"""Policies and evaluations over REST."""

import pytest

from rl.models import EvaluationRun, PolicyRun

PLACES = [
    "/api/v1/policy-runs/",
    "/api/v1/policy-runs/{policy}/",
    "/api/v1/evaluation-runs/",
    "/api/v1/evaluation-runs/{evaluation}/",
]


def post(client, address, data):
    return client.post(address, data, content_type="application/json")


@pytest.mark.parametrize("place", PLACES)
def test_endpoints_are_for_admins(place, policy_run, evaluation_run, as_admin, as_annotator, as_outsider, as_nobody):
    address = place.format(policy=policy_run.pk, evaluation=evaluation_run.pk)
    assert as_admin.get(address).status_code == 200
    for visitor in (as_annotator, as_outsider):
        assert visitor.get(address).status_code == 403
    assert as_nobody.get(address).status_code == 401


def test_only_admins_start_runs(version, generator, as_annotator, as_outsider, as_nobody):
    data = {"generator": generator.pk, "dataset_version": version.pk, "config": {"algorithm": "dpo"}}
    for address in ("/api/v1/policy-runs/", "/api/v1/evaluation-runs/"):
        assert post(as_annotator, address, data).status_code == 403
        assert post(as_outsider, address, data).status_code == 403
        assert post(as_nobody, address, data).status_code == 401
    assert not PolicyRun.objects.exists() and not EvaluationRun.objects.exists()


def test_a_policy_run_is_started_with_json(version, generator, admin, as_admin):
    config = {"algorithm": "dpo", "epochs": 2, "dimension_weights": {"helpfulness": 1}}
    data = {"generator": generator.pk, "dataset_version": version.pk, "config": config}
    answer = post(as_admin, "/api/v1/policy-runs/", data)
    assert answer.status_code == 201, answer.json()
    run = PolicyRun.objects.get(pk=answer.json()["id"])
    assert (run.created_by, run.config["epochs"], run.algorithm) == (admin, 2, "dpo")
    assert answer.json()["policy"] is None


def test_an_evaluation_is_started_with_json(answered, generator, reward_model, as_admin):
    data = {
        "generator": generator.pk,
        "reference": generator.pk,
        "reward_model": reward_model.pk,
        "project": answered.pk,
    }
    answer = post(as_admin, "/api/v1/evaluation-runs/", data)
    assert answer.status_code == 201, answer.json()
    assert EvaluationRun.objects.get().config["prompts"] == "held_out"


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"algorithm": "dpo", "beta": "tight"}, "beta"),
        ({"algorithm": "ppo", "steps": 0}, "steps"),
        ({"algorithm": "best"}, "algorithm"),
        ({"algorithm": "dpo", "dimension_weights": {"charm": 1}}, "dimension_weights"),
    ],
)
def test_mistakes_are_answered_by_field(version, generator, as_admin, config, field):
    data = {"generator": generator.pk, "dataset_version": version.pk, "config": config}
    answer = post(as_admin, "/api/v1/policy-runs/", data)
    assert answer.status_code == 400
    assert field in answer.json()
    assert not PolicyRun.objects.exists()


def test_an_evaluation_carries_its_intervals(evaluation_run, as_admin):
    found = as_admin.get(f"/api/v1/evaluation-runs/{evaluation_run.pk}/").json()
    assert found["result"]["difference"]["reward"]["low"] == pytest.approx(0.4)


def test_the_schema_knows_all_algorithms(as_admin):
    schema = as_admin.get("/api/v1/schema/?format=json").content.decode()
    for setting in ("kl_coef", "label_smoothing", "desirable_weight", "standardise", "group_baseline", "any_of"):
        assert setting in schema
