"""Nothing typed is lost: drafts, a lost network, two tabs, refusals and what is sent twice."""

from __future__ import annotations

from importlib import import_module

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Browser, expect

from annotate.ranking.models import Assignment, Judgement
from annotate.ranking.services import draft_save, judgement_submit
from tests.annotate.ranking.desk import in_shown_order, make_comparison
from tests.browser.sitting import press, shown, sit, wait_for_judgements

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_a_draft_survives_a_closed_browser(page, browser: Browser, live_server, sit_down, project, annotator):
    make_comparison(project)
    sit_down()
    press(page, "2", "1")
    expect(page.locator("[data-saved]")).to_have_text("Saved")
    client = Client()
    client.force_login(annotator)
    cookie = {"name": settings.SESSION_COOKIE_NAME, "value": client.cookies[settings.SESSION_COOKIE_NAME].value}
    elsewhere = browser.new_context()
    elsewhere.add_cookies([{**cookie, "url": live_server.url}])
    other = elsewhere.new_page()
    other.goto(f"{live_server.url}/annotate/{project.slug}/next")
    expect(other.locator("[data-lane='1'] .chip")).to_have_text(["B"])
    expect(other.locator("[data-lane='2'] .chip")).to_have_text(["A"])
    elsewhere.close()


def test_without_network_the_work_waits_in_the_browser_and_says_so(page, context, sit_down, project):
    for question in ("First?", "Second?"):
        make_comparison(project, question)
    sit_down()
    page.wait_for_load_state("networkidle")
    context.set_offline(True)
    press(page, "1", "2")
    expect(page.locator("[data-saved]")).to_have_text("Not saved: offline, kept in this browser")
    press(page, "3", "4", "Enter", "1", "2", "3", "4", "Enter")
    expect(page.locator("[data-chat]")).to_contain_text("Second?")
    expect(page.locator("[data-saved]")).to_have_text("1 not sent yet: offline, kept in this browser")
    assert not Judgement.objects.exists()
    context.set_offline(False)
    (judgement,) = wait_for_judgements(page, 1)
    assert shown(judgement, "helpfulness") == {"A": 1, "B": 2, "C": 3, "D": 4}
    expect(page.locator("[data-saved]")).to_have_text("Submitted")


def test_a_draft_kept_offline_is_there_after_the_page_is_loaded_again(page, context, sit_down, project):
    make_comparison(project)
    sit_down()
    context.set_offline(True)
    press(page, "3", "1")
    expect(page.locator("[data-saved]")).to_have_text("Not saved: offline, kept in this browser")
    page.route("**/draft", lambda route: route.abort())  # the way out of the page must not save it after all
    context.set_offline(False)
    page.reload()
    expect(page.locator("[data-lane='1'] .chip")).to_have_text(["B"])
    page.unroute("**/draft")
    expect(page.locator("[data-saved]")).to_have_text("Saved", timeout=15_000)


def test_signed_out_in_another_tab_is_said_and_nothing_is_lost(page, sit_down, project):
    make_comparison(project)
    sit_down()
    session = next(cookie for cookie in page.context.cookies() if cookie["name"] == settings.SESSION_COOKIE_NAME)
    import_module(settings.SESSION_ENGINE).SessionStore(session["value"]).delete()
    press(page, "1")
    expect(page.locator("[data-saved]")).to_contain_text("Not saved: you are signed out")


def test_two_tabs_share_one_lease_and_count_once(page, context, live_server, sit_down, project):
    make_comparison(project)
    sit_down()
    other = context.new_page()
    sit(other, live_server.url, project.slug)
    assert other.url == page.url
    press(page, "1", "2", "3", "4", "Enter", "x", "Enter")
    expect(page.get_by_role("heading", name="Nothing is left for you here")).to_be_visible()
    press(other, "2", "1", "3", "4", "Enter", "x", "Enter")  # a tab that had not heard of it
    expect(other.locator("[data-refused]")).to_contain_text("A newer answer of yours is there and counts")
    first, second = wait_for_judgements(page, 2)
    assert first.is_current and not second.is_current
    other.get_by_role("link", name="Open it again").click()
    expect(other.locator("[data-lane='1'] .chip")).to_have_text(["A"])
    press(other, "ArrowRight", "1", "Enter", "Enter")
    expect(other.get_by_role("heading", name="Nothing is left for you here")).to_be_visible()
    assert wait_for_judgements(page, 3)[2].supersedes == first
    assert Assignment.objects.count() == 1


def test_what_was_refused_is_kept_and_leads_back(page, sit_down, project):
    for question in ("First?", "Second?"):
        make_comparison(project, question)
    sit_down()
    page.wait_for_load_state("networkidle")
    project.ask_rationale = "required"
    project.save()
    press(page, "1", "2", "3", "4", "Enter", "x", "Enter")
    expect(page.locator("[data-chat]")).to_contain_text("Second?")
    note = page.locator("[data-refused]")
    expect(note).to_contain_text("An answer of yours was not taken: Say why")
    press(page, "1")  # what is done meanwhile takes neither the note away nor the draft
    expect(page.locator("[data-saved]")).to_have_text("Saved")
    assert not Judgement.objects.exists()
    expect(page.locator("[data-saved]")).not_to_contain_text("Say why")
    first = Assignment.objects.earliest("id")
    assert first.draft["all_bad"] == ["harmlessness"] and len(first.draft["rankings"]["helpfulness"]) == 4
    note.get_by_role("link").click()
    expect(page.locator("[data-chat]")).to_contain_text("First?")
    expect(page.locator("[data-lane='1'] .chip")).to_have_text(["A"])
    press(page, "f")
    page.get_by_label("Why this answer?").fill("A is right.")
    page.get_by_role("button", name="Done").click()
    press(page, "Enter", "Enter")
    (judgement,) = wait_for_judgements(page, 1)
    assert judgement.rationale == "A is right." and judgement.all_bad == ["harmlessness"]


def test_what_was_refused_without_a_way_to_the_server_stays_in_the_browser(page, sit_down, project):
    make_comparison(project)
    sit_down()
    project.ask_rationale = "required"
    project.save()
    press(page, "1", "2", "3", "4")
    expect(page.locator("[data-saved]")).to_have_text("Saved")
    Assignment.objects.update(draft={})
    page.route("**/draft", lambda route: route.abort())
    press(page, "Enter", "x", "Enter")
    expect(page.locator("[data-hint]")).to_contain_text("Not saved: Say why")
    page.reload()
    expect(page.locator("[data-lane='1'] .chip")).to_have_text(["A"])


def test_what_is_refused_before_the_next_one_is_there_stays_on_the_desk(page, sit_down, project):
    for question in ("First?", "Second?"):
        make_comparison(project, question)
    waiting: list = []
    page.route("**/ahead", lambda route: waiting.append(route))
    sit_down()
    project.ask_rationale = "required"
    project.save()
    press(page, "1", "2", "3", "4", "Enter", "x", "Enter")
    expect(page.locator("[data-hint]")).to_contain_text("Not saved: Say why")
    waiting[0].continue_()
    page.wait_for_timeout(1000)  # time enough for the next one to come, which must not be shown
    expect(page.locator("[data-chat]")).to_contain_text("First?")
    expect(page.locator("[data-hint]")).to_contain_text("Not saved: Say why")


FULL = """window.full = false;
const setItem = Storage.prototype.setItem;
Storage.prototype.setItem = function (...given) {
  if (window.full) throw new DOMException("full", "QuotaExceededError");
  setItem.apply(this, given);
};"""


def test_a_browser_whose_storage_is_full_sends_all_it_was_told(page, context, sit_down, project):
    for question in ("First?", "Second?"):
        make_comparison(project, question)
    page.add_init_script(FULL)
    sit_down()
    page.wait_for_load_state("networkidle")
    context.set_offline(True)
    press(page, "1", "2", "3", "4", "Enter", "x", "Enter")
    expect(page.locator("[data-chat]")).to_contain_text("Second?")
    page.evaluate("window.full = true")
    press(page, "4", "3", "2", "1", "Enter", "x", "Enter")
    expect(page.locator("[data-saved]")).to_have_text("2 not sent yet: offline, kept in this browser")
    context.set_offline(False)
    assert len(wait_for_judgements(page, 2)) == 2
    expect(page.get_by_role("heading", name="Nothing is left for you here")).to_be_visible()


def test_an_answer_the_server_stumbles_over_does_not_hold_up_the_next(page, sit_down, project):
    for question in ("First?", "Second?"):
        make_comparison(project, question)
    sit_down()
    page.wait_for_load_state("networkidle")
    stumbles = f"**/assignments/{Assignment.objects.earliest('id').pk}/submit"
    page.route(stumbles, lambda route: route.fulfill(status=500, body="no"))
    press(page, "1", "2", "3", "4", "Enter", "x", "Enter")
    expect(page.locator("[data-chat]")).to_contain_text("Second?")
    press(page, "4", "3", "2", "1", "Enter", "x", "Enter")
    (judgement,) = wait_for_judgements(page, 1)
    assert judgement.comparison.prompt.question == "Second?"
    page.unroute(stumbles)  # what is left was kept in the browser, and is sent from whatever page comes next
    assert wait_for_judgements(page, 2)[1].comparison.prompt.question == "First?"


def test_a_draft_of_another_browser_that_is_newer_wins(page, context, sit_down, project):
    make_comparison(project)
    sit_down()
    page.wait_for_load_state("networkidle")
    context.set_offline(True)
    press(page, "3", "1")
    expect(page.locator("[data-saved]")).to_have_text("Not saved: offline, kept in this browser")
    desk = Assignment.objects.get()
    draft_save(assignment=desk, draft={"rankings": {"helpfulness": {str(desk.display_order[2]): 1}}})
    page.route("**/draft", lambda route: route.abort())  # the way out of the page must not save it after all
    context.set_offline(False)
    page.reload()
    expect(page.locator("[data-lane='1'] .chip")).to_have_text(["C"])


def test_an_outbox_that_comes_late_does_not_replace_a_newer_answer(page, context, sit_down, project):
    for question in ("First?", "Second?"):
        make_comparison(project, question)
    sit_down()
    page.wait_for_load_state("networkidle")
    context.set_offline(True)
    press(page, "1", "2", "3", "4", "Enter", "x", "Enter")
    expect(page.locator("[data-chat]")).to_contain_text("Second?")
    newer = judgement_submit(
        assignment=Assignment.objects.select_related("comparison__project", "annotator").earliest("id"),
        rankings=in_shown_order(Assignment.objects.earliest("id"), 4, 3, 2, 1),
    )
    context.set_offline(False)
    expect(page.locator("[data-refused]")).to_contain_text("A newer answer of yours is there and counts")
    assert Judgement.objects.get(is_current=True) == newer and Judgement.objects.count() == 2


def test_a_submission_that_is_sent_twice_is_one(page, sit_down, project):
    make_comparison(project)
    sit_down()
    answers = []
    page.route(
        "**/submit",
        lambda route: (answers.append(route.fetch()), route.abort())[1] if not answers else route.continue_(),
    )
    press(page, "1", "2", "3", "4", "Enter", "x", "Enter", "Enter", "Enter")
    expect(page.get_by_role("heading", name="Nothing is left for you here")).to_be_visible(timeout=15_000)
    assert len(answers) == 1 and answers[0].ok  # the first reply was lost on its way
    assert Judgement.objects.count() == 1


def test_the_back_button_shows_what_was_submitted(page, sit_down, project):
    make_comparison(project, "First?")
    make_comparison(project, "Second?")
    sit_down()
    page.wait_for_load_state("networkidle")
    press(page, "2", "1", "3", "4", "Enter", "x", "Enter")
    expect(page.locator("[data-chat]")).to_contain_text("Second?")
    expect(page.locator("[data-saved]")).to_have_text("Submitted")
    page.go_back()
    expect(page.locator("[data-chat]")).to_contain_text("First?")
    expect(page.get_by_text("counts as it is until you submit again.")).to_be_visible()
    expect(page.locator("[data-lane='1'] .chip")).to_have_text(["B"])
    page.go_forward()
    expect(page.locator("[data-chat]")).to_contain_text("Second?")


def test_an_item_of_another_version_of_the_page_loads_that_version(page, sit_down, project):
    for question in ("First?", "Second?"):
        make_comparison(project, question)

    def newer(route) -> None:
        response = route.fetch()
        route.fulfill(response=response, json=response.json() | {"version": "/static/js/ranking.0123456789ab.js"})

    page.route("**/ahead", newer)
    sit_down()
    page.wait_for_load_state("networkidle")
    page.evaluate("window.stillTheSamePage = true")
    press(page, "1", "2", "3", "4", "Enter", "x", "Enter")
    expect(page.locator("[data-chat]")).to_contain_text("Second?")
    assert page.evaluate("window.stillTheSamePage") is None
    assert len(wait_for_judgements(page, 1)) == 1
