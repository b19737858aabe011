from __future__ import annotations

import pytest
from knox.models import AuthToken
from rest_framework.test import APIClient

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
    assert set(assignment["responses"][0]) == {"id", "text"}  # no generator
    assert "secret-model-7b" not in str(assignment)
    best, worst = (response["id"] for response in assignment["responses"][:2])
    row = {str(best): 1, str(worst): 2}
    url = f"/api/v1/assignments/{assignment['id']}"
    assert client.post(f"{url}/draft/", {"rankings": {"helpfulness": row}}, format="json").status_code == 200
    answer = {"rankings": {"helpfulness": row, "harmlessness": row}}
    submitted = client.post(f"{url}/submit/", answer, format="json")
    assert submitted.status_code == 201 and submitted.json()["counts"] is True
    assert client.post(f"{url}/submit/", answer, format="json").json()["id"] == submitted.json()["id"]
    assert client.post("/api/v1/assignments/next/", {"project": project.slug}, format="json").status_code == 204
    assert Judgement.objects.get().rankings["helpfulness"] == row


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
    ids = [str(response["id"]) for response in assignment["responses"]]
    row = {ids[0]: 1, ids[1]: 1}
    client.post(f"{url}/submit/", {"rankings": {"helpfulness": row, "harmlessness": row}}, format="json")
    assert client.post(f"{url}/undo/").json()["draft"]["rankings"]["helpfulness"] == row
    assert client.post(f"{url}/skip/", {"reason": "expertise"}, format="json").json()["state"] == "skipped"
    assert not Judgement.objects.filter(is_current=True).exists()


def test_others_assignments_and_judgements_do_not_exist(project, annotator, other_annotator, outsider, admin):
    make_comparison(project)
    mine = take(client_of(annotator), project)
    ids = [str(response["id"]) for response in mine["responses"]]
    row = {ids[0]: 1, ids[1]: 2}
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
