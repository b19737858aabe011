from __future__ import annotations

import pytest
from knox.models import AuthToken
from rest_framework.test import APIClient

from annotate.projects.services import project_update
from annotate.ranking.models import Assignment, Judgement
from tests.annotate.ranking.desk import make_comparison, make_project


@pytest.fixture
def project(annotator):
    return make_project(annotator)


def client_of(user) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {AuthToken.objects.create(user)[1]}")
    return client


def take(client: APIClient, project) -> dict:
    return client.post("/api/v1/assignments/next/", {"project": project.slug}, format="json").json()


def test_a_script_can_annotate_with_its_token(project, annotator):
    make_comparison(project)
    client = client_of(annotator)
    assignment = take(client, project)
    assert assignment["prompt"] == [{"role": "user", "content": "What is a plumb line?"}]
    assert [d["key"] for d in assignment["dimensions"]] == ["helpfulness", "harmlessness"]
    assert set(assignment["responses"][0]) == {"letter", "text"}  # no generator, no id
    assert "secret-model-7b" not in str(assignment) and "comparison" not in assignment
    row = {"A": 1, "B": 2}
    url = f"/api/v1/assignments/{assignment['id']}"
    draft = client.post(f"{url}/draft/", {"rankings": {"helpfulness": row}}, format="json")
    assert draft.json()["draft"]["rankings"] == {"helpfulness": row}
    answer = {"rankings": {"helpfulness": row, "harmlessness": row}}
    submitted = client.post(f"{url}/submit/", answer, format="json")
    assert submitted.status_code == 201 and submitted.json()["counts"] is True
    assert submitted.json()["rankings"] == answer["rankings"]
    assert client.post(f"{url}/submit/", answer, format="json").json()["id"] == submitted.json()["id"]
    assert client.post("/api/v1/assignments/next/", {"project": project.slug}, format="json").status_code == 204
    first, second = (str(pk) for pk in Judgement.objects.get().display_order[:2])
    assert Judgement.objects.get().rankings["helpfulness"] == {first: 1, second: 2}


def test_an_incomplete_answer_gets_field_errors(project, annotator):
    make_comparison(project)
    client = client_of(annotator)
    assignment = take(client, project)
    response = client.post(f"/api/v1/assignments/{assignment['id']}/submit/", {"rankings": {}}, format="json")
    assert response.status_code == 400
    assert response.json()["rankings"][0].startswith("Helpfulness: place at least two")
    response = client.post(f"/api/v1/assignments/{assignment['id']}/skip/", {"reason": "bored"}, format="json")
    assert response.status_code == 400 and "reason" in response.json()


def test_skip_and_undo(project, annotator):
    make_comparison(project)
    client = client_of(annotator)
    assignment = take(client, project)
    url = f"/api/v1/assignments/{assignment['id']}"
    assert client.post(f"{url}/undo/").status_code == 400
    row = {"A": 1, "B": 1}
    client.post(f"{url}/submit/", {"rankings": {"helpfulness": row, "harmlessness": row}}, format="json")
    assert client.post(f"{url}/undo/").json()["draft"]["rankings"]["helpfulness"] == row
    assert client.post(f"{url}/skip/", {"reason": "expertise"}, format="json").json()["state"] == "skipped"
    assert not Judgement.objects.filter(is_current=True).exists()


def test_others_assignments_and_judgements_do_not_exist(project, annotator, other_annotator, outsider, admin):
    make_comparison(project)
    mine = take(client_of(annotator), project)
    row = {"A": 1, "B": 2}
    answer = {"rankings": {"helpfulness": row, "harmlessness": row}}
    for person in (other_annotator, outsider, admin):
        client = client_of(person)
        assert client.get(f"/api/v1/assignments/{mine['id']}/").status_code == 404
        for action in ("draft", "submit", "skip", "undo"):
            assert client.post(f"/api/v1/assignments/{mine['id']}/{action}/", answer, format="json").status_code == 404
        assert client.post("/api/v1/assignments/next/", {"project": project.slug}, format="json").status_code == 404
    client_of(annotator).post(f"/api/v1/assignments/{mine['id']}/submit/", answer, format="json")
    judgement = Judgement.objects.get()
    assert client_of(other_annotator).get("/api/v1/judgements/").json()["count"] == 0
    assert client_of(other_annotator).get(f"/api/v1/judgements/{judgement.pk}/").status_code == 404
    assert client_of(annotator).get("/api/v1/judgements/").json()["count"] == 1
    assert client_of(admin).get("/api/v1/judgements/", {"project": project.slug}).json()["count"] == 1
    assert Assignment.objects.count() == 1


def test_a_stranger_gets_nothing(project):
    client = APIClient()
    assert client.post("/api/v1/assignments/next/", {"project": project.slug}, format="json").status_code == 401
    assert client.get("/api/v1/judgements/").status_code == 401


def test_annotators_read_letters_and_admins_ids(project, annotator, admin):
    comparison = make_comparison(project)
    client = client_of(annotator)
    assignment = take(client, project)
    row = {"A": 1, "B": 2}
    answer = {"rankings": {"helpfulness": row, "harmlessness": row}, "flags": [{"flag": "refuses", "response": "B"}]}
    client.post(f"/api/v1/assignments/{assignment['id']}/submit/", answer, format="json")
    (mine,) = client.get("/api/v1/judgements/").json()["results"]
    assert mine["rankings"]["helpfulness"] == row and mine["flags"] == answer["flags"]
    assert not {"comparison", "display_order"} & set(mine)
    assert client.get(f"/api/v1/judgements/{mine['id']}/").json() == mine
    narrowed = client.get("/api/v1/judgements/", {"comparison": comparison.pk + 1}).json()
    assert narrowed["count"] == 1, "whether it is of a comparison is not to be asked"
    (known,) = client_of(admin).get("/api/v1/judgements/", {"comparison": comparison.pk}).json()["results"]
    first, second = (str(pk) for pk in known["display_order"][:2])
    assert known["comparison"] == comparison.pk and known["rankings"]["helpfulness"] == {first: 1, second: 2}


def test_ids_are_not_answers(project, annotator):
    make_comparison(project)
    client = client_of(annotator)
    url = f"/api/v1/assignments/{take(client, project)['id']}"
    first, second = Assignment.objects.get().display_order[:2]
    row = {str(first): 1, str(second): 2}
    for action in ("draft", "submit"):
        refused = client.post(f"{url}/{action}/", {"rankings": {"helpfulness": row}}, format="json")
        assert refused.status_code == 400
        assert refused.json() == {"rankings": [f"Response {first} is not in this comparison."]}


def test_nonsense_is_refused_before_it_is_weighed(project, annotator):
    make_comparison(project)
    client = client_of(annotator)
    url = f"/api/v1/assignments/{take(client, project)['id']}/submit/"
    many = {f"d{number}": {"A": 1} for number in range(8000)}
    refused = client.post(url, {"rankings": many}, format="json")
    assert refused.status_code == 400 and len(refused.json()["rankings"]) == 20
    assert client.post(url, {"rationale": "x" * 300_000}, format="json").status_code == 413


def test_an_answer_says_what_it_replaces_and_what_it_was_made_under(project, annotator, admin):
    project_update(project=project, user=admin, guidelines="One.")
    project_update(project=project, user=admin, guidelines="Two.")
    make_comparison(project)
    client = client_of(annotator)
    url = f"/api/v1/assignments/{take(client, project)['id']}/submit/"

    def send(row: dict, **said) -> dict:
        answer = {"rankings": {"helpfulness": row, "harmlessness": row}, **said}
        return client.post(url, answer, format="json").json()

    first = send({"A": 1, "B": 2}, guidelines=1, revises=None)
    late = send({"A": 2, "B": 1}, revises=None)
    assert (first["is_current"], late["is_current"]) == (True, False)
    assert send({"A": 1, "B": 1}, revises=first["id"])["supersedes"] == first["id"]
    assert send({"A": 1, "B": 2, "C": 3})["is_current"], "who says nothing of it replaces what is there"
    assert Judgement.objects.get(pk=first["id"]).guidelines.number == 1
