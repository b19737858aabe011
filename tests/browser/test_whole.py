"""From a key pressed on the ranking page to a line of the exported pairs, all in the browser."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, expect

from annotate.ranking.models import Comparison, Judgement
from runs.executor import run_execute
from runs.models import Run
from tests.annotate.ranking.desk import make_comparison, make_project

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def await_judgements(page: Page, count: int) -> Judgement:
    for _ in range(100):
        found = list(Judgement.objects.order_by("pk"))
        if len(found) == count:
            return found[-1]
        page.wait_for_timeout(50)
    raise AssertionError(f"{len(found)} judgements instead of {count}")


def best_to_worst(comparison: Comparison, judgement: Judgement) -> list[str]:
    """Texts in the order of the judgement's helpfulness ranking, of those it placed."""
    texts = {str(member.response_id): member.response.text for member in comparison.members.all()}
    ranks = judgement.rankings["helpfulness"]
    return [texts[key] for key in sorted(ranks, key=ranks.__getitem__)]


def test_what_an_annotator_ranks_is_what_an_admin_exports(
    page, live_server, enter, admin, annotator, children_share_database
):
    project = make_project(annotator, k=3)
    first = make_comparison(project, "First question?", ["one", "two", "three"])
    second = make_comparison(project, "Second question?", ["red", "green", "blue"])

    enter(annotator)
    page.goto(f"{live_server.url}/annotate/{project.slug}/next")
    page.wait_for_function("document.querySelector('.card.is-current') !== null")
    for key in ("3", "1", "2", "Enter", "1", "2", "3", "Enter"):
        page.keyboard.press(key)
    by_keyboard = await_judgements(page, 1)
    assert by_keyboard.comparison == first

    expect(page.get_by_text("Second question?").first).to_be_visible()
    for step in range(2):
        for place, letter in enumerate("BCA" if step == 0 else "ABC", start=1):
            page.locator(f".card[data-key={letter}] [data-rank='{place}']").click()
        page.locator("[data-board] button.primary").click()
    by_mouse = await_judgements(page, 2)
    assert by_mouse.comparison == second
    shown = [str(key) for key in by_mouse.display_order]
    assert by_mouse.rankings["helpfulness"] == {shown[1]: 1, shown[2]: 2, shown[0]: 3}

    enter(admin)
    page.goto(f"{live_server.url}/datasets/new/?project={project.pk}")
    page.get_by_label("Held-out share").fill("0")
    page.get_by_role("button", name="Count first").click()
    expect(page.get_by_role("status")).to_contain_text("2 judgements by 1 annotator")
    page.get_by_role("button", name="Build").click()
    page.wait_for_url("**/runs/**")
    run_execute(run_id=Run.objects.get(kind="dataset").pk, worker="test")
    page.goto(f"{live_server.url}/datasets/")
    page.locator("main td a[href^='/datasets/']").first.click()
    with page.expect_download() as download:
        page.get_by_role("link", name="pairs.jsonl").click()
    pairs = [json.loads(line) for line in download.value.path().read_text("utf-8").splitlines()]

    for comparison, judgement in ((first, by_keyboard), (second, by_mouse)):
        order = best_to_worst(comparison, judgement)
        exported = {
            (pair["chosen"][0]["content"], pair["rejected"][0]["content"])
            for pair in pairs
            if pair["comparison"] == str(comparison.pk) and pair["dimension"] == "helpfulness"
        }
        assert exported == {(order[0], order[1]), (order[0], order[2]), (order[1], order[2])}
