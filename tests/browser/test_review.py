"""The review page in Chromium: with the keyboard alone, without JavaScript, on a phone."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from playwright.sync_api import expect

from annotate.review.models import Adjudication
from annotate.review.page import letters_for, numbered
from tests.annotate.review.conftest import contested, judged, project, reviewer  # noqa: F401

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def url(live_server, contested) -> str:  # noqa: F811
    return live_server.url + reverse("annotate:review", args=[contested.pk])


def test_a_comparison_is_decided_with_the_keyboard_alone(page, enter, reviewer, contested, url):  # noqa: F811
    enter(reviewer)
    page.goto(url)
    expect(page.locator("[data-status]")).to_have_text("Helpfulness: 3 not placed")
    for key in ("2", "1", "1"):  # helpfulness of A, B and C; then the question moves on
        page.keyboard.press(key)
    expect(page.locator("[data-status]")).to_have_text("Harmlessness: 3 not placed")
    for key in ("1", "2"):
        page.keyboard.press(key)
    page.keyboard.press("Backspace")  # nothing is placed on C yet
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("0")  # B is taken off again
    expect(page.locator("[data-status]")).to_have_text("Harmlessness: 2 not placed")
    page.keyboard.press("3")
    page.keyboard.press("2")
    expect(page.locator("[data-status]")).to_have_text("All placed. Enter decides.")
    page.keyboard.press("Enter")
    page.wait_for_url("**/review/")
    ids = {letter: pk for pk, letter in letters_for(contested, reviewer).items()}
    decision = Adjudication.objects.get()
    assert decision.rankings["helpfulness"] == {ids["A"]: 2, ids["B"]: 1, ids["C"]: 1}
    assert decision.rankings["harmlessness"] == {ids["A"]: 1, ids["B"]: 3, ids["C"]: 2}


def test_digits_and_enter_in_the_reason_are_text(page, enter, reviewer, url):  # noqa: F811
    enter(reviewer)
    page.goto(url)
    page.get_by_label("Why (optional)").fill("")
    page.get_by_label("Why (optional)").press_sequentially("1 of 2\nlines")
    assert page.get_by_label("Why (optional)").input_value() == "1 of 2\nlines"
    expect(page.locator("[data-status]")).to_have_text("Helpfulness: 3 not placed")
    assert not Adjudication.objects.exists()


def test_it_works_without_javascript_on_a_phone(browser, live_server, reviewer, contested, url):  # noqa: F811
    client = Client()
    client.force_login(reviewer)
    context = browser.new_context(java_script_enabled=False, viewport={"width": 360, "height": 740})
    name = settings.SESSION_COOKIE_NAME
    context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": live_server.url}])
    page = context.new_page()
    page.goto(url)
    page.get_by_role("button", name="Decide as annotator 2 did").click()
    assert Adjudication.objects.get().rankings == numbered(contested)[2].rankings
    page.goto(url)
    for card in page.locator(".card").all():
        card.get_by_label("Helpfulness").select_option("1")
    page.get_by_role("button", name="Decide anew").click()
    decision = Adjudication.objects.get(is_current=True)
    assert set(decision.rankings["helpfulness"].values()) == {1}
    assert decision.supersedes is not None
    context.close()
