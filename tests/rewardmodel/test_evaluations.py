"""Evaluations through the API, the pages and the command: for admins, by a worker's child, and never half."""

import gzip
import io
import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import AuditEntry
from annotate.models import DatasetVersion
from rewardmodel.evaluation.services import reward_evaluation_start
from rewardmodel.models import RewardEvaluation, RewardModel
from runs import kinds
from runs.executor import run_execute
from runs.models import Run
from tests.rewardmodel.worlds import easy_rows, row, write_dataset

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


def test_the_file_that_was_sent_is_left_in_the_database_until_the_run_asks_for_it(trained, admin):
    started = reward_evaluation_start(
        reward_model=trained, data=upload().read(), filename="a.jsonl", config={"dimension": "helpfulness"}, user=admin
    )
    run = kinds.typed(Run.objects.get(pk=started.pk))
    assert run.get_deferred_fields() == {"content"}
    assert gzip.decompress(bytes(run.content)) == upload().read()


def test_figures_that_rest_on_withdrawn_work_are_marked(trained, admin, as_admin):
    run = reward_evaluation_start(reward_model=trained, user=admin)
    address = run.get_evaluation_url()
    assert "Stale." not in as_admin.get(address).content.decode()
    versions = DatasetVersion.objects.filter(pk=run.dataset_version_id)
    versions.update(stale_since=timezone.now(), stale_reason="<b>Somebody</b> was withdrawn.")
    page = as_admin.get(address).content.decode()
    assert "Stale." in page and "&lt;b&gt;Somebody&lt;/b&gt; was withdrawn." in page


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


# the pages ------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_evaluations_are_for_admins(
    evaluated, trained, as_admin, as_annotator, as_other_annotator, as_outsider, as_nobody
):
    root = f"/reward-models/evaluations/{evaluated.pk}/"
    api = ["/api/v1/reward-evaluations/"]
    api += [f"{api[0]}{evaluated.pk}/", f"{api[0]}{evaluated.pk}/items/"]
    pages = ["/reward-models/evaluations/", root, f"{root}pairs/", f"{root}items.jsonl"]
    pages += [f"/reward-models/{trained.pk}/evaluate/"]
    for address in (*api, *pages):
        assert as_admin.get(address).status_code == 200, address
        for visitor in (as_annotator, as_other_annotator, as_outsider):
            assert visitor.get(address).status_code == 403, address
        assert as_nobody.get(address).status_code == (401 if address in api else 302)
    address = f"/api/v1/reward-models/{trained.pk}/evaluate/"
    for visitor, status in ((as_annotator, 403), (as_outsider, 403), (as_nobody, 401)):
        assert visitor.post(address, {}, content_type="application/json").status_code == status
    assert as_annotator.post(pages[-1], {}).status_code == 403
    assert RewardEvaluation.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_page_says_what_was_found_with_intervals_and_what_is_not_known(evaluated, trained, as_admin):
    page = as_admin.get(evaluated.get_evaluation_url()).content.decode()
    accuracy = evaluated.result["accuracy"]["helpfulness"]
    assert f"It orders {100 * accuracy['value']:.1f} % [" in page and "of 18 pairs from 6 prompts" in page
    assert "How far people agree is not known: each pair has one judgement" in page
    assert "no prompt is in it, nor nearly" in page
    assert page.count("<figure") == 6 and "on the dashed line is best" in page
    assert "Not all of it is new" not in page
    for place in ("/reward-models/evaluations/", trained.get_absolute_url(), f"/reward-models/{trained.pk}/evaluate/"):
        assert evaluated.get_evaluation_url() in as_admin.get(place).content.decode(), place
    assert evaluated.get_evaluation_url() in as_admin.get(evaluated.get_absolute_url()).content.decode()


@pytest.mark.django_db(transaction=True)
def test_a_page_with_people_who_differ_a_second_model_and_known_prompts(
    trained, admin, make_version, tmp_path, as_admin
):
    rows = easy_rows(train=0, test=4)
    for number, each in enumerate(rows):
        each["rankings"] += [{"ranks": [1, 2, 3] if number == 3 else [3, 2, 1], "annotator": "a2"}]
        each["tags"] = ["<b>odd</b>" if number % 2 else "even"]
    known = {**row("9", "Question ??? 3", ["yes", "no", "well"], [[1, 2, 3]]), "split": "test"}
    version = make_version(write_dataset(tmp_path / "judged", [*rows, known]))
    other = other_model(trained, admin, "Twin", ["helpfulness", "harmlessness"])
    other.artifact = trained.artifact
    run = executed(reward_evaluation_start(reward_model=trained, dataset_version=version, second=other, user=admin))
    page = as_admin.get(run.get_evaluation_url()).content.decode()
    assert "Not all of it is new to the model" in page and "on prompts it was not trained on" in page
    assert "two people agree on 75.0 %" in page, "three of four comparisons, all pairs of each"
    assert "Beside Twin" in page and "never, on a pair that people decided" in page
    assert "&lt;b&gt;odd&lt;/b&gt;" in page and "<b>odd</b>" not in page
    assert "Not tested" in page and "harmlessness" in page
    pairs = as_admin.get(f"{run.get_evaluation_url()}pairs/", {"tag": "<b>odd</b>", "order": "file"}).content.decode()
    assert "6 of 15 pairs" in pairs and "<b>odd</b>" not in pairs


@pytest.mark.django_db(transaction=True)
def test_what_the_model_gets_wrong_comes_first_and_texts_stay_texts(trained, admin, as_admin):
    rows = [
        {"prompt": f"Why {n}? <script>alert(1)</script>", "chosen": "yes " * n, "rejected": "no"} for n in range(20)
    ]
    rows += [{**each, "chosen": each["rejected"], "rejected": each["chosen"] + "!"} for each in rows]
    text = "".join(json.dumps(each) + "\n" for each in rows)
    config = {"dimension": "helpfulness"}
    run = executed(
        reward_evaluation_start(
            reward_model=trained, data=text.encode(), filename="<i>odd</i>.jsonl", config=config, user=admin
        )
    )
    address = f"{run.get_evaluation_url()}pairs/"
    api = f"/api/v1/reward-evaluations/{run.pk}/items/"
    wrong = as_admin.get(api, {"outcome": "wrong", "order": "sure"}).json()
    right = as_admin.get(api, {"outcome": "right"}).json()
    assert wrong["count"] and right["count"] and wrong["count"] + right["count"] == 40
    page = as_admin.get(address).content.decode()
    assert "What the model gets wrong" in page and f"{wrong['count']} of 40 pairs" in page
    assert page.count("<article") == 2 * min(wrong["count"], 20)
    assert page.index(wrong["items"][0]["prompt"][-1]["content"].split("?")[0]) > 0
    assert "<script>alert(1)" not in page and "&lt;script&gt;alert(1)" in page
    every = as_admin.get(address, {"order": "file"}).content.decode()
    assert "Page 1 of 2" in every and "?order=file&amp;page=2" in every
    assert "Page 2 of 2" in as_admin.get(address, {"order": "file", "page": 2}).content.decode()
    assert "No such pair" in as_admin.get(address, {"outcome": "tie"}).content.decode()
    assert "40 of 40 pairs" in as_admin.get(address, {"outcome": "surprise", "page": "x"}).content.decode()
    assert "&lt;i&gt;odd&lt;/i&gt;.jsonl" in as_admin.get(run.get_evaluation_url()).content.decode()
    whole = b"".join(as_admin.get(f"{run.get_evaluation_url()}items.jsonl").streaming_content)
    assert len(whole.splitlines()) == 40


def test_the_form_starts_an_evaluation_and_goes_to_its_run(trained, admin, as_admin):
    address = f"/reward-models/{trained.pk}/evaluate/"
    assert address in as_admin.get(trained.get_absolute_url()).content.decode()
    assert "held out when it was trained" in as_admin.get(address).content.decode()
    answer = as_admin.post(address, {"split": "test"})
    run = RewardEvaluation.objects.get()
    assert answer["Location"] == run.get_absolute_url()
    assert (run.created_by, run.dataset_version, run.filename) == (admin, trained.run.dataset_version, "")
    as_admin.post(address, {"split": "test", "file": upload(), "dimension": "helpfulness"})
    of_file = RewardEvaluation.objects.latest("pk")
    assert (of_file.dataset_version, of_file.filename) == (None, "pairs.jsonl")
    assert gzip.decompress(bytes(of_file.content)) == PAIRS.encode()
    entry = AuditEntry.objects.filter(action="run.started").latest("pk")
    assert (entry.actor, entry.scope) == (admin, f"project:{trained.run.dataset_version.project_id}")
    assert "Not measured: queued" in as_admin.get(run.get_evaluation_url()).content.decode()
    assert "Not measured: queued" in as_admin.get(f"{run.get_evaluation_url()}pairs/").content.decode()
    assert as_admin.get(f"{run.get_evaluation_url()}items.jsonl").status_code == 404


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"file": upload("{}\n")}, "Nothing is in it"),
        ({"file": upload('{"prompt": "Why?"}\n')}, "holds no preferences"),
        ({"dimension": "truth"}, "Select a valid choice"),
        ({"second": "99"}, "Select a valid choice"),
    ],
)
def test_a_form_with_a_mistake_comes_back(trained, as_admin, data, words):
    answer = as_admin.post(f"/reward-models/{trained.pk}/evaluate/", {"split": "test", **data})
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert not RewardEvaluation.objects.exists()


def test_a_file_and_a_dataset_are_not_both_taken(trained, version, as_admin):
    given = {"split": "test", "file": upload(), "dataset_version": version.pk}
    answer = as_admin.post(f"/reward-models/{trained.pk}/evaluate/", given)
    assert answer.status_code == 422 and "not both" in answer.content.decode()


def test_an_empty_list_says_what_to_do_next(as_admin):
    assert "Train one first" in as_admin.get("/reward-models/evaluations/").content.decode()


def test_a_model_without_evaluations_says_so(trained, as_admin):
    assert "None yet" in as_admin.get(trained.get_absolute_url()).content.decode()
    assert "Open a reward model and choose Evaluate" in as_admin.get("/reward-models/evaluations/").content.decode()


def test_the_number_of_queries_of_the_lists_does_not_grow(trained, admin, as_admin, django_assert_num_queries):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    addresses = ("/api/v1/reward-evaluations/", "/reward-models/evaluations/", trained.get_absolute_url())
    reward_evaluation_start(reward_model=trained, user=admin)
    before = []
    for address in addresses:
        with CaptureQueriesContext(connection) as sent:
            as_admin.get(address)
        before.append(len(sent))
        assert not any('"content"' in query["sql"] for query in sent), "what was sent is not fetched to list it"
    for _ in range(4):
        reward_evaluation_start(reward_model=trained, user=admin)
    for address, count in zip(addresses, before, strict=True):
        with django_assert_num_queries(count):
            as_admin.get(address)


def test_a_dimension_of_ties_only_is_shown_as_that():
    from django.template.loader import render_to_string

    from rewardmodel.evaluation.page import page_of
    from rewardmodel.training.evaluation import Measured, ScoredComparison, measured
    from rewardmodel.training.test_sets import TestSet
    from tests.rewardmodel.test_measures import compared

    test = TestSet("Ties", [compared("a", ["x", "y"], [[1, 1]])])
    model = Measured(("good",), [ScoredComparison([[1.0], [0.0]], [2, 2], False, [False, False])])
    [one] = page_of({**measured(test, model), "second": None})["dimensions"]
    page = render_to_string("rewardmodel/evaluation/_dimension.html", {"one": one})
    assert "People tied every pair" in page and "1 pair people tied" in page and page.count("<figure") == 1


@pytest.mark.parametrize(
    ("scale", "words"),
    [
        (None, "on as few pairs."),
        (-0.2, "point the wrong way"),
        (0.5, "surer than it is right"),
        (1.0, "The size of its scores fits"),
        (2.0, "less sure than it could be"),
    ],
)
def test_calibration_is_said_in_words(scale, words):
    from rewardmodel.evaluation.page import calibration_words

    found = {"scale": scale, "ece": {"value": 0.1, "low": 0.05, "high": 0.2}, "ece_by_chance": 0.02}
    said = calibration_words(found)
    assert words in said and "Off by 10.0 % [5.0 %, 20.0 %]" in said
