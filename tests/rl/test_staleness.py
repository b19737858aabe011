"""What rests on withdrawn work says so, however many steps away, and no longer once the work is restored."""

import pytest
from django.urls import reverse

from accounts.models import User
from annotate.models import DatasetVersion, Generator
from annotate.ranking.models import Judgement
from annotate.review.withdrawals import withdrawal_preview, work_restore, work_withdraw
from rewardmodel.models import RewardModel, RewardModelRun
from rewardmodel.staleness import stale_reward_models
from rl.models import PolicyRun
from rl.staleness import stale_now
from tests.annotate.ranking.desk import make_comparison

pytestmark = pytest.mark.django_db


@pytest.fixture
def clicker(version) -> User:
    """Somebody whose judgements are in the version that everything here was trained on."""
    person = User.objects.create_user("clicker")
    comparison = make_comparison(version.project, "Why?")
    Judgement.objects.create(comparison=comparison, annotator=person, rankings={})
    DatasetVersion.objects.filter(pk=version.pk).update(annotators=[person.pk])
    return person


def withdraw(version, clicker, admin):
    return work_withdraw(project=version.project, annotator=clicker, by=admin, reason="a robot")


def test_it_spreads_along_the_lineage_and_back(version, clicker, reward_model, policy_run, evaluation_run, admin):
    assert stale_reward_models() == {}
    done = withdraw(version, clicker, admin)
    why = f"{version}. Work of clicker was withdrawn: a robot"
    assert stale_reward_models() == {reward_model.pk: why}
    found = stale_now()
    assert found.policies == {policy_run.pk: why}
    assert found.generators == {policy_run.policy_id: why}
    assert found.evaluations == {evaluation_run.pk: why}
    work_restore(withdrawal=done, by=admin)
    assert (stale_reward_models(), stale_now().policies) == ({}, {})


def test_a_policy_is_stale_through_its_reward_model_alone(version, clicker, reward_model, policy_run, admin):
    PolicyRun.objects.filter(pk=policy_run.pk).update(dataset_version=None, project=version.project)
    withdraw(version, clicker, admin)
    assert policy_run.pk in stale_now().policies


def test_what_started_from_a_stale_policy_is_stale_too(version, make_version, tmp_path, clicker, policy_run, admin):
    (tmp_path / "clean").mkdir()
    (tmp_path / "clean" / "rankings.jsonl").write_text("{}\n")
    clean = make_version(tmp_path / "clean")
    DatasetVersion.objects.filter(pk=clean.pk).update(annotators=[admin.pk])
    second = PolicyRun.objects.create(
        kind="policy", title="Second", algorithm="dpo", generator=policy_run.policy, dataset_version=clean
    )
    second.policy = Generator.objects.create(name="Second", model="second")
    second.save()
    PolicyRun.objects.create(kind="policy", title="Apart", algorithm="dpo", generator=policy_run.generator)
    run = RewardModelRun.objects.create(
        kind="reward_model", title="Third", dataset_version=clean, generator=second.policy
    )
    artifact = policy_run.artifacts.first()
    third = RewardModel.objects.create(name="Third", run=run, artifact=artifact, dimensions=["h"], base_model="x")
    withdraw(version, clicker, admin)
    assert set(stale_now().policies) == {policy_run.pk, second.pk}
    assert set(stale_now().generators) == {policy_run.policy_id, second.policy_id}
    assert third.pk in stale_reward_models()


def test_the_lineage_of_a_version_leads_on_to_its_policies(version, reward_model, policy_run, as_admin):
    type(version).objects.filter(pk=version.pk).update(counts={"prompts": {}, "dimensions": {}})
    page = as_admin.get(reverse("annotate:dataset-lineage", args=[version.pk])).content.decode()
    made = page.partition("What was made of this version")[2]
    assert f'href="{policy_run.get_policy_url()}"' in made and reward_model.name in made
    found = as_admin.get(f"/api/v1/dataset-versions/{version.pk}/lineage/").json()["models"]
    assert {"Better", reward_model.name} <= {model["name"] for model in found}


def test_the_preview_names_every_model(version, clicker, reward_model, policy_run, evaluation_run, as_admin):
    preview = withdrawal_preview(version.project, clicker)
    assert {(model.kind, model.name) for model in preview.models} == {
        ("reward model", reward_model.name),
        ("policy", str(policy_run.policy)),
        ("evaluation", evaluation_run.title),
    }
    page = as_admin.get(reverse("annotate:withdraw", args=[version.project.slug, clicker.pk])).content.decode()
    for thing in (version, reward_model):
        assert thing.get_absolute_url() in page
    assert stale_now().policies == {}, "looking changes nothing"


def test_pages_and_endpoints_say_it(
    version, clicker, reward_model, policy_run, evaluation_run, admin, as_admin, django_assert_max_num_queries
):
    lists = [reverse(name) for name in ("rewardmodel:list", "rl:policy-list", "rl:evaluation-list")]
    details = [
        reward_model.get_absolute_url(),
        policy_run.get_policy_url(),
        evaluation_run.get_evaluation_url(),
        policy_run.policy.get_absolute_url(),
    ]
    lists.append(reverse("annotate:generator-list"))
    endpoints = [f"/api/v1/{name}/" for name in ("reward-models", "policy-runs", "evaluation-runs", "generators")]

    def marked() -> list[bool]:
        pages = [">stale</span>" in as_admin.get(url).content.decode() for url in lists]
        pages += ["<strong>Stale.</strong>" in as_admin.get(url).content.decode() for url in details]
        rows = [as_admin.get(url).json()["results"] for url in endpoints]
        return pages + [any("a robot" in row["stale_reason"] for row in found) for found in rows]

    assert not any(marked())
    withdraw(version, clicker, admin)
    assert all(marked())
    for start in (reverse("rewardmodel:start"), reverse("rl:policy-start", args=["dpo"])):
        assert f"{version} (stale)" in as_admin.get(start).content.decode()
    for url in (*lists, *endpoints):
        with django_assert_max_num_queries(16):
            as_admin.get(url)
