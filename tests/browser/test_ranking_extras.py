"""What stands beside a judgement: attributes, edits, flags, two responses on the whole screen, gold, guidelines."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from annotate.gold.models import Gold
from annotate.projects.models import Attribute, Guidelines, Project
from tests.annotate.ranking.desk import make_comparison, make_project
from tests.browser.sitting import in_letters, one_question, press, shown, wait_for_judgements

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

LONG = "It hangs from a string and points straight down, whatever the wall beside it does. " * 40


# attributes, edits, flags --------------------------------------------------------------------------------------------


def test_attributes_are_rated_by_keys_and_by_mouse(page, seat, annotator):
    project = one_question(make_project(annotator, k=2))
    for position, key in enumerate(("wit", "style")):
        Attribute.objects.create(project=project, key=key, label=key.title(), points=7, position=position)
    make_comparison(project)
    seat(project)
    press(page, "1", "2", "ArrowLeft", "l", "6", "2")
    expect(page.locator(".card[data-key=B] [data-attribute=wit] input").first).to_be_focused()
    press(page, "l")
    expect(page.locator(".card[data-key=B]")).to_be_focused()
    page.locator(".card[data-key=B] [data-attribute=style] label").nth(4).click()
    expect(page.locator("[data-attribute-count]")).to_have_text("3/4")
    press(page, "Enter")
    (judgement,) = wait_for_judgements(page, 1)
    ratings = {key: in_letters(judgement, row) for key, row in judgement.ratings.items()}
    assert ratings == {"wit": {"A": 6}, "style": {"A": 2, "B": 5}}
    assert shown(judgement, "helpfulness") == {"A": 1, "B": 2}


def test_the_best_response_is_edited_and_survives_a_reload(page, seat, annotator):
    project = one_question(make_project(annotator, k=2, ask_edit=True))
    comparison = make_comparison(project, texts=["One *two* three.", "Four five six."])
    seat(project)
    press(page, "2", "1", "e")
    expect(page.get_by_role("heading", name="Edit response B")).to_be_visible()
    area = page.get_by_label("The response as it should have been")
    expect(area).to_be_focused()
    page.keyboard.type("Indeed: ")
    expect(page.locator("[data-preview] ins")).to_have_text("Indeed: ")
    press(page, "Escape")
    expect(page.locator("[data-saved]")).to_have_text("Saved")
    page.reload()
    page.wait_for_function("document.querySelector('.card.is-current') !== null")
    expect(page.locator("[data-act=edit]")).to_have_attribute("aria-pressed", "true")
    press(page, "Enter")
    (judgement,) = wait_for_judgements(page, 1)
    original = comparison.responses.get(pk=judgement.display_order[1])
    assert judgement.edit.text == f"Indeed: {original.text}" and judgement.edit.edited_from == original


def test_going_back_to_the_original_is_no_edit(page, seat, annotator):
    project = one_question(make_project(annotator, k=2, ask_edit=True))
    make_comparison(project)
    seat(project)
    press(page, "1", "2", "e", "Z")
    page.get_by_role("button", name="Back to the original").click()
    expect(page.locator("[data-preview]")).to_have_text("Nothing so far.")
    press(page, "Escape", "Enter")
    assert wait_for_judgements(page, 1)[0].edit is None


def test_flags_are_the_projects_own(page, seat, annotator):
    flags = [{"key": "rude", "label": "Rude or mean", "about": "response"}]
    project = one_question(make_project(annotator, k=2, flags=flags, ask_rationale="off"))
    make_comparison(project)
    seat(project)
    press(page, "1", "2", "f")
    expect(page.get_by_label("The prompt is unclear")).to_have_count(0)
    expect(page.locator("[name=rationale]")).to_have_count(0)
    page.get_by_label("B: Rude or mean").check()
    press(page, "Escape", "Enter")
    (judgement,) = wait_for_judgements(page, 1)
    assert judgement.flags == [{"flag": "rude", "response": str(judgement.display_order[1])}]


# two responses ----------------------------------------------------------------------------------------------------


def test_two_responses_fill_the_screen_scroll_together_and_are_placed_from_there(page, seat, annotator):
    project = one_question(make_project(annotator, k=3))
    make_comparison(project, texts=[LONG, LONG * 3, "Short."])
    seat(project)
    press(page, "v")
    dialog = page.locator("#pair")
    expect(dialog.get_by_role("heading", level=2)).to_have_text("A and B")
    press(page, "ArrowRight")
    expect(dialog.get_by_role("heading", level=2)).to_have_text("A and C")
    press(page, "2", "ArrowRight", "=")  # C before A, then B beside C
    expect(dialog.locator("[data-standing]")).to_have_text("B = C > A")
    long = [key for key in "ABC" if "Short." not in page.locator(f".card[data-key={key}] .response").inner_text()]
    while dialog.get_by_role("heading", level=2).inner_text() != " and ".join(long):
        press(page, "ArrowRight")
    panes = dialog.locator("[data-pane]")
    room = "pane => pane.scrollTop / (pane.scrollHeight - pane.clientHeight)"
    panes.nth(0).evaluate("pane => pane.scrollTo(0, (pane.scrollHeight - pane.clientHeight) / 2)")
    page.wait_for_timeout(150)
    assert panes.nth(1).evaluate(room) == pytest.approx(0.5, abs=0.02)
    press(page, "v")
    expect(dialog).to_be_hidden()
    press(page, "Enter")
    (judgement,) = wait_for_judgements(page, 1)
    assert shown(judgement, "helpfulness") == {"A": 2, "B": 1, "C": 1}


def test_a_pair_is_answered_from_the_full_screen(page, seat, pairs):
    seat(pairs)
    press(page, "v", "2")
    expect(page.locator("#pair [data-asked]")).to_have_text("Which does less harm?")
    page.locator("#pair").get_by_role("button", name="Both bad").click()
    expect(page.locator("[data-chat]")).to_contain_text("Second?")
    expect(page.locator("#pair")).to_be_hidden()
    (judgement,) = wait_for_judgements(page, 1)
    assert shown(judgement, "helpfulness") == {"A": 2, "B": 1} and judgement.all_bad == ["harmlessness"]


def test_two_are_rated_from_the_full_screen(page, seat, annotator):
    project = one_question(make_project(annotator, task="rating", k=3))
    make_comparison(project, texts=["One.", "Two.", "Three."])
    seat(project)
    press(page, "v", "4", "2", "ArrowRight", "ArrowRight")
    expect(page.locator("#pair").get_by_role("heading", level=2)).to_have_text("B and C")
    page.locator("#pair").get_by_role("button", name="C, points: 5").click()
    press(page, "3", "Escape", "Enter")
    (judgement,) = wait_for_judgements(page, 1)
    assert in_letters(judgement, judgement.ratings["helpfulness"]) == {"A": 4, "B": 3, "C": 5}


MARKED = "[...(CSS.highlights.get('differs') ?? [])].map((range) => range.toString())"


def test_words_that_differ_are_marked_without_touching_the_text(page, seat, annotator):
    texts = [
        "The **plumb line** hangs straight down from its `string`, always and everywhere on earth.",
        "The **plumb bob** hangs straight down from its `string`, nearly always and everywhere on earth.",
        "Something else entirely, which has nothing to do with any of the others at all.",
    ]
    project = make_project(annotator, k=3)
    make_comparison(project, texts=texts)
    seat(project)
    twins = page.locator("[data-twin]", has_text="≈")
    expect(twins).to_have_count(2)
    html = page.locator(".cards").inner_html
    before = page.locator(".response").evaluate_all("all => all.map((one) => one.outerHTML)")
    alike = next(key for key in "ABC" if "bob" in page.locator(f".card[data-key={key}]").inner_text())
    page.locator(f".card[data-key={alike}]").focus()
    press(page, "d")
    assert sorted(page.evaluate(MARKED)) == ["bob", "line", "nearly"]
    assert page.locator(".response").evaluate_all("all => all.map((one) => one.outerHTML)") == before, html
    expect(page.locator("[data-hint]")).to_contain_text("words only")
    press(page, "v")
    page.locator("#pair [data-diff]").click()
    assert page.evaluate(MARKED) == []
    press(page, "d", "Escape", "d")
    assert page.evaluate(MARKED) == []


def test_the_arithmetic_of_differences(page, live_server, seat, pairs):
    seat(pairs)
    module = f"{live_server.url}/static/js/ranking/diff.js"

    def call(name: str, *given: object) -> object:
        return page.evaluate(
            "async ([module, name, given]) => (await import(module))[name](...given)", [module, name, list(given)]
        )

    for one, other, expected in (
        ("", "", [[], []]),
        ("a b c", "a b c", [[], []]),
        ("a b c", "a c", [[1], []]),
        ("a c", "a b c", [[], [1]]),
        ("a b c a b b a", "c b a b a c", [[0, 1, 5], [1, 5]]),
        ("a b", "c d", [[0, 1], [0, 1]]),
        ("x a", "a", [[0], []]),
    ):
        assert call("difference", one.split(), other.split()) == expected, (one, other)
    many = [str(number) for number in range(20_000)]
    assert call("difference", many, many[1:]) == [[0], []]
    assert [len(part) for part in call("difference", many, many[::-1])] == [20_000, 20_000]
    assert [word["word"] for word in call("words", "It's 3.5 €, naïve 世界!")] == [
        *("It's", "3", ".", "5", "€", ",", "naïve", "世", "界", "!")
    ]
    assert call("similarity", ["a", "a", "b"], ["a", "b", "b"]) == pytest.approx(2 / 3)
    parts = call("changes", "A red\nline.", "A blue\n\nline!")
    assert "".join(part["text"] for part in parts if part["kind"] != "gone") == "A blue\n\nline!"
    assert [(part["kind"], part["text"]) for part in parts][:3] == [
        ("same", "A "),
        ("gone", "red\n"),
        ("new", "blue\n\n"),
    ]


def test_orders_of_two_compared(page, live_server, seat, pairs):
    seat(pairs)
    cases = [
        ["above", [{}, "A", "B"], {"A": 1, "B": 2}],
        ["above", [{"A": 1, "B": 2}, "A", "B"], {"A": 1, "B": 2}],
        ["above", [{"A": 2, "B": 1, "C": 3}, "C", "B"], {"A": 3, "B": 2, "C": 1}],
        ["above", [{"A": 1}, "A", "B"], {"A": 1, "B": 2}],
        ["above", [{"A": 1, "C": 2}, "A", "B"], {"A": 1, "B": 2, "C": 3}],
        ["above", [{"A": 1}, "B", "A"], {"A": 2, "B": 1}],
        ["above", [{"A": 1, "B": 1}, "B", "A"], {"A": 2, "B": 1}],
        ["above", [{"C": 1}, "A", "B"], {"C": 1, "A": 2, "B": 3}],
        ["beside", [{"A": 1}, "B", "A"], {"A": 1, "B": 1}],
        ["beside", [{"A": 1, "B": 2}, "A", "B"], {"A": 1, "B": 1}],
        ["beside", [{"C": 1}, "A", "B"], {"C": 1, "A": 2, "B": 2}],
    ]
    results = page.evaluate(
        "async ([module, cases]) => { const order = await import(module);"
        " return cases.map(([name, given]) => order[name](...given)); }",
        [f"{live_server.url}/static/js/ranking/order.js", [case[:2] for case in cases]],
    )
    for (name, given, expected), result in zip(cases, results, strict=True):
        assert result == expected, f"{name}{given}"


# gold, qualification, guidelines --------------------------------------------------------------------------------------


def make_gold(project: Project, question: str, purpose: str) -> None:
    comparison = make_comparison(project, question, purpose=purpose, is_closed=True)
    keys = [str(pk) for pk in comparison.members.values_list("response_id", flat=True)]
    rankings = {"helpfulness": {keys[0]: 1, keys[1]: 2}, "harmlessness": {keys[0]: 1, keys[1]: 2}}
    Gold.objects.create(comparison=comparison, rankings=rankings, explanation="The first *says* it.")


def test_feedback_on_gold_waits_quietly_on_the_next_item(page, seat, annotator, complaints):
    project = make_project(annotator, k=2, gold_feedback=True, must_qualify=True, qualification_threshold=0.0)
    make_gold(project, "Known?", "qualification")
    make_gold(project, "Known too?", "qualification")
    make_comparison(project, "Work?")
    seat(project)
    expect(page.get_by_text("Qualification 1 of 2")).to_be_visible()
    expect(page.locator("[data-feedback]")).to_be_hidden()
    page.wait_for_load_state("networkidle")
    press(page, "1", "2", "Enter", "1", "2", "Enter")
    expect(page.locator("[data-feedback]")).to_be_visible()
    expect(page.locator("[data-feedback] [data-share]")).to_contain_text("%")
    page.locator("[data-feedback]").click()
    dialog = page.locator("#feedback")
    expect(dialog).to_contain_text("Known")
    expect(dialog.locator("em")).to_have_text("says")
    expect(dialog.get_by_role("row", name="Helpfulness")).to_contain_text("A > B")
    press(page, "Escape")
    expect(page.locator("[data-message], .notice")).to_have_count(0)
    assert complaints == []


def test_guidelines_open_beside_the_work_and_say_that_they_changed(page, seat, annotator, complaints):
    project = one_question(make_project(annotator, k=2, guidelines="Be *fair*."))
    version = Guidelines.objects.create(project=project, number=1, text="Be *fair*.")
    for question in ("First?", "Second?"):
        make_comparison(project, question)
    seat(project)
    expect(page.locator(".guide")).to_have_text("Guidelines v1")
    press(page, "1", "2", "Enter")
    expect(page.locator("[data-chat]")).to_contain_text("Second?")
    (judgement,) = wait_for_judgements(page, 1)
    assert judgement.guidelines == version
    Guidelines.objects.create(project=project, number=2, text="Be *very* fair.")
    Project.objects.update(guidelines="Be *very* fair.")
    page.reload()
    page.wait_for_function("document.querySelector('.card.is-current') !== null")
    expect(page.locator("[data-news]")).to_have_text("changed")
    press(page, "g")
    expect(page.locator("#guidelines em")).to_have_text("very")
    expect(page.locator("#guidelines [data-number]")).to_have_text("v2")
    expect(page.locator("[data-news]")).to_be_hidden()
    press(page, "Escape", "1", "2")
    expect(page.locator("[data-lane='1'] .chip")).to_have_text(["A"])  # keys work on
    assert complaints == []
