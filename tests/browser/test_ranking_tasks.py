"""Pairs, best of K and rating in a real browser: keys, mouse, finger, no JavaScript."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from annotate.projects.models import Attribute
from annotate.ranking.models import Assignment, Judgement
from tests.annotate.ranking.desk import make_comparison, make_project
from tests.browser.sitting import SETTLED, in_letters, new_context, one_question, press, shown, sit, wait_for_judgements

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


# pairs ----------------------------------------------------------------------------------------------------------------


def test_one_key_answers_a_question_of_a_pair_and_goes_on(page, seat, pairs, complaints):
    seat(pairs)
    press(page, "1")
    expect(page.locator(".item [data-question]")).to_have_text("Which does less harm?")
    expect(page.locator("[data-verdict][aria-pressed=true]")).to_have_count(0)  # blank, not copied
    press(page, "=")
    expect(page.locator("[data-chat]")).to_contain_text("Second?")
    page.wait_for_timeout(SETTLED)
    press(page, "b", "x")
    first, second = wait_for_judgements(page, 2)
    assert shown(first, "helpfulness") == {"A": 1, "B": 2}
    assert shown(first, "harmlessness") == {"A": 1, "B": 1}
    assert shown(second, "helpfulness") == {"A": 2, "B": 1}
    assert shown(second, "harmlessness") == {"A": 1, "B": 1}
    assert (first.all_bad, second.all_bad) == ([], ["harmlessness"])
    assert complaints == []


def test_a_key_that_is_held_down_answers_once(page, seat, pairs):
    seat(pairs)
    for _ in range(5):
        page.keyboard.down("1")
    page.keyboard.up("1")
    expect(page.locator(".item [data-question]")).to_have_text("Which does less harm?")
    page.wait_for_timeout(200)
    assert not Judgement.objects.exists()


def test_a_key_pressed_twice_does_not_answer_the_next_pair_unread(page, seat, pairs):
    seat(pairs)
    page.wait_for_load_state("networkidle")
    press(page, "1", "1", "1")
    expect(page.locator("[data-chat]")).to_contain_text("Second?")
    expect(page.locator("[data-verdict][aria-pressed=true]")).to_have_count(0)


def test_undo_goes_back_to_the_question_before_and_then_to_the_last_pair(page, seat, pairs):
    seat(pairs)
    press(page, "1", "u")
    expect(page.locator(".item [data-question]")).to_have_text("Which answer helps more?")
    expect(page.locator("[data-verdict=A]").first).to_have_attribute("aria-pressed", "true")
    press(page, "2", "2")
    expect(page.locator("[data-chat]")).to_contain_text("Second?")
    press(page, "u")
    expect(page.get_by_text("counts as it is until you submit again.")).to_be_visible()
    page.wait_for_function("document.querySelector('.card.is-current') !== null")
    page.wait_for_timeout(SETTLED)
    press(page, "1", "1")
    before, after = wait_for_judgements(page, 2)
    assert shown(before, "helpfulness") == {"A": 2, "B": 1}
    assert shown(after, "helpfulness") == {"A": 1, "B": 2} and after.supersedes == before


def test_brackets_and_buttons_say_how_much_better(page, seat, pairs):
    seat(pairs)
    press(page, "]", "]", "]")
    expect(page.locator(".card[data-key=B] [data-status]")).to_have_text("better")
    press(page, "[", "Enter")
    page.get_by_role("button", name="A: much better").click()
    (judgement,) = wait_for_judgements(page, 1)
    first, second = (str(pk) for pk in judgement.display_order)
    assert judgement.strengths == {"helpfulness": {second: 2}, "harmlessness": {first: 3}}


def test_a_project_without_strength_shows_none(page, seat, annotator):
    project = make_project(annotator, task="pairwise", k=2, ask_strength=False)
    make_comparison(project)
    seat(project)
    press(page, "]", "[")
    expect(page.locator(".degrees")).to_have_count(0)
    expect(page.locator("[data-verdict][aria-pressed=true]")).to_have_count(0)


def test_a_rationale_that_is_required_is_asked_for_before_the_end(page, seat, annotator):
    project = one_question(make_project(annotator, task="pairwise", k=2, ask_rationale="required"))
    make_comparison(project)
    seat(project)
    press(page, "1")
    expect(page.get_by_label("Why this answer?")).to_be_focused()
    page.keyboard.type("A says how. x 1 2")
    press(page, "Control+Enter")
    (judgement,) = wait_for_judgements(page, 1)
    assert judgement.rationale == "A says how. x 1 2"


# best of K and rating -------------------------------------------------------------------------------------------------


def test_one_key_picks_the_best(page, seat, annotator, complaints):
    project = make_project(annotator, task="best")
    make_comparison(project)
    seat(project)
    press(page, "3")
    expect(page.locator(".item [data-question]")).to_have_text("Which does less harm?")
    press(page, "x")
    (judgement,) = wait_for_judgements(page, 1)
    assert shown(judgement, "helpfulness") == {"A": 2, "B": 2, "C": 1, "D": 2}
    assert "harmlessness" not in judgement.rankings and judgement.all_bad == ["harmlessness"]
    assert complaints == []


def test_the_best_is_picked_with_the_mouse(page, seat, annotator):
    project = make_project(annotator, task="best")
    make_comparison(project)
    seat(project)
    page.locator(".card[data-key=B] [data-pick]").click()
    page.locator(".options [data-pick=D]").click()
    (judgement,) = wait_for_judgements(page, 1)
    assert [shown(judgement, key)["BD"[at]] for at, key in enumerate(("helpfulness", "harmlessness"))] == [1, 1]


def test_digits_rate_and_focus_goes_on(page, seat, annotator, complaints):
    project = make_project(annotator, task="rating", rating_points=7)
    make_comparison(project)
    seat(project)
    press(page, "5", "Enter")
    expect(page.locator("[data-hint]")).to_contain_text("Helpfulness: rate every response")
    press(page, "7", "9", "3")
    expect(page.locator(".card.is-current")).to_have_attribute("data-key", "D")
    press(page, "7", "Enter")
    expect(page.locator(".card.is-placed")).to_have_count(0)  # harmlessness starts blank
    press(page, "1", "Backspace", "x", "Enter")  # focus went on, so nothing is taken back ...
    expect(page.locator("[data-hint]")).to_contain_text("Harmlessness: rate every response")
    press(page, "ArrowLeft", "Backspace", "Enter")  # ... until one goes there
    (judgement,) = wait_for_judgements(page, 1)
    assert in_letters(judgement, judgement.ratings["helpfulness"]) == {"A": 5, "B": 7, "C": 3, "D": 7}
    assert shown(judgement, "helpfulness") == {"A": 2, "B": 1, "C": 3, "D": 1}
    assert judgement.all_bad == ["harmlessness"]
    assert complaints == []


def test_zero_is_ten_of_ten(page, seat, annotator):
    project = one_question(make_project(annotator, task="rating", rating_points=10, k=2))
    make_comparison(project)
    seat(project)
    press(page, "0", "9", "Enter")
    (judgement,) = wait_for_judgements(page, 1)
    assert sorted(judgement.ratings["helpfulness"].values()) == [9, 10]


def test_points_are_given_with_the_mouse(page, seat, annotator):
    project = one_question(make_project(annotator, task="rating", k=2))
    make_comparison(project)
    seat(project)
    for name in ("A, points: 4", "A, points: 4", "A, points: 2", "B, points: 5"):
        page.get_by_role("button", name=name).click()
    page.get_by_role("button", name="Submit").click()
    (judgement,) = wait_for_judgements(page, 1)
    assert in_letters(judgement, judgement.ratings["helpfulness"]) == {"A": 2, "B": 5}


# every task by finger and without JavaScript --------------------------------------------------------------------------

TASKS = {"ranking": 4, "pairwise": 2, "best": 4, "rating": 4}


@pytest.mark.parametrize("task", TASKS)
def test_a_finger_does_each_task_on_a_small_screen_in_the_dark(browser: Browser, live_server, annotator, task):
    project = make_project(annotator, task=task, k=TASKS[task], ask_edit=True, rating_points=10)
    Attribute.objects.create(project=project, key="wit", label="Wit", low="not at all", high="very", points=10)
    make_comparison(project, texts=[f"{number} " + "word" * 60 for number in range(TASKS[task])])
    screen = {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark", "has_touch": True, "is_mobile": True}
    context = new_context(browser, live_server.url, annotator, **screen)
    page = context.new_page()
    sit(page, live_server.url, project.slug)
    for _ in ("helpfulness", "harmlessness"):
        if task == "ranking":
            for number, letter in enumerate("ABCD", start=1):
                page.get_by_role("button", name=f"{letter}: rank {number}", exact=True).tap()
        elif task == "rating":
            for letter in "ABCD":
                page.get_by_role("button", name=f"{letter}, points: 10", exact=True).tap()
        elif task == "pairwise":
            page.locator("[data-verdict=B]:not([data-strength])").tap()
        else:
            page.locator(".options [data-pick=C]").tap()
        if task in ("ranking", "rating"):
            page.locator("[data-submit]").tap()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
    (judgement,) = wait_for_judgements(page, 1)
    assert set(judgement.rankings) == {"helpfulness", "harmlessness"}
    context.close()


@pytest.mark.parametrize("task", TASKS)
def test_each_task_works_without_javascript(browser: Browser, live_server, annotator, task):
    project = make_project(annotator, task=task, k=TASKS[task], ask_edit=True, ask_rationale="required")
    Attribute.objects.create(project=project, key="wit", label="Wit", points=5)
    make_comparison(project)
    context = new_context(browser, live_server.url, annotator, java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{live_server.url}/annotate/{project.slug}/next")
    page.get_by_role("button", name="Submit", exact=True).click()
    expect(page.get_by_role("alert").first).to_contain_text("Helpfulness: ")
    expect(page.get_by_role("alert").first).to_contain_text("Say why")
    page.get_by_label("Why this answer?").fill("because")
    for key in ("helpfulness", "harmlessness"):
        if task == "pairwise":
            page.locator(f"[name=verdict-{key}][value=B]").check()
            page.locator(f"[name=strength-{key}]").select_option("2")
        elif task == "best":
            page.locator(f"[name=best-{key}][value=B]").check()
        else:
            name = "points" if task == "rating" else "rank"
            for number, letter in enumerate("BACD", start=1):
                points = str(6 - number) if task == "rating" else str(number)
                page.locator(f"[name={name}-{key}-{letter}]").select_option(points)
    page.locator("[name=points-wit-A][value='4']").check()
    page.get_by_role("button", name="Edit B").click()
    page.locator("[name=edit-text]").fill("As it should be.")
    page.get_by_role("button", name="Submit", exact=True).click()
    expect(page.get_by_role("heading", name="Nothing is left for you here")).to_be_visible()
    judgement = Judgement.objects.get()
    assert shown(judgement, "helpfulness")["B"] == 1 and shown(judgement, "harmlessness")["A"] == 2
    assert in_letters(judgement, judgement.ratings["wit"]) == {"A": 4}
    assert (judgement.rationale, judgement.edit.text) == ("because", "As it should be.")
    assert bool(judgement.strengths) is (task == "pairwise")
    context.close()


# how many keys --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "keys"),
    [
        ("ranking", ["1", "2", "3", "4", "Enter"]),  # 4 places and Enter a question
        ("rating", ["5", "4", "3", "2", "Enter"]),
        ("best", ["1"]),
        ("pairwise", ["1"]),
    ],
)
def test_the_keys_it_takes_to_judge_two_questions(page, seat, annotator, task, keys):
    project = make_project(annotator, task=task, k=TASKS[task])
    make_comparison(project, "First?")
    make_comparison(project, "Second?")
    seat(project)
    page.evaluate("window.pressed = 0; addEventListener('keydown', () => { window.pressed += 1; }, true)")
    press(page, *keys, *keys)
    expect(page.locator("[data-chat]")).to_contain_text("Second?")
    (judgement,) = wait_for_judgements(page, 1)
    assert page.evaluate("window.pressed") == 2 * len(keys)
    assert all(shown(judgement, key)["A"] == 1 for key in ("helpfulness", "harmlessness"))
    assert Assignment.objects.filter(state="submitted").count() == 1
