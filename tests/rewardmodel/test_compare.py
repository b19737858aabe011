"""Reward models side by side: for admins, and with a warning where figures cannot be compared."""

import json

import pytest
from django.utils import timezone

from rewardmodel.comparing import head_to_head
from rewardmodel.models import RewardEvaluation, RewardModelRun
from rewardmodel.services import reward_model_create
from runs.artifacts import artifact_publish
from runs.models import RunEvent

SHARE = {"low": 0.55, "high": 0.84, "n": 60, "prompts": 20}


@pytest.fixture
def make_model(version, generator, admin, tmp_path):
    def make(title, dataset=None, **config):
        run = RewardModelRun.objects.create(
            kind="reward_model",
            title=title,
            state="succeeded",
            finished_at=timezone.now(),
            config={"epochs": 1, "learning_rate": 1e-4, **config},
            dataset_version=dataset or version,
            generator=generator,
            created_by=admin,
        )
        for step, loss in ((1, 0.7), (2, 0.6)):
            RunEvent.objects.create(run=run, type="metrics", step=step, data={"loss": loss})
        folder = tmp_path / f"model-{run.pk}"
        folder.mkdir()
        (folder / "reward.json").write_text("{}")
        artifact_publish(run=run, source=folder, kind="reward_model")
        accuracy = {"helpfulness": {"value": 0.712, **SHARE}}
        return reward_model_create(run=run, result={"dimensions": ["helpfulness"], "accuracy": accuracy})

    return make


@pytest.fixture
def evaluate(version, tmp_path):
    """`evaluate(model, [right, ...])`: it was measured on one pair of each of so many prompts."""

    def evaluation(model, rights):
        run = RewardEvaluation.objects.create(
            kind="reward_evaluation",
            title="Measured",
            state="succeeded",
            finished_at=timezone.now(),
            reward_model=model,
            dataset_version=version,
            config={"split": "test"},
        )
        folder = tmp_path / f"evaluation-{run.pk}"
        folder.mkdir()
        lines = [
            {"dimension": "helpfulness", "prompt": [{"role": "user", "content": str(number)}], "right": right}
            for number, right in enumerate(rights)
        ]
        (folder / "items.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        artifact_publish(run=run, source=folder, kind="reward_evaluation")

    return evaluation


def address(*models):
    return "/reward-models/compare/?" + "&".join(f"run={model.run_id}" for model in models)


def test_comparing_is_for_admins(make_model, as_admin, as_annotator, as_outsider, as_nobody):
    place = address(make_model("One"), make_model("Two"))
    assert as_admin.get(place).status_code == 200
    for visitor in (as_annotator, as_outsider):
        assert visitor.get(place).status_code == 403
    assert as_nobody.get(place)["Location"].startswith("/account/login/")


def test_what_differs_stands_out_and_the_rest_is_folded(make_model, as_admin):
    page = as_admin.get(address(make_model("One", epochs=1), make_model("Two <b>", epochs=3))).content.decode()
    table, _, rest = page.partition("Settings that differ")[2].partition("<details>")
    assert "epochs" in table and "learning_rate" not in table
    assert "learning_rate" in rest
    assert "71.2 % [55.0 %, 84.0 %]" in page
    assert 'class="line run-1"' in page and 'class="line run-2"' in page
    assert "Two &lt;b&gt;" in page
    assert "Not measured on the same held-out data" not in page


def test_figures_of_different_data_come_with_a_warning(make_model, make_version, dataset, as_admin):
    other = make_version(dataset)
    page = as_admin.get(address(make_model("One"), make_model("Two", dataset=other))).content.decode()
    assert "Not measured on the same held-out data" in page


def test_without_a_common_test_set_it_says_what_to_run(make_model, evaluate, as_admin):
    first, second = make_model("One"), make_model("Two")
    evaluate(first, [1])
    page = as_admin.get(address(first, second)).content.decode()
    assert "No test set has been scored by both." in page
    assert f"/reward-models/{first.pk}/evaluate/?second={second.pk}&amp;dataset_version=" in page


def test_on_a_common_test_set_there_is_a_paired_test(make_model, evaluate, as_admin):
    first, second, third = make_model("One"), make_model("Two"), make_model("Three")
    evaluate(first, [1] * 12)
    evaluate(second, [0] * 10 + [1] * 2)
    evaluate(third, [1] * 12)
    page = as_admin.get(address(first, second, third)).content.decode()
    assert "100.0 % [72.2 %, 100.0 %]" in page  # Wilson's interval of 10 of 10
    assert '<span class="badge good">A</span>' in page
    assert "right on the same pairs" in page


def test_head_to_head_by_hand():
    first = {"h": {"p": [1, 1, 0], "q": [1], "r": [1, 0], "only": [1]}}
    second = {"h": {"p": [0, 1, 0], "q": [0], "r": [1, 1], "s": [1]}}
    found = head_to_head(first, second)["h"]  # ahead on p and q, behind on r
    assert (found["value"], found["n"], found["verdict"]) == (pytest.approx(2 / 3), 3, "open")
    assert (found["low"], found["high"]) == (pytest.approx(0.2077, abs=1e-4), pytest.approx(0.9385, abs=1e-4))


@pytest.mark.parametrize("query", ["", "?run=1", "?run=x&run=y"])
def test_fewer_than_two_are_not_compared(query, as_admin):
    page = as_admin.get(f"/reward-models/compare/{query}")
    assert page.status_code == 200
    assert "Choose 2 to 4 runs" in page.content.decode()


def test_more_than_four_are_not_compared(make_model, as_admin):
    page = as_admin.get(address(*(make_model(f"Model {number}") for number in range(5))))
    assert page.status_code == 422
    assert "Now it is 5." in page.content.decode()


def test_the_list_offers_to_compare_what_is_chosen(make_model, as_admin):
    first, _ = make_model("One"), make_model("Two")
    page = as_admin.get("/reward-models/").content.decode()
    assert f'name="run" value="{first.run_id}"' in page
    assert "Compare side by side" in page
