"""Evaluations through the API, the pages and the command: for admins, by a worker's child, and never half."""

import gzip
import io
import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command

from rewardmodel.evaluation.services import reward_evaluation_start
from rewardmodel.models import RewardEvaluation, RewardModel
from runs.executor import run_execute
from tests.rewardmodel.worlds import easy_rows, write_dataset

PAIRS = "".join(
    json.dumps({"prompt": f"Why {n}?", "chosen": f"yes <b>{n}</b>", "rejected": "no " * n}) + "\n" for n in range(1, 6)
)


def upload(text: str = PAIRS, name: str = "pairs.jsonl") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, text.encode())


def executed(run: RewardEvaluation) -> RewardEvaluation:
    run_execute(run_id=run.pk, worker="test")
    run.refresh_from_db()
    assert run.state == "succeeded", f"{run.error} {run.error_detail}"
    return run


@pytest.fixture
def evaluated(trained, admin):
    """An evaluation on the model's own held-out split that has succeeded."""
    return executed(reward_evaluation_start(reward_model=trained, user=admin))


@pytest.fixture
def second(trained, admin):
    """A reward model of another dimension only."""
    return other_model(trained, admin, "Other", ["truth"])


def other_model(trained, admin, name, dimensions):
    from rewardmodel.models import RewardModelRun

    start = trained.run
    run = RewardModelRun.objects.create(
        kind="reward_model",
        title=name,
        state="succeeded",
        dataset_version=start.dataset_version,
        generator=start.generator,
        created_by=admin,
        finished_at=start.finished_at,
    )
    return RewardModel.objects.create(
        name=name, run=run, artifact=trained.artifact, dimensions=dimensions, base_model=trained.base_model
    )


# over REST ------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_an_evaluation_is_started_carried_out_by_a_worker_and_read(trained, as_admin):
    answer = as_admin.post(f"/api/v1/reward-models/{trained.pk}/evaluate/", {}, content_type="application/json")
    assert answer.status_code == 202, answer.json()
    url = answer["Location"]
    waiting = as_admin.get(url).json()
    assert (waiting["state"], waiting["report"], waiting["file_url"]) == ("queued", {}, None)
    assert waiting["dataset_version"] == trained.run.dataset_version_id
    assert as_admin.get(waiting["items_url"]).json() == {"count": 0, "items": []}
    executed(RewardEvaluation.objects.get())
    found = as_admin.get(url).json()
    assert found["report"]["counts"]["pairs"] == 36
    assert found["report"]["overlap"]["exact"] == 0
    assert found["result"]["accuracy"]["helpfulness"] == found["report"]["dimensions"]["helpfulness"]["accuracy"]
    run = RewardEvaluation.objects.get()
    lineage = run.artifacts.get().manifest["lineage"]
    assert lineage["reward_model"]["sha256"] == trained.artifact.sha256
    assert lineage["dataset"]["sha256"] == trained.run.dataset_version.sha256
    whole = b"".join(as_admin.get(found["file_url"]).streaming_content)
    assert len(whole.splitlines()) == 36


@pytest.mark.django_db(transaction=True)
def test_pairs_are_read_in_pages_and_filtered(evaluated, as_admin):
    address = f"/api/v1/reward-evaluations/{evaluated.pk}/items/"
    every = as_admin.get(address).json()
    assert every["count"] == len(every["items"]) == 36
    assert as_admin.get(address, {"offset": 3, "limit": 2}).json()["items"] == every["items"][3:5]
    wrong = as_admin.get(address, {"outcome": "wrong", "order": "sure"}).json()["items"]
    assert wrong == sorted(
        [line for line in every["items"] if line["right"] == 0], key=lambda line: -abs(line["probability"] - 0.5)
    )
    helpful = as_admin.get(address, {"dimension": "helpfulness"}).json()
    assert helpful["count"] == 18 and {line["dimension"] for line in helpful["items"]} == {"helpfulness"}
    longer = as_admin.get(address, {"length": "longer"}).json()["items"]
    assert longer and all((line["length_i"] > line["length_j"] * 1.25) == (line["p"] > 0.5) for line in longer)
    assert as_admin.get(address, {"tag": "absent"}).json()["count"] == 0
    for bad in ({"outcome": "perfect"}, {"limit": 5000}, {"offset": -1}, {"order": "up"}):
        assert as_admin.get(address, bad).status_code == 400


@pytest.mark.django_db(transaction=True)
def test_a_file_is_sent_measured_and_given_up(trained, as_admin):
    address = f"/api/v1/reward-models/{trained.pk}/evaluate/"
    answer = as_admin.post(address, {"file": upload(), "dimension": "helpfulness", "title": "By hand"})
    assert answer.status_code == 202, answer.json()
    run = executed(RewardEvaluation.objects.get())
    assert (run.title, run.filename, run.dataset_version, bytes(run.content)) == ("By hand", "pairs.jsonl", None, b"")
    assert run.result["counts"]["pairs"] == 5


@pytest.mark.django_db(transaction=True)
def test_a_file_that_turns_out_bad_fails_with_its_line_and_leaves_nothing(trained, admin):
    data = gzip.compress(PAIRS.encode() * 10 + b"not json\n")
    config = {"dimension": "helpfulness"}
    run = reward_evaluation_start(reward_model=trained, data=data, filename="p.jsonl.gz", config=config, user=admin)
    run_execute(run_id=run.pk, worker="test")
    run.refresh_from_db()
    assert (run.state, run.fault) == ("failed", "user")
    assert "Line 51: Not valid JSON" in run.error
    assert not run.artifacts.exists()
    assert run.content  # a retry finds it


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({"config": {"dimension": "truth"}}, "dimension", "has no score truth"),
        ({"config": {"split": "train"}}, "split", "test"),
        ({"config": {"surprise": 1}}, "surprise", ""),
        ({"dataset_version": 99}, "dataset_version", "object does not exist"),
        ({"second": 99}, "second", "object does not exist"),
    ],
)
def test_a_bad_request_is_answered_by_field_and_starts_nothing(trained, as_admin, body, field, words):
    answer = as_admin.post(f"/api/v1/reward-models/{trained.pk}/evaluate/", body, content_type="application/json")
    assert answer.status_code == 400, answer.json()
    assert words in json.dumps(answer.json()[field])
    assert not RewardEvaluation.objects.exists()


@pytest.mark.parametrize(
    ("file", "options", "field", "words"),
    [
        (upload(""), {}, "file", "empty"),
        (upload('{"surprise": 1}\n'), {}, "file", "no known format"),
        (upload('{"prompt": "Why?"}\n'), {}, "file", "holds no preferences"),
        (upload(), {"format": "surprise"}, "format", "not a known format"),
        (upload(), {"format": "prompts"}, "format", "holds no preferences"),
    ],
)
def test_a_bad_file_is_refused_at_once(trained, as_admin, file, options, field, words):
    answer = as_admin.post(f"/api/v1/reward-models/{trained.pk}/evaluate/", {"file": file, **options})
    assert answer.status_code == 400, answer.json()
    assert words in json.dumps(answer.json()[field])
    assert not RewardEvaluation.objects.exists()


def test_a_second_model_must_share_a_dimension_and_be_another(trained, second, as_admin):
    address = f"/api/v1/reward-models/{trained.pk}/evaluate/"
    for chosen, words in ((second, "there is nothing to compare"), (trained, "same reward model")):
        answer = as_admin.post(address, {"second": chosen.pk}, content_type="application/json")
        assert answer.status_code == 400
        assert words in answer.json()["second"][0]


def test_a_dataset_without_held_out_pairs_is_refused_at_once(trained, make_version, tmp_path, as_admin):
    version = make_version(write_dataset(tmp_path / "train", easy_rows(train=3, test=0)))
    version.counts = {"dimensions": {"helpfulness": {"pairs": {"train": 9, "test": 0}}}}
    version.save()
    address = f"/api/v1/reward-models/{trained.pk}/evaluate/"
    answer = as_admin.post(address, {"dataset_version": version.pk}, content_type="application/json")
    assert answer.status_code == 400
    assert "no held-out pair" in answer.json()["dataset_version"][0]


def test_a_request_without_end_is_not_read(trained, as_admin):
    address = f"/api/v1/reward-models/{trained.pk}/evaluate/"
    answer = as_admin.post(address, {}, content_type="application/json", CONTENT_LENGTH=str(2**40))
    assert answer.status_code == 413


# the command ----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_the_command_measures_here_and_now_and_the_result_has_a_page(trained, tmp_path, as_admin):
    file = tmp_path / "pairs.jsonl"
    file.write_text(PAIRS)
    out = io.StringIO()
    call_command("evaluate_reward_model", "Judge", str(file), "--dimension", "helpfulness", "--json", stdout=out)
    said = json.loads(out.getvalue())
    assert said["counts"]["pairs"] == 5
    assert as_admin.get(said["url"]).status_code == 200
    out = io.StringIO()
    call_command("evaluate_reward_model", str(trained.pk), stdout=out)
    assert "helpfulness: accuracy" in out.getvalue() and "two people not known" in out.getvalue()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["Nobody"], "There is no reward model 'Nobody'"),
        (["Judge", "/nowhere"], "There is no file /nowhere"),
        (["Judge", "--second", "Nobody"], "There is no reward model 'Nobody'"),
        (["Judge", "--dataset", "99"], "no dataset version with the id 99"),
        (["Judge", "--dimension", "truth"], "has no score truth"),
    ],
)
def test_a_command_that_cannot_work_says_why_and_leaves_nothing(trained, arguments, words):
    with pytest.raises(CommandError, match=words):
        call_command("evaluate_reward_model", *arguments)
    assert not RewardEvaluation.objects.exists()
