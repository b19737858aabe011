"""The ranking page in a real browser: keys, mouse, finger, no JavaScript, hostile text."""

from __future__ import annotations

import re

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Browser, Page, expect

from annotate.ranking.models import Assignment, Judgement
from tests.annotate.ranking.desk import make_comparison
from tests.annotate.ranking.hostile import NOT_STORABLE, PAYLOADS
from tests.browser.sitting import press, shown, wait_for_judgements

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


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
