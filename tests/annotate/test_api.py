"""Everything an admin does on pages, over REST; nobody else does any of it."""

from __future__ import annotations

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from annotate.models import Invitation, Membership, Project, Prompt
from annotate.projects.services import prompts_import
from tests.annotate.conftest import jsonl

LISTS = (
    "projects",
    "memberships",
    "invitations",
    "prompts",
    "comparisons",
    "generators",
    "generation-runs",
    "responses",
)


def post(client, path: str, data: object):
    return client.post(f"/api/v1/{path}/", json.dumps(data), content_type="application/json")


def patch(client, path: str, data: object):
    return client.patch(f"/api/v1/{path}/", json.dumps(data), content_type="application/json")


@pytest.mark.parametrize("endpoint", LISTS)
def test_lists_are_for_admins(endpoint, project, as_admin, as_annotator, as_other_annotator, as_outsider, as_nobody):
    assert as_admin.get(f"/api/v1/{endpoint}/").status_code == 200
    for client in (as_annotator, as_other_annotator, as_outsider):
        assert client.get(f"/api/v1/{endpoint}/").status_code == 403
        assert post(client, endpoint, {}).status_code in (403, 405)
    assert as_nobody.get(f"/api/v1/{endpoint}/").status_code in (401, 403)


def test_a_project_is_made_read_and_changed(as_admin):
    made = post(as_admin, "projects", {"name": "Truth", "dimensions": [{"key": "truth", "label": "Truth"}]})
    assert made.status_code == 201, made.content
    pk = made.json()["id"]
    assert made.json()["slug"] == "truth"
    changed = patch(as_admin, f"projects/{pk}", {"is_paused": True, "dimensions": [{"key": "truth"}, {"key": "wit"}]})
    assert [d["key"] for d in changed.json()["dimensions"]] == ["truth", "wit"]
    assert Project.objects.get().is_paused
    assert as_admin.get(f"/api/v1/projects/{pk}/progress/").json()["prompts"] == 0


def test_a_project_without_dimensions_gets_the_usual_ones(as_admin):
    made = post(as_admin, "projects", {"name": "Usual"}).json()
    assert [d["key"] for d in made["dimensions"]] == ["helpfulness", "harmlessness"]


def test_wrong_values_are_field_errors(as_admin, project):
    assert "k" in post(as_admin, "projects", {"name": "X", "k": 99}).json()
    assert "name" in post(as_admin, "projects", {"name": project.name}).json()
    assert "dimensions" in post(as_admin, "projects", {"name": "X", "dimensions": []}).json()
    conversation = {"project": project.pk, "messages": [{"role": "assistant", "content": "x"}]}
    assert "messages" in post(as_admin, "prompts", conversation).json()
    nul = {"project": project.pk, "messages": [{"role": "user", "content": "x"}], "metadata": {"a": "\x00"}}
    assert "metadata" in post(as_admin, "prompts", nul).json()
    assert (Project.objects.count(), Prompt.objects.count()) == (1, 0)


def test_prompts_are_created_once_and_found(as_admin, project):
    given = {"project": project.pk, "messages": [{"role": "user", "content": " Why? "}], "tags": ["x"]}
    first, second = post(as_admin, "prompts", given), post(as_admin, "prompts", given)
    assert first.status_code == 201 and first.json() == second.json()
    assert first.json()["messages"][0]["content"] == " Why? "
    assert as_admin.get("/api/v1/prompts/?tag=x").json()["count"] == 1
    assert as_admin.get("/api/v1/prompts/?project=0").json()["count"] == 0
    assert as_admin.get("/api/v1/prompts/?project=x").json()["count"] == 0


def test_files_are_imported_whole_or_not_at_all(as_admin, project):
    def send(data: bytes, **fields: object):
        file = SimpleUploadedFile("f.jsonl", data)
        return as_admin.post("/api/v1/prompts/import/", {"project": project.pk, "file": file, **fields})

    bad = send(jsonl({"prompt": "x"}) + b"{\n")
    assert bad.status_code == 400 and bad.json()["file"][0].startswith("Line 2: ")
    assert not Prompt.objects.exists()
    assert send(jsonl({"prompt": "x"})).json() == {"created": 1, "existing": 0, "repeated": 0}
    start = "\n\nHuman: Hi\n\nAssistant:"
    pair = jsonl({"chosen": start + " Hello.", "rejected": start + " What?"})
    assert send(pair, format="hh").json()["comparisons"] == 1
    [comparison] = as_admin.get("/api/v1/comparisons/?round=0").json()["results"]
    assert comparison["is_closed"] and len(comparison["responses"]) == 2


def test_people_are_added_paused_and_invited(as_admin, project, outsider):
    added = post(as_admin, "memberships", {"project": project.pk, "user": outsider.pk})
    assert added.status_code == 201
    pk = added.json()["id"]
    assert patch(as_admin, f"memberships/{pk}", {"is_active": False}).json()["is_active"] is False
    assert post(as_admin, "memberships", {"project": project.pk, "user": outsider.pk}).json()["is_active"] is True
    assert Membership.objects.filter(user=outsider).count() == 1
    made = post(as_admin, "invitations", {"projects": [project.pk]}).json()
    assert "/invitation/" in made["url"]
    assert "token_hash" not in made["invitation"]
    assert as_admin.delete(f"/api/v1/invitations/{made['invitation']['id']}/").status_code == 204
    assert Invitation.objects.get().revoked_at


def test_lists_ask_as_much_for_many_rows_as_for_few(as_admin, project, make_comparison, django_assert_num_queries):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    def queries() -> list[int]:
        counts = []
        for endpoint in LISTS:
            with CaptureQueriesContext(connection) as captured:
                as_admin.get(f"/api/v1/{endpoint}/")
            counts.append(len(captured))
        return counts

    prompts_import(project=project, data=jsonl({"prompt": "first"}))
    make_comparison(project, "One?", ["a", "b"])
    before = queries()
    for number in range(5):
        make_comparison(project, f"Q{number}", ["a", "b", "c"])
    assert queries() == before
