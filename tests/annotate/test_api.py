"""Everything an admin does on pages, over REST; nobody else does any of it."""

from __future__ import annotations

import json

import pytest

from annotate.importing.services import prompts_import
from annotate.models import Invitation, Membership, Project, Prompt
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


def test_everything_of_the_set_up_page_is_said_over_rest_too(as_admin):
    asked = {
        "name": "Truth",
        "task": "rating",
        "rating_points": 7,
        "attributes": [{"key": "wit", "label": "Wit", "points": 3, "low": "dull"}],
        "flags": [
            {"key": "refuses", "about": "response"},
            {"key": "dated", "label": "Out of date", "about": "response"},
        ],
        "ask_rationale": "required",
        "gold_rate": 0.1,
        "must_qualify": True,
        "daily_limit": 50,
    }
    made = post(as_admin, "projects", asked)
    assert made.status_code == 201, made.content
    body = made.json()
    assert {name: body[name] for name in asked if name not in ("attributes", "flags")} == {
        name: value for name, value in asked.items() if name not in ("attributes", "flags")
    }
    assert body["attributes"] == [{"key": "wit", "label": "Wit", "low": "dull", "high": "", "points": 3}]
    assert body["flags"] == [
        {"key": "refuses", "label": "", "about": "response"},
        {"key": "dated", "label": "Out of date", "about": "response"},
    ]
    changed = patch(as_admin, f"projects/{body['id']}", {"task": "pairwise", "attributes": []}).json()
    assert (changed["task"], changed["k"], changed["attributes"]) == ("pairwise", 2, [])
    for wrong, field in [
        ({"gold_rate": 0.9}, "gold_rate"),
        ({"flags": [{"key": "odd", "about": "response"}]}, "flags"),
        ({"flags": [{"key": "odd", "about": "weather", "label": "x"}]}, "flags"),
        ({"attributes": [{"key": "helpfulness"}]}, "attributes"),
        ({"attributes": [{"key": "wit", "points": 99}]}, "attributes"),
        ({"task": "guess"}, "task"),
    ]:
        refused = patch(as_admin, f"projects/{body['id']}", wrong)
        assert refused.status_code == 400 and field in refused.json(), (wrong, refused.content)
    assert as_admin.get(f"/api/v1/projects/{body['id']}/").json() == changed


def test_comparisons_are_changed_together(as_admin, as_annotator, project, make_comparison):
    for number in range(3):
        make_comparison(project, f"Q{number}", ["a", "b"], round=1 + number % 2)
    asked = {"project": project.pk, "round": 1, "action": "priority", "value": 5}
    assert post(as_annotator, "comparisons/change", asked).status_code == 403
    done = post(as_admin, "comparisons/change", asked)
    assert done.json() == {"count": 2, "closed": 0, "opened": 0, "complete": True}
    [low] = as_admin.get("/api/v1/comparisons/?round=2").json()["results"]
    assert low["priority"] == 0 and low["purpose"] == "work"
    assert post(as_admin, "comparisons/change", {**asked, "ids": [low["id"]]}).json()["count"] == 1
    assert "value" in post(as_admin, "comparisons/change", {**asked, "value": 9999}).json()
    assert "value" in post(as_admin, "comparisons/change", {"project": project.pk, "action": "overlap"}).json()


def test_a_persons_place_is_changed(as_admin, as_annotator, project, annotator):
    pk = project.memberships.get(user=annotator).pk
    asked = {"role": "reviewer", "total_limit": 9, "qualification": "passed"}
    assert patch(as_annotator, f"memberships/{pk}", asked).status_code == 403
    changed = patch(as_admin, f"memberships/{pk}", asked).json()
    assert {name: changed[name] for name in asked} == asked and changed["is_active"]
    assert patch(as_admin, f"memberships/{pk}", {"qualification": "open"}).json()["qualification"] == "open"
    assert patch(as_admin, f"memberships/{pk}", {"role": "king"}).status_code == 400


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
