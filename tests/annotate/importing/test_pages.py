"""The pages of an import, from the upload to the report, and who may see them."""

from __future__ import annotations

import gzip
import json
import re
import threading
import time

import pytest
import requests
from django.conf import settings as django_settings
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.urls import reverse
from django.utils import timezone
from knox.models import AuthToken

from annotate.importing.models import Import, ImportRun
from annotate.importing.services import KEPT_FOR, import_perform, import_sweep, import_upload
from annotate.models import Comparison, Judgement, Prompt, Response
from annotate.projects.services import project_create
from config.env import BASE_DIR
from runs.executor import run_execute
from runs.services import run_cancel, run_retry
from tests.annotate.conftest import jsonl
from tests.annotate.curl import Curl
from tests.annotate.importing.files import PAIR, START

HOSTILE = "<script>alert(1)</script>{{ 7|add:7 }}"


def upload(client, project, data: bytes | str, name: str = "p.jsonl", **fields):
    """The preview page of a file, or of pasted text."""
    given = {"text": data} if isinstance(data, str) else {"file": SimpleUploadedFile(name, data)}
    return client.post(reverse("annotate:prompt-import", args=[project.slug]), {**given, **fields}, follow=True)


def act(client, page, verb: str, **fields):
    return client.post(page.request["PATH_INFO"] + verb, fields, follow=True)


def stored() -> list[str]:
    try:
        return storages["uploads"].listdir("imports")[1]
    except FileNotFoundError:
        return []


def test_a_file_is_previewed_and_then_imported(as_admin, project):
    preview = upload(as_admin, project, jsonl({"prompt": HOSTILE, "tags": ["x"]}))
    said = preview.content.decode()
    assert "JSON Lines, read as Prompts." in said and "because it has a prompt and no answers" in said
    assert "confidence of 70" in said and "It holds 1 record." in said
    assert "<script>alert" not in said and "{{ 7|add:7 }}" in said
    assert not Prompt.objects.exists() and len(stored()) == 1
    done = act(as_admin, preview, "confirm")
    assert "<strong>Imported.</strong> 1 record" in done.content.decode()
    assert Prompt.objects.count() == 1 and stored() == []
    assert act(as_admin, preview, "confirm").status_code == 200
    assert (Prompt.objects.count(), ImportRun.objects.count()) == (1, 0)


def test_the_preview_counts_what_is_new_and_what_is_there(as_admin, project):
    act(as_admin, upload(as_admin, project, jsonl(PAIR)), "confirm")
    other = {"chosen": START + " Gladly.", "rejected": START + " No."}
    seen = upload(as_admin, project, jsonl(PAIR, other)).context["seen"]
    assert (seen["new"]["prompts"], seen["known"]["prompts"]) == (0, 1)
    assert (seen["new"]["responses"], seen["known"]["responses"]) == (1, 2)
    assert (seen["new"]["comparisons"], seen["known"]["comparisons"]) == (1, 1)
    assert (seen["new"]["judgements"], seen["known"]["judgements"]) == (1, 1)
    assert Comparison.objects.count() == 1


def test_errors_of_a_pasted_file_are_listed_with_their_lines(as_admin, project):
    page = upload(as_admin, project, '{"prompt": "x"}\n{"question": 1}\n')
    said = page.content.decode()
    assert "1 row is wrong" in said and "neither prompt nor messages" in said
    assert "disabled" in said.split("data-whole")[0].rsplit("<button", 1)[1]
    refused = act(as_admin, page, "confirm")
    assert "Nothing was imported." in refused.content.decode() and not Prompt.objects.exists()
    complaints = as_admin.get(reverse("annotate:import-complaints", args=[project.slug, Import.objects.get().pk]))
    assert b"line,2,error" in b"".join(complaints.streaming_content)
    good = act(as_admin, refused, "confirm", format="prompts", shown="prompts", rows="good")
    assert "1 row was wrong and is not in it" in good.content.decode() and Prompt.objects.count() == 1


def test_another_format_and_other_columns_may_be_chosen(as_admin, project):
    page = upload(as_admin, project, jsonl({"ask": "Why?", "good": "a", "bad": {"text": "b"}}))
    assert "of no known format" in page.content.decode()
    shown = act(as_admin, page, "settings", format="trl-preference", shown="")
    assert [column["name"] for column in shown.context["columns"]] == ["prompt", "chosen", "rejected", "margin"]
    assert "bad.text" in shown.context["seen"]["columns"]
    columns = {"column": ["prompt", "chosen", "rejected", "margin"], "column_to": ["ask", "good", "bad.text", ""]}
    ready = act(as_admin, page, "settings", format="trl-preference", shown="trl-preference", **columns)
    seen = ready.context["seen"]
    assert seen["samples"][0]["responses"][1]["text"] == "b" and seen["error_count"] == 0
    wrong = act(as_admin, page, "settings", format="trl-preference", shown="trl-preference",
                column=["prompt"], column_to=["nowhere"])  # fmt: skip
    assert wrong.status_code == 422 and "has no column “nowhere”" in wrong.content.decode()
    act(as_admin, page, "confirm")
    assert Response.objects.filter(text__in=["a", "b"]).count() == 2


def test_a_dimension_is_mapped_by_hand(as_admin, project):
    project.dimensions.filter(key="harmlessness").delete()
    page = upload(as_admin, project, jsonl(PAIR))
    assert "It ranks by “harmlessness”, which this project does not ask for" in page.content.decode()
    chosen = {"format": "hh", "shown": "hh", "dimension_name": "harmlessness", "dimension_to": "helpfulness"}
    act(as_admin, page, "confirm", **chosen)
    assert set(Judgement.objects.get().rankings) == {"helpfulness"}


def test_htmx_gets_the_preview_alone(as_admin, project):
    page = upload(as_admin, project, jsonl({"prompt": "x"}))
    path = page.request["PATH_INFO"] + "settings"
    part = as_admin.post(path, {"format": "prompts", "shown": "prompts"}, headers={"HX-Request": "true"})
    assert part.content.lstrip().startswith(b'<div id="import-seen">') and b"<html" not in part.content


def test_a_button_that_cannot_be_pressed_says_why(as_admin, project):
    page = upload(as_admin, project, jsonl({"prompt": "a"}) + b"{\n")
    said = page.content.decode()
    assert 'disabled aria-describedby="import-blocked"' in said and "choose above that they stay out" in said
    page = act(as_admin, page, "settings", format="prompts", shown="prompts", rows="good")
    assert "import-blocked" not in page.content.decode()
    page = upload(as_admin, project, jsonl({"wings": 2}))
    assert "Choose another format or other columns" in page.content.decode()


def test_neither_or_both_of_file_and_text_is_a_form_error(as_admin, project):
    path = reverse("annotate:prompt-import", args=[project.slug])
    both = {"text": "x", "file": SimpleUploadedFile("p.jsonl", b"{}")}
    for data in ({}, both, {"file": SimpleUploadedFile("p.jsonl", b"")}, {"text": "%PDF-1.7"}):
        assert as_admin.post(path, data).status_code == 422
    assert not Import.objects.exists() and stored() == []


def test_a_discarded_file_is_gone(as_admin, project):
    page = upload(as_admin, project, '{"prompt": "x"}')
    act(as_admin, page, "discard")
    assert not Import.objects.exists() and stored() == []


def test_files_that_nobody_confirms_are_forgotten(as_admin, project, admin):
    upload(as_admin, project, '{"prompt": "x"}')
    kept = upload(as_admin, project, '{"prompt": "y"}')
    old = Import.objects.order_by("pk").first()
    Import.objects.filter(pk=old.pk).update(created_at=timezone.now() - KEPT_FOR * 2)
    assert import_sweep() == 1
    assert [one.pk for one in Import.objects.all()] == [kept.context["upload"].pk] and len(stored()) == 1


def test_an_import_belongs_to_its_project(as_admin, admin, project):
    other = project_create(name="Other", user=admin)
    one = Import.objects.create(project=project, size=1)
    for name in ("preview", "complaints", "live"):
        assert as_admin.get(reverse(f"annotate:import-{name}", args=[other.slug, one.pk])).status_code == 404


def test_only_admins_see_and_do_it(as_admin, as_annotator, as_other_annotator, as_outsider, as_nobody, project, admin):
    preview = upload(as_admin, project, '{"prompt": "x"}')
    path = preview.request["PATH_INFO"]
    gets = [reverse("annotate:prompt-import", args=[project.slug]), path, path + "live", path + "complaints.csv"]
    for client, status in ((as_annotator, 403), (as_other_annotator, 403), (as_outsider, 403), (as_nobody, 302)):
        for address in gets:
            assert client.get(address).status_code == status
        for verb in ("settings", "confirm", "discard"):
            assert client.post(path + verb, {"format": "prompts"}).status_code == status
    assert not Prompt.objects.exists() and Import.objects.get().state == "preview"


def test_a_large_file_is_imported_by_a_run(as_admin, project, children_share_uploads):
    page = upload(as_admin, project, jsonl(*({"prompt": f"{n}"} for n in range(1500))))
    assert "These are its first 1,000 records" in page.content.decode()
    started = act(as_admin, page, "confirm")
    run = ImportRun.objects.get()
    assert "Being imported" in started.content.decode() and run.state == "queued"
    assert act(as_admin, page, "confirm").status_code == 200 and ImportRun.objects.count() == 1
    live = as_admin.get(page.request["PATH_INFO"] + "live")
    assert "HX-Refresh" not in live
    run_execute(run_id=run.pk, worker="test")
    run.refresh_from_db()
    assert (run.state, run.result["records"], run.result["new_prompts"]) == ("succeeded", 1500, 1500), run.error
    assert as_admin.get(page.request["PATH_INFO"] + "live")["HX-Refresh"] == "true"
    done = as_admin.get(page.request["PATH_INFO"])
    assert "1,500 records" in done.content.decode() and stored() == []
    assert as_admin.get(run.get_absolute_url()).status_code == 200
    assert Prompt.objects.count() == 1500


def test_a_run_that_meets_a_wrong_row_fails_with_its_line_and_can_be_had_another_way(
    as_admin, project, children_share_uploads
):
    page = upload(as_admin, project, jsonl(*({"prompt": f"{n}"} for n in range(1200))) + b"{\n")
    act(as_admin, page, "confirm")
    run = ImportRun.objects.get()
    run_execute(run_id=run.pk, worker="test")
    run.refresh_from_db()
    assert (run.state, run.fault) == ("failed", "user") and run.error.startswith("Line 1201: Not valid JSON")
    refused = as_admin.get(page.request["PATH_INFO"])
    assert "Nothing was imported." in refused.content.decode() and not Prompt.objects.exists()
    act(as_admin, page, "confirm", format="prompts", shown="prompts", rows="good")
    run = ImportRun.objects.order_by("-pk").first()
    run_execute(run_id=run.pk, worker="test")
    assert Prompt.objects.count() == 1200 and Import.objects.get().state == "done"


def test_a_cancelled_run_leaves_nothing_and_a_retry_ends_as_it_would_have(as_admin, project, admin,
                                                                         children_share_uploads):  # fmt: skip
    page = upload(as_admin, project, jsonl(*({"prompt": f"{n}"} for n in range(1200))))
    act(as_admin, page, "confirm")
    run = ImportRun.objects.get()
    run_cancel(run=run, user=admin)
    assert "The import was cancelled." in as_admin.get(page.request["PATH_INFO"]).content.decode()
    run_retry(run=run, user=admin)
    run_execute(run_id=run.pk, worker="test")
    assert Prompt.objects.count() == 1200
    run_execute(run_id=run.pk, worker="test")
    assert Prompt.objects.count() == 1200


def test_a_child_that_dies_after_its_commit_ends_well_when_it_is_tried_again(
    as_admin, project, admin, children_share_uploads
):
    page = upload(as_admin, project, jsonl(*({"prompt": f"{n}"} for n in range(1200))))
    act(as_admin, page, "confirm")
    run = ImportRun.objects.get()
    import_perform(upload=run.source, user=admin)  # as a first attempt did whose worker was lost
    run_execute(run_id=run.pk, worker="test")
    run.refresh_from_db()
    assert (run.state, run.result["new_prompts"]) == ("succeeded", 1200) and Prompt.objects.count() == 1200


# REST -----------------------------------------------------------------------------------------------------------------


def test_a_file_goes_the_whole_way_over_rest(as_admin, project, children_share_uploads):
    file = SimpleUploadedFile("pairs.jsonl", jsonl({"ask": "Why?", "chosen": "你好", "rejected": "b"}))
    sent = {"project": project.pk, "file": file, "settings": json.dumps({"format": "trl-preference"})}
    made = as_admin.post("/api/v1/imports/", sent)
    assert made.status_code == 201, made.content
    one = f"/api/v1/imports/{made.json()['id']}/"
    seen = as_admin.get(one + "preview/").json()
    assert seen["columns"] == ["ask", "chosen", "rejected"] and seen["skipped_count"] == 1
    change = {"settings": {"mapping": {"prompt": "ask"}, "good_rows": True}}
    changed = as_admin.patch(one, change, content_type="application/json")
    assert changed.status_code == 200 and changed.json()["settings"]["format"] == "trl-preference"
    seen = as_admin.get(one + "preview/").json()
    assert (seen["records"], seen["new"]["judgements"], seen["complaint"]) == (1, 1, "")
    started = as_admin.post(one + "confirm/")
    assert started.status_code == 202 and started.json()["state"] == "started"
    assert as_admin.post(one + "confirm/").json()["run"] == started.json()["run"]
    run_execute(run_id=started.json()["run"], worker="test")
    done = as_admin.get(one).json()
    assert (done["state"], done["report"]["new"]["comparisons"], done["has_complaints"]) == ("done", 1, False)
    assert as_admin.get(one + "complaints/").status_code == 404
    assert as_admin.delete(one).status_code == 400
    assert as_admin.get(f"/api/v1/imports/?project={project.pk}").json()["count"] == 1
    assert Response.objects.get(text="你好").prompt.question == "Why?"


def test_what_is_wrong_is_said_over_rest(as_admin, project):
    def send(data: bytes, settings: object = "{}"):
        file = SimpleUploadedFile("f", data)
        return as_admin.post("/api/v1/imports/", {"project": project.pk, "file": file, "settings": settings})

    assert "PDF" in send(b"%PDF-1.7").json()["file"][0]
    assert send(b"{}", "{").status_code == send(b"{}", "[]").status_code == 400
    assert "not a known format" in str(send(b"{}", '{"format": "x"}').json())
    assert send(b"{}", '{"wings": 2}').status_code == 400
    made = send(jsonl({"prompt": "a"})).json()["id"]
    bad = as_admin.patch(f"/api/v1/imports/{made}/", {"settings": {"mapping": {"prompt": "b"}}},
                         content_type="application/json")  # fmt: skip
    assert bad.status_code == 400 and "has no column “b”" in str(bad.json())
    assert as_admin.delete(f"/api/v1/imports/{made}/").status_code == 204
    assert not Import.objects.exists()


def test_only_admins_import_over_rest(as_annotator, as_outsider, as_nobody, project, admin):
    one = import_upload(project=project, file=ContentFile(b'{"prompt": "x"}\n'), filename="f", user=admin).pk
    for client in (as_annotator, as_outsider, as_nobody):
        for path in ("", f"{one}/", f"{one}/preview/", f"{one}/complaints/"):
            assert client.get(f"/api/v1/imports/{path}").status_code in (401, 403)
        assert client.post("/api/v1/imports/", {}).status_code in (401, 403)
        assert client.post(f"/api/v1/imports/{one}/confirm/").status_code in (401, 403)
        assert client.delete(f"/api/v1/imports/{one}/").status_code in (401, 403)
        assert client.patch(f"/api/v1/imports/{one}/", {}, content_type="application/json").status_code in (401, 403)


@pytest.mark.parametrize("given", ["0", "x", "99999999999999999999"])
def test_an_id_that_is_none_finds_nothing(as_admin, given):
    assert as_admin.get(f"/api/v1/imports/?project={given}").json()["count"] == 0


@pytest.mark.django_db(transaction=True)
def test_the_documented_python_example_works_as_it_stands(
    project, admin, live_server, children_share_uploads, tmp_path, monkeypatch, capsys
):
    page = (BASE_DIR / "docs/datasets.md").read_text("utf-8")
    example = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0].replace('"project": 1', f'"project": {project.pk}')
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pairs.jsonl").write_bytes(jsonl(PAIR))
    worker = threading.Thread(target=work_on_the_first_run, daemon=True)
    worker.start()
    names = {"api": f"{live_server.url}/api/v1", "token": AuthToken.objects.create(admin)[1]}
    exec(compile(example, "docs/datasets.md", "exec"), names)  # noqa: S102
    worker.join(timeout=30)
    said = capsys.readouterr().out.splitlines()
    assert "'prompts': 1" in said[0] and said[-1].startswith("done ") and "'comparisons': 1" in said[-1]


@pytest.mark.django_db(transaction=True)
def test_the_documented_curl_examples_work_as_they_stand(project, admin, live_server, children_share_uploads, tmp_path):
    (tmp_path / "pairs.jsonl.gz").write_bytes(gzip.compress(jsonl(PAIR) + b"{\n"))
    curl = Curl((BASE_DIR / "docs/datasets.md").read_text("utf-8"), live_server.url, admin, tmp_path)
    _, send, *more = curl.lines()
    made = curl.run(send.replace("project=1", f"project={project.pk}"))
    preview, choose, confirm, complaints = (line.replace("imports/7/", f"imports/{made['id']}/") for line in more)
    seen = curl.run(preview)
    assert (seen["format"], seen["records"], seen["error_count"]) == ("hh", 1, 1)
    assert curl.run(choose)["settings"]["good_rows"] is True
    run_execute(run_id=curl.run(confirm)["run"], worker="test")
    assert Judgement.objects.count() == 1
    assert "Not valid JSON" in curl.run(complaints, is_json=False)


@pytest.mark.django_db(transaction=True)
def test_a_file_of_many_megabytes_is_sent_over_rest_and_by_the_page(as_admin, project, admin, live_server, tmp_path):
    """More than what Django keeps of a request in memory (DATA_UPLOAD_MAX_MEMORY_SIZE); it goes to disk."""
    file = tmp_path / "large.jsonl"
    with file.open("wb") as target:
        for number in range(3_000):
            target.write(b'{"prompt": "%d %s"}\n' % (number, b"x" * 8_000))
    assert file.stat().st_size > django_settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    headers = {"Authorization": f"Token {AuthToken.objects.create(admin)[1]}"}
    with file.open("rb") as content:
        sent = requests.post(
            f"{live_server.url}/api/v1/imports/", {"project": project.pk}, files={"file": content}, headers=headers,
            timeout=60,
        )  # fmt: skip
    assert sent.status_code == 201, sent.text
    assert (sent.json()["size"], sent.json()["format"]) == (file.stat().st_size, "prompts")
    with file.open("rb") as content:
        page = as_admin.post(reverse("annotate:prompt-import", args=[project.slug]), {"file": content}, follow=True)
    assert page.status_code == 200 and "These are its first" in page.content.decode()


def work_on_the_first_run() -> None:
    """What a worker does."""
    try:
        while not ImportRun.objects.exists():
            time.sleep(0.05)
        run_execute(run_id=ImportRun.objects.get().pk, worker="test")
    finally:
        connection.close()
