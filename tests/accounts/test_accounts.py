"""Logging in, tokens, and whose account it is."""

import pytest
from django.test import Client
from django.urls import reverse
from knox.models import AuthToken

from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db


def test_a_stranger_is_sent_to_the_login_page(as_nobody):
    response = as_nobody.get("/")
    assert response.status_code == 302
    assert response["Location"].startswith(reverse("accounts:login"))


def test_an_annotator_lands_on_the_annotators_page_and_an_admin_on_the_dashboard(as_annotator, as_admin):
    assert as_annotator.get("/")["Location"] == reverse("annotate:home")
    assert as_admin.get("/").status_code == 200


def test_a_wrong_password_says_so_and_keeps_the_name(annotator, as_nobody):
    response = as_nobody.post(reverse("accounts:login"), {"username": "ben", "password": "wrong"})
    assert response.status_code == 200
    assert b"ben" in response.content
    assert "_auth_user_id" not in as_nobody.session


def test_a_token_is_shown_once_and_only_its_hash_is_kept(as_annotator, annotator):
    page = as_annotator.post(reverse("accounts:token-create"))
    token = page.context["new_token"]
    assert token in page.content.decode()
    kept = AuthToken.objects.get(user=annotator)
    assert token not in (kept.digest, kept.token_key)
    assert token not in as_annotator.get(reverse("accounts:account")).content.decode()
    me = Client().get("/api/v1/users/me/", headers={"Authorization": f"Token {token}"})
    assert me.json()["username"] == "ben"


def test_a_token_can_be_fetched_with_name_and_password(annotator, as_nobody):
    import base64

    basic = base64.b64encode(f"ben:{PASSWORD}".encode()).decode()
    response = as_nobody.post("/api/v1/tokens/", headers={"Authorization": f"Basic {basic}"})
    assert response.status_code == 201
    headers = {"Authorization": f"Token {response.json()['token']}"}
    assert len(as_nobody.get("/api/v1/tokens/", headers=headers).json()["results"]) == 1


def test_nobody_revokes_anothers_token(as_other_annotator, annotator):
    AuthToken.objects.create(annotator)
    token = AuthToken.objects.get(user=annotator)
    as_other_annotator.post(reverse("accounts:token-revoke", args=[token.token_key]))
    as_other_annotator.delete(f"/api/v1/tokens/{token.token_key}/")
    assert AuthToken.objects.filter(pk=token.pk).exists()


@pytest.mark.parametrize("path", ["/api/v1/users/", "/api/v1/tokens/", "/api/v1/users/me/"])
def test_the_api_turns_strangers_away(path, as_nobody):
    assert as_nobody.get(path).status_code in (401, 403)


def test_only_admins_see_the_list_of_users(as_annotator, as_admin):
    assert as_annotator.get("/api/v1/users/").status_code == 403
    assert as_admin.get("/api/v1/users/").status_code == 200


def test_pages_forbid_inline_scripts(as_admin):
    policy = as_admin.get("/")["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "unsafe-inline" not in policy


def test_a_language_is_remembered_for_the_person_and_for_the_browser(as_annotator, annotator, as_nobody):
    response = as_annotator.post(reverse("accounts:language"), {"language": "zh-hans", "next": "/account/"})
    assert response["Location"] == "/account/"
    annotator.refresh_from_db()
    assert annotator.language == "zh-hans"
    elsewhere = Client()
    elsewhere.force_login(annotator)
    assert elsewhere.get("/account/", headers={"Accept-Language": "en"})["Content-Language"] == "zh-hans"
    as_nobody.post(reverse("accounts:language"), {"language": "zh-hans"})
    assert 'lang="zh-hans"' in as_nobody.get(reverse("accounts:login")).content.decode()


def test_a_language_that_does_not_exist_and_a_way_back_that_leads_elsewhere_are_ignored(as_annotator, annotator):
    for elsewhere in ("https://example.org/", "//example.org/", "annotate", ""):
        answer = as_annotator.post(reverse("accounts:language"), {"language": "xx", "next": elsewhere})
        assert answer["Location"] == "/"
    annotator.refresh_from_db()
    assert annotator.language == ""
