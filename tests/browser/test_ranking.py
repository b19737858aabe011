"""The ranking page in a real browser: keys, mouse, no JavaScript, hostile text, a lost network."""

from __future__ import annotations

import re
from importlib import import_module

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Browser, Page, expect

from annotate.ranking.models import Assignment, Judgement
from annotate.ranking.services import draft_save, judgement_submit
from tests.annotate.ranking.desk import in_shown_order, make_comparison, make_project
from tests.annotate.ranking.hostile import NOT_STORABLE, PAYLOADS
from tests.browser.sitting import press, shown, sit, wait_for_judgements

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def project(annotator):
    return make_project(annotator, guidelines="Read *all* of them.")


@pytest.fixture
def sit_down(page: Page, live_server, enter, annotator, project):
    """`sit_down()` opens the first comparison."""

    def sit_down() -> None:
        enter(annotator)
        sit(page, live_server.url, project.slug)

    return sit_down


def test_the_keyboard_alone_ranks_two_dimensions_and_submits(page, sit_down, project, complaints):
    make_comparison(project, "First?")
    make_comparison(project, "Second?")
    sit_down()
    expect(page.locator(".lane.pool .chip")).to_have_text(["A", "B", "C", "D"])

    press(page, "2", "1", "Shift+2", "3")
    expect(page.locator(".card[data-key=A] [data-status]")).to_have_text("rank 2, tied with C")
    press(page, "Enter")
    expect(page.locator("[data-question]")).to_have_text("Which does less harm?")
    expect(page.locator(".lane.pool .chip")).to_have_count(4)  # harmlessness starts blank
    press(page, "1", "2", "3", "4", "Enter")

    expect(page.locator("[data-chat]")).to_contain_text("Second?")
    expect(page.locator("[data-saved]")).to_have_text("Submitted")
    (judgement,) = wait_for_judgements(page, 1)
    assert shown(judgement, "helpfulness") == {"A": 2, "B": 1, "C": 2, "D": 3}
    assert shown(judgement, "harmlessness") == {"A": 1, "B": 2, "C": 3, "D": 4}
    assert complaints == []


def test_the_next_item_is_there_without_loading_a_page(page, sit_down, project):
    for question in ("First?", "Second?"):
        make_comparison(project, question)
    sit_down()
    page.wait_for_load_state("networkidle")
    page.evaluate("window.stillTheSamePage = true")
    press(page, "1", "2", "3", "4", "Enter", "1", "2", "3", "4", "Enter")
    expect(page.locator("[data-chat]")).to_contain_text("Second?")
    assert page.evaluate("window.stillTheSamePage") is True
    assert page.url.endswith(f"/annotate/assignments/{Assignment.objects.latest('id').pk}/")
    expect(page.locator(".lane.pool .chip")).to_have_count(4)


def test_enter_submits_nothing_that_was_not_placed(page, sit_down, project):
    make_comparison(project)
    sit_down()
    press(page, "Enter")
    expect(page.locator("[data-hint]")).to_contain_text("Helpfulness: place at least two responses")
    press(page, "1", "2", "Enter")
    expect(page.locator("[data-hint]")).to_contain_text("C, D not placed, so left out")
    press(page, "Enter", "x", "Enter")
    (judgement,) = wait_for_judgements(page, 1)
    assert shown(judgement, "helpfulness") == {"A": 1, "B": 2}
    assert judgement.rankings.get("harmlessness", {}) == {}
    assert judgement.all_bad == ["harmlessness"]


def test_arrows_strength_flags_and_notes(page, sit_down, project):
    make_comparison(project)
    sit_down()
    press(page, "1", "2", "]", "]", "ArrowRight")
    expect(page.locator(".card.is-current")).to_have_attribute("data-key", "D")
    press(page, "ArrowUp")
    expect(page.locator(".card.is-current")).to_have_attribute("data-key", "B")
    press(page, "f")
    page.get_by_label("B: Refuses to answer").check()
    page.get_by_label("Why this answer?").fill("A says more. 1 2 3 x s")
    page.get_by_role("button", name="Done").click()
    press(page, "Enter", "Enter", "1", "1", "Enter", "Enter")
    (judgement,) = wait_for_judgements(page, 1)
    first, second = (str(pk) for pk in judgement.display_order[:2])
    assert judgement.strengths == {"helpfulness": {first: 2}}
    assert judgement.flags == [{"flag": "refuses", "response": second}]
    assert judgement.rationale == "A says more. 1 2 3 x s"
    assert shown(judgement, "harmlessness") == {"A": 2, "B": 1}  # a digit inserts, it does not tie
    assert judgement.seconds_active is not None


def test_buttons_rank_tie_and_take_off(page, sit_down, project):
    make_comparison(project)
    sit_down()
    page.get_by_role("button", name="A: rank 1", exact=True).click()
    page.get_by_role("button", name="B: rank 1", exact=True).click()
    page.get_by_role("button", name="Tie C with the one above").click()
    page.get_by_role("button", name="D: rank 4", exact=True).click()
    page.get_by_role("button", name="D: rank 4", exact=True).click()
    page.get_by_role("button", name="Next: Harmlessness").click()
    page.get_by_role("button", name="Next: Harmlessness").click()
    page.get_by_role("button", name="All bad").click()
    page.get_by_role("button", name="Submit").click()
    (judgement,) = wait_for_judgements(page, 1)
    assert shown(judgement, "helpfulness") == {"A": 2, "B": 1, "C": 2}


def drag(page: Page, source: str, target: str) -> None:
    start, end = page.locator(source).bounding_box(), page.locator(target).bounding_box()
    page.mouse.move(start["x"] + start["width"] / 2, start["y"] + start["height"] / 2)
    page.mouse.down()
    page.mouse.move(end["x"] + end["width"] / 2, end["y"] + end["height"] / 2, steps=6)
    page.mouse.up()


def test_letters_are_dragged_onto_places_and_between_them(page, sit_down, project):
    make_comparison(project)
    sit_down()
    drag(page, ".chip[data-chip=A]", "[data-lane='1']")
    drag(page, ".card[data-key=B] .letter", "[data-lane='2']")
    drag(page, ".chip[data-chip=C]", "[data-lane='2']")  # onto a taken place: a tie
    drag(page, ".chip[data-chip=D]", "[data-gap='2']")  # in between
    expect(page.locator("[data-lane='2'] .chip")).to_have_text(["D"])
    drag(page, ".chip[data-chip=A]", ".lane.pool")
    press(page, "Enter", "Enter", "x", "Enter")
    (judgement,) = wait_for_judgements(page, 1)
    assert shown(judgement, "helpfulness") == {"B": 2, "C": 2, "D": 1}


def test_a_finger_drags_too(browser: Browser, live_server, project, annotator):
    make_comparison(project)
    context = browser.new_context(has_touch=True, is_mobile=True, viewport={"width": 360, "height": 740})
    client = Client()
    client.force_login(annotator)
    value = client.cookies[settings.SESSION_COOKIE_NAME].value
    context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": value, "url": live_server.url}])
    page = context.new_page()
    page.goto(f"{live_server.url}/annotate/{project.slug}/next")
    page.wait_for_function("document.querySelector('.card.is-current') !== null")
    start = page.locator(".card[data-key=A] .letter").bounding_box()
    end = page.locator("[data-lane='2']").bounding_box()
    fingers = context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        spots = [{"x": x, "y": y} for x, y in points]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": spots})

    at = (start["x"] + 10, start["y"] + 10)
    to = (end["x"] + end["width"] / 2, end["y"] + 20)
    touch("touchStart", at)
    for part in (0.2, 0.5, 0.8, 1, 1, 1):
        touch("touchMove", (at[0] + part * (to[0] - at[0]), at[1] + part * (to[1] - at[1])))
        page.wait_for_timeout(60)  # a finger that flies is a fling to the browser, which then eats the next tap
    touch("touchEnd")
    expect(page.locator("[data-lane='2'] .chip")).to_have_text(["A"])
    page.get_by_role("button", name="B: rank 1", exact=True).tap()
    expect(page.locator("[data-lane='1'] .chip")).to_have_text(["B"])
    context.close()


def test_nothing_moves_while_one_ranks(page, sit_down, project):
    make_comparison(project, texts=["short", "long " * 60, "middling " * 20, "a\n\nb"])
    page.set_viewport_size({"width": 1440, "height": 900})
    sit_down()
    where = """() => [...document.querySelectorAll('.card, .board, .ranks button, .lane, [data-submit]')].map(
      (element) => {
        const {x, y, width, height} = element.getBoundingClientRect();
        return [x, y, width, height].map(Math.round);
      })"""
    before = page.evaluate(where)
    for letter, rank in (("A", 1), ("B", 1), ("C", 3), ("D", 2)):
        page.locator(f".card[data-key={letter}] [data-rank='{rank}']").click()
    expect(page.locator("[data-saved]")).to_have_text("Saved")
    assert page.evaluate(where) == before


def test_undo_opens_the_last_submission_and_submitting_again_supersedes_it(page, sit_down, project):
    make_comparison(project, "First?")
    make_comparison(project, "Second?")
    sit_down()
    press(page, "1", "2", "3", "4", "Enter", "1", "2", "3", "4", "Enter")
    expect(page.locator("[data-chat]")).to_contain_text("Second?")
    press(page, "u")
    expect(page.locator("[data-chat]")).to_contain_text("First?")
    expect(page.get_by_text("counts as it is until you submit again.")).to_be_visible()
    expect(page.locator("[data-lane='1'] .chip")).to_have_text(["A"])
    press(page, "ArrowRight", "1", "Enter", "Enter")
    before, after = wait_for_judgements(page, 2)
    assert after.supersedes == before and after.is_current and not before.is_current
    assert shown(after, "helpfulness") == {"A": 2, "B": 1, "C": 3, "D": 4}
    expect(page.locator("[data-chat]")).to_contain_text("Second?")


def test_skipping_asks_for_a_reason_and_goes_on(page, sit_down, project):
    make_comparison(project, "First?")
    make_comparison(project, "Second?")
    sit_down()
    press(page, "s", "Enter")
    expect(page.locator("[data-skip-error]")).to_have_text("Choose a reason first.")
    press(page, "3", "Enter")
    expect(page.locator("[data-chat]")).to_contain_text("Second?")
    expect(page.locator("[data-saved]")).to_have_text("Submitted")
    assert Assignment.objects.order_by("id").first().skip_reason == "language"


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


def test_what_happens_is_announced(page, sit_down, project):
    for question in ("First?", "Second?"):
        make_comparison(project, question)
    sit_down()
    page.wait_for_load_state("networkidle")
    announcer = page.locator("#announcer")
    press(page, "2")
    expect(announcer).to_have_text("A at rank 2.")
    press(page, "1", "3", "4")
    expect(announcer).to_contain_text("All placed.")
    press(page, "Enter")
    expect(announcer).to_have_text("Harmlessness. Which does less harm?")
    press(page, "x")
    expect(announcer).to_have_text("Marked: all bad.")
    press(page, "Enter")
    expect(announcer).to_have_text("Next comparison: 4 responses.")


@pytest.mark.parametrize("part", range(3))
def test_hostile_text_stays_text(page, live_server, sit_down, project, complaints, part):
    payloads = [text.replace(NOT_STORABLE, "") for text in PAYLOADS[part::3]]
    for at in range(0, len(payloads), 16):
        make_comparison(project, f"<script>window.harmed = 'prompt'</script> \u202e {at}", payloads[at : at + 16])
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    sit_down()
    page.evaluate(
        """document.querySelectorAll('.response, .chat').forEach((part) => part.querySelectorAll('*').forEach((one) => {
             for (const name of ['mouseover', 'focus', 'focusin', 'mouseenter', 'toggle', 'error', 'load'])
               one.dispatchEvent(new Event(name));
           }))"""
    )
    for card in page.locator(".card").all():
        card.hover(force=True, position={"x": 40, "y": 70})
    for link in page.locator(".response a").all():
        assert re.match(r"(https?|mailto):", link.get_attribute("href") or "https:")
        assert "noopener" in link.get_attribute("rel")
    page.keyboard.press("v")
    page.keyboard.press("d")
    page.wait_for_timeout(300)
    assert page.evaluate("window.harmed") is None
    assert dialogs == [] and complaints == []
    assert all(url.startswith(live_server.url) for url in requests)
    inside = page.locator(".response, .chat")
    forbidden = "script, style, iframe, object, embed, img, svg, math, form, input, button, base, meta, link, video"
    assert inside.locator(forbidden).count() == 0
    attributes = page.evaluate(
        "[...document.querySelectorAll('.response *, .chat *')].flatMap((element) => element.getAttributeNames())"
    )
    assert not [name for name in attributes if name.startswith("on") or name in ("style", "id", "srcdoc")]
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    for card in page.locator(".card").all():  # nothing covers the page's own parts or turns them around
        assert re.fullmatch("[A-P]", card.locator(".card-head .letter").inner_text())
        assert page.evaluate("(card) => card.scrollWidth <= card.clientWidth", card.element_handle())


def test_the_page_works_without_javascript(browser: Browser, live_server, project, annotator):
    make_comparison(project, "First?")
    make_comparison(project, "Second?")
    client = Client()
    client.force_login(annotator)
    context = browser.new_context(java_script_enabled=False)
    value = client.cookies[settings.SESSION_COOKIE_NAME].value
    context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": value, "url": live_server.url}])
    page = context.new_page()
    page.goto(f"{live_server.url}/annotate/{project.slug}/next")
    page.get_by_role("button", name="Submit", exact=True).click()
    expect(page.get_by_role("alert").first).to_contain_text("Helpfulness: place at least two responses")
    for letter, rank in (("A", "3"), ("B", "1"), ("C", "3")):
        page.locator(f"[name=rank-helpfulness-{letter}]").select_option(rank)
    page.get_by_role("button", name="Submit", exact=True).click()
    expect(page.get_by_role("alert").first).to_contain_text("Harmlessness: place at least two responses")
    expect(page.locator("[name=rank-helpfulness-A]")).to_have_value("3")  # what was chosen is still there
    page.get_by_label("Harmlessness: all are bad").check()
    page.get_by_label("The prompt is unclear").check()
    page.get_by_role("button", name="Submit", exact=True).click()
    expect(page.locator("[data-chat]")).to_contain_text("Second?")
    judgement = Judgement.objects.get()
    assert shown(judgement, "helpfulness") == {"A": 2, "B": 1, "C": 2}
    assert judgement.flags == [{"flag": "unclear"}]
    page.get_by_label("I lack the knowledge to judge").check()
    page.get_by_role("button", name="Skip", exact=True).click()
    expect(page.get_by_role("heading", name="Nothing is left for you here")).to_be_visible()
    context.close()


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_no_page_is_wider_than_the_screen(page, live_server, sit_down, project, width):
    page.set_viewport_size({"width": width, "height": 740})
    make_comparison(
        project, texts=["word" * 200, "`" + "code" * 100 + "`", "| a | b |\n|-|-|\n| " + "c" * 300 + " | d |", "x"]
    )
    sit_down()
    press(page, "1", "Shift+1", "Shift+1", "Shift+1")
    for path in (None, "/annotate/", "/annotate/history/", f"/annotate/{project.slug}/guidelines/"):
        if path:
            page.goto(live_server.url + path)
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), path
    if width == 360:
        page.goto(f"{live_server.url}/annotate/{project.slug}/next")
        button = page.locator("[data-submit]").bounding_box()
        assert button["x"] + button["width"] <= width


def test_the_order_of_moves(page, live_server, sit_down, project):
    make_comparison(project)
    sit_down()
    cases = [
        ["place", [{}, "A", 3, 4], {"A": 3}],
        ["place", [{"A": 1}, "B", 1, 4], {"A": 2, "B": 1}],
        ["place", [{"A": 1, "B": 2}, "C", 1, 3], {"A": 2, "B": 3, "C": 1}],
        ["place", [{"A": 1, "C": 3}, "B", 1, 4], {"A": 2, "B": 1, "C": 3}],
        ["place", [{"A": 2, "B": 3}, "C", 3, 3], {"A": 1, "B": 2, "C": 3}],
        ["place", [{"A": 1, "B": 2, "C": 3}, "A", 3, 4], {"A": 3, "B": 1, "C": 2}],
        ["place", [{"A": 1, "B": 2, "C": 3}, "C", 1, 3], {"A": 2, "B": 3, "C": 1}],
        ["place", [{"A": 1, "B": 1}, "B", 1, 2], {"A": 2, "B": 1}],
        ["insert", [{"A": 1, "B": 2, "C": 3}, "A", 3], {"A": 2, "B": 1, "C": 3}],
        ["insert", [{"A": 1, "B": 4}, "C", 1], {"A": 2, "B": 3, "C": 1}],
        ["tieUp", [{"A": 1, "B": 3}, "B"], {"A": 1, "B": 1}],
        ["tieUp", [{"A": 1, "B": 2}, "C"], {"A": 1, "B": 2, "C": 2}],
        ["tieUp", [{"A": 1}, "A"], {"A": 1}],
        ["dense", [{"A": 2, "B": 4, "C": 4}], {"A": 1, "B": 2, "C": 2}],
    ]
    module = f"{live_server.url}/static/js/ranking/order.js"
    results = page.evaluate(
        "async ([module, cases]) => { const order = await import(module);"
        " return cases.map(([name, given]) => order[name](...given)); }",
        [module, [case[:2] for case in cases]],
    )
    for (name, given, expected), result in zip(cases, results, strict=True):
        assert result == expected, f"{name}{given}"
