"""Scores through the API, the pages and the command: for admins, by a worker's child, and never half."""

import gzip
import io
import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command

from accounts.models import AuditEntry
from rewardmodel.models import ScoreRun
from rewardmodel.scoring.services import score_conversations_start, score_file_start
from rewardmodel.training.scoring import load_scorer
from runs.executor import run_execute

ASKED = [
    {"messages": [{"role": "user", "content": "Why?"}], "responses": ["yes yes", "no zzz no", ""]},
    {"messages": [{"role": "user", "content": "How, 你好?"}], "responses": ["<script>alert(1)</script>"]},
]
FILE = "".join(json.dumps({"prompt": f"Question {n}", "responses": ["a", "bb " * n]}) + "\n" for n in range(1, 6))


def upload(text: str = FILE, name: str = "rows.jsonl") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, text.encode())


@pytest.fixture
def scored(trained, admin):
    """A scoring that has succeeded."""
    run = score_conversations_start(reward_model=trained, conversations=ASKED, user=admin)
    run_execute(run_id=run.pk, worker="test")
    run.refresh_from_db()
    assert run.state == "succeeded", f"{run.error} {run.error_detail}"
    return run


@pytest.mark.django_db(transaction=True)
def test_a_batch_is_sent_scored_by_a_worker_and_read(trained, trained_directory, as_admin):
    answer = as_admin.post(
        f"/api/v1/reward-models/{trained.pk}/score/", {"conversations": ASKED}, content_type="application/json"
    )
    assert answer.status_code == 202, answer.json()
    url = answer["Location"]
    assert url == answer.json()["url"]
    waiting = as_admin.get(url).json()
    assert (waiting["state"], waiting["lines"], waiting["file_url"]) == ("queued", [], None)
    run_execute(run_id=answer.json()["id"], worker="test")
    found = as_admin.get(url).json()
    assert found["state"] == "succeeded", found
    assert found["result"]["responses"] == 4
    expected = load_scorer(trained_directory).scores([(each["messages"], each["responses"]) for each in ASKED])
    for line, given, rows in zip(found["lines"], ASKED, expected, strict=True):
        assert line["prompt"] == given["messages"]
        assert [each["text"] for each in line["responses"]] == given["responses"]
        for each, row in zip(line["responses"], rows, strict=True):
            assert list(each["scores"].values()) == pytest.approx(row, abs=1e-5)
    assert [line["line"] for line in as_admin.get(url, {"offset": 1, "limit": 5}).json()["lines"]] == [2]
    assert as_admin.get(url, {"limit": 5000}).status_code == 400
    whole = b"".join(as_admin.get(found["file_url"]).streaming_content)
    assert [json.loads(line) for line in whole.splitlines()] == found["lines"]
    run = ScoreRun.objects.get()
    assert bytes(run.content) == b""
    assert run.artifacts.get().manifest["lineage"]["reward_model"]["sha256"] == trained.artifact.sha256


@pytest.mark.django_db(transaction=True)
def test_a_file_is_sent_and_its_best_responses_read(trained, as_admin):
    address = f"/api/v1/reward-models/{trained.pk}/score/"
    answer = as_admin.post(address, {"file": upload(), "best_only": True, "dimension": "helpfulness", "title": "Best"})
    assert answer.status_code == 202, answer.json()
    run_execute(run_id=answer.json()["id"], worker="test")
    found = as_admin.get(answer["Location"]).json()
    assert (found["title"], found["filename"], found["result"]["responses"]) == ("Best", "rows.jsonl", 5)
    assert [line["messages"][-1]["role"] for line in found["lines"]] == ["assistant"] * 5


@pytest.mark.django_db(transaction=True)
def test_a_file_that_turns_out_bad_fails_with_its_line_and_leaves_nothing(trained, admin):
    data = gzip.compress(FILE.encode() * 10 + b"not json\n")
    run = score_file_start(reward_model=trained, data=data, filename="rows.jsonl.gz", user=admin)
    run_execute(run_id=run.pk, worker="test")
    run.refresh_from_db()
    assert (run.state, run.fault) == ("failed", "user")
    assert "Line 51: Not valid JSON" in run.error
    assert not run.artifacts.exists()
    assert run.content  # a retry finds it


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({}, "conversations", "required"),
        ({"conversations": []}, "conversations", "may not be empty"),
        ({"conversations": [{"messages": [], "responses": ["a"]}]}, "conversations", "no messages"),
        ({"conversations": [{**ASKED[0], "responses": ["a"] * 65}]}, "conversations", "at most 64"),
        ({"conversations": [ASKED[0]] * 1001}, "conversations", "at most 1000"),
        ({"conversations": ASKED, "dimension": "truth"}, "dimension", "has no score truth"),
        ({"conversations": ASKED, "best_only": True}, "dimension", "Say by which"),
    ],
)
def test_a_bad_request_is_answered_by_field_and_starts_nothing(trained, as_admin, body, field, words):
    answer = as_admin.post(f"/api/v1/reward-models/{trained.pk}/score/", body, content_type="application/json")
    assert answer.status_code == 400
    assert words in json.dumps(answer.json()[field])
    assert not ScoreRun.objects.exists()


@pytest.mark.parametrize(
    ("file", "options", "field", "words"),
    [
        (upload(""), {}, "file", "empty"),
        (upload('{"surprise": 1}\n'), {}, "file", "no known format"),
        (upload("\x00\x01\x02"), {}, "file", ""),
        (upload(), {"format": "surprise"}, "format", "not a known format"),
    ],
)
def test_a_bad_file_is_refused_at_once(trained, as_admin, file, options, field, words):
    answer = as_admin.post(f"/api/v1/reward-models/{trained.pk}/score/", {"file": file, **options})
    assert answer.status_code == 400
    assert words in json.dumps(answer.json()[field])
    assert not ScoreRun.objects.exists()


def test_a_request_without_end_is_not_read(trained, as_admin):
    address = f"/api/v1/reward-models/{trained.pk}/score/"
    answer = as_admin.post(address, {}, content_type="application/json", CONTENT_LENGTH=str(2**40))
    assert answer.status_code == 413


@pytest.mark.django_db(transaction=True)
def test_scores_are_for_admins(scored, trained, as_admin, as_annotator, as_other_annotator, as_outsider, as_nobody):
    api = ["/api/v1/score-runs/", f"/api/v1/score-runs/{scored.pk}/"]
    pages = [f"/reward-models/{trained.pk}/score/", f"/scores/{scored.pk}/", f"/scores/{scored.pk}/scores.jsonl"]
    for address in (*api, *pages):
        assert as_admin.get(address).status_code == 200, address
        for visitor in (as_annotator, as_other_annotator, as_outsider):
            assert visitor.get(address).status_code == 403, address
        assert as_nobody.get(address).status_code == (401 if address in api else 302)
    address = f"/api/v1/reward-models/{trained.pk}/score/"
    for visitor, status in ((as_annotator, 403), (as_outsider, 403), (as_nobody, 401)):
        assert visitor.post(address, {"conversations": ASKED}, content_type="application/json").status_code == status
    assert as_annotator.post(pages[0], {"file": upload(), "dimension": "helpfulness"}).status_code == 403
    assert ScoreRun.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_page_shows_responses_as_text_the_best_first(scored, as_admin):
    page = as_admin.get(scored.get_score_url()).content.decode()
    assert "&lt;script&gt;alert(1)" in page and "<script>alert(1)" not in page
    assert "The first 2 prompts" in page and "(empty)" in page
    run = as_admin.get(scored.get_absolute_url()).content.decode()
    assert scored.get_score_url() in run
    whole = b"".join(as_admin.get(f"{scored.get_score_url()}scores.jsonl").streaming_content)
    assert len(whole.splitlines()) == 2


def test_the_form_starts_a_scoring_and_goes_to_its_run(trained, admin, as_admin):
    address = f"/reward-models/{trained.pk}/score/"
    assert address in as_admin.get(trained.get_absolute_url()).content.decode()
    answer = as_admin.post(address, {"file": upload(), "dimension": "helpfulness", "format": ""})
    run = ScoreRun.objects.get()
    assert answer["Location"] == run.get_absolute_url()
    assert (run.created_by, run.config["dimension"], run.config["best_only"]) == (admin, "helpfulness", False)
    assert gzip.decompress(bytes(run.content)) == FILE.encode()
    entry = AuditEntry.objects.filter(action="run.started").latest("pk")
    assert (entry.actor, entry.scope) == (admin, f"project:{trained.run.dataset_version.project_id}")
    assert "rows.jsonl" in as_admin.get(address).content.decode()
    assert "Not scored: queued" in as_admin.get(run.get_score_url()).content.decode()
    assert as_admin.get(f"{run.get_score_url()}scores.jsonl").status_code == 404


@pytest.mark.parametrize(
    ("data", "words"),
    [({}, "This field is required"), ({"file": upload("{}\n")}, "Nothing is in it"), ({"file": upload("")}, "empty")],
)
def test_a_form_with_a_mistake_comes_back(trained, as_admin, data, words):
    answer = as_admin.post(f"/reward-models/{trained.pk}/score/", {"dimension": "helpfulness", **data})
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert not ScoreRun.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_the_number_of_queries_of_the_lists_does_not_grow(scored, trained, admin, as_admin, django_assert_num_queries):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    addresses = ("/api/v1/score-runs/", f"/reward-models/{trained.pk}/score/")
    before = []
    for address in addresses:
        with CaptureQueriesContext(connection) as sent:
            as_admin.get(address)
        before.append(len(sent))
        assert not any('"content"' in query["sql"] for query in sent), "what was sent is not fetched to list it"
    for _ in range(4):
        score_conversations_start(reward_model=trained, conversations=ASKED, user=admin)
    for address, count in zip(addresses, before, strict=True):
        with django_assert_num_queries(count):
            as_admin.get(address)


# the command --------------------------------------------------------------------------------------------------------


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "given" / "rows.jsonl"
    path.parent.mkdir()
    path.write_text(FILE)
    return path


def test_the_command_scores_a_file(trained, trained_directory, rows):
    out = io.StringIO()
    call_command("score", "Judge", str(rows), "--json", stdout=out)
    said = json.loads(out.getvalue())
    assert (said["prompts"], said["responses"]) == (5, 10)
    lines = [json.loads(line) for line in rows.with_name("rows.jsonl.scores.jsonl").read_text().splitlines()]
    asked = [([{"role": "user", "content": f"Question {n}"}], ["a", "bb " * n]) for n in range(1, 6)]
    for line, scores in zip(lines, load_scorer(trained_directory).scores(asked), strict=True):
        assert [list(each["scores"].values()) for each in line["responses"]] == [
            pytest.approx(row, abs=1e-5) for row in scores
        ]
    assert sorted(path.name for path in rows.parent.iterdir()) == ["rows.jsonl", "rows.jsonl.scores.jsonl"]
    with pytest.raises(CommandError, match="exists already"):
        call_command("score", str(trained.pk), str(rows))


def test_the_command_prints_the_best(trained, rows):
    out = io.StringIO()
    options = ["--out", "-", "--best-only", "--dimension", "helpfulness"]
    call_command("score", str(trained.pk), str(rows), *options, stdout=out)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["messages"][0]["content"] for line in lines] == [f"Question {n}" for n in range(1, 6)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["Nobody", "{rows}"], "There is no reward model 'Nobody'"),
        (["Judge", "/nowhere"], "There is no file /nowhere"),
        (["Judge", "{rows}", "--dimension", "truth"], "has no dimension truth"),
        (["Judge", "{rows}", "--best-only"], "Say by which"),
        (["Judge", "{bad}"], "Line 1: "),
        (["Judge", "{rows}", "--out", "-", "--json"], "Choose one"),
    ],
)
def test_a_command_that_cannot_work_says_why_and_leaves_nothing(trained, rows, arguments, words):
    bad = rows.with_name("bad.jsonl")
    bad.write_text('{"prompt": 1, "responses": ["a"]}\n')
    with pytest.raises(CommandError, match=words):
        call_command("score", *(each.format(rows=rows, bad=bad) for each in arguments))
    assert sorted(path.name for path in rows.parent.iterdir()) == ["bad.jsonl", "rows.jsonl"]
