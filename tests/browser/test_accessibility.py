"""Every page that a link leads to, scanned by axe, in light and dark and in both languages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from django.urls import Resolver404, get_resolver, resolve
from playwright.sync_api import Page

from annotate.datasets.services import dataset_run_start
from annotate.gold.models import Gold
from annotate.projects.models import Attribute, Membership, Project
from annotate.ranking.models import Comparison, Judgement
from runs.executor import run_execute
from tests.annotate.ranking.desk import make_comparison, make_project
from tests.browser.axe import complaints_of_axe
from tests.rewardmodel.conftest import dataset_of_two, generator, make_version, reward_model, tiny  # noqa: F401
from tests.rl.conftest import evaluation_run, policy_run, project, version  # noqa: F401

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

# Not pages: files, fragments that other pages fetch, things of other people's making.
NOT_PAGES = re.compile(r"^/(admin|api|static)/|/(files|archive|log|live)(/|$)|/next$|/undo$|\.jsonl$")
LONG = "A line hangs **straight down**.\n\n```python\nprint('down')  # always\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |"

# The page itself must not scroll sideways; tables and code scroll in a frame of their own.
WIDE = """() => document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll("main *")]
  .filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".table-wrap, pre, svg"))
  .slice(0, 3).map((e) => e.outerHTML.slice(0, 160)).concat(`${document.documentElement.scrollWidth} px`)"""


@pytest.fixture
def world(admin, annotator, other_annotator, version, policy_run, evaluation_run, children_share_database) -> Project:  # noqa: F811
    """A project with some of everything that pages show."""
    found = make_project(annotator, other_annotator, admin, overlap=2, guidelines="# Read\n\nBe *fair*.", ask_edit=True)
    Membership.objects.filter(user=annotator).update(role="reviewer")
    Attribute.objects.create(project=found, key="creativity", label="Creativity", low="none", high="much")
    contested = make_comparison(found, "Which way is down?", [LONG, "Down.", "Left of up.", ""])
    members = list(contested.members.values_list("response_id", flat=True))
    for user, order in ((other_annotator, members), (admin, members[::-1])):
        row = {str(pk): rank for rank, pk in enumerate(order, start=1)}
        Judgement.objects.create(
            comparison=contested,
            annotator=user,
            rankings={"helpfulness": row, "harmlessness": row},
            display_order=order,
        )
    Comparison.objects.filter(pk=contested.pk).update(is_closed=True, disagreement=1.0)
    gold = make_comparison(
        found, "Does lead sink?", ["Yes.", "No.", "Maybe.", "Ask it."], purpose="gold", is_closed=True
    )
    keys = [str(pk) for pk in gold.members.values_list("response_id", flat=True)]
    Gold.objects.create(comparison=gold, rankings={"helpfulness": {keys[0]: 1, keys[1]: 2}}, created_by=admin)
    for number in range(3):
        make_comparison(found, f"How long is string {number}?")
    run = dataset_run_start(project=found, user=admin)
    run_execute(run_id=run.pk, worker="test")
    version.counts = run.version.counts  # the fixture's are bare
    version.save()
    return found


def crawl(page: Page, base: str, starts: list[str]) -> Iterator[str]:
    """Open one page of every kind (by URL name) that can be reached by links."""
    waiting, seen = list(starts), set()
    while waiting:
        path = waiting.pop(0)
        name = page_name(path)
        if name is None or name in seen:
            continue
        seen.add(name)
        answer = page.goto(base + path)
        assert answer is not None and answer.status < 400, f"{path}: {answer and answer.status}"
        found = page.eval_on_selector_all("a[href]:not([download])", "links => links.map((a) => a.href)")
        waiting += [
            urlsplit(link)._replace(scheme="", netloc="", fragment="").geturl()
            for link in found
            if link.startswith(base)
        ]
        yield path


def page_name(path: str) -> str | None:
    address = urlsplit(path).path
    if NOT_PAGES.search(address):
        return None
    try:
        return resolve(address).view_name
    except Resolver404:
        return None


def complaints(page: Page) -> list[str]:
    """What axe calls serious or critical on a desk in light, and on a phone in the dark."""
    page.emulate_media(color_scheme="light", reduced_motion="reduce")  # colours that fade are not looked at half-way
    found = complaints_of_axe(page)
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    page.set_viewport_size({"width": 360, "height": 740})
    found += complaints_of_axe(page)
    found += [f"wider than a phone: {wide}" for wide in page.evaluate(WIDE)]
    page.set_viewport_size({"width": 1280, "height": 720})
    return found


def scan(page: Page, base: str, starts: list[str]) -> tuple[set[str], list[str]]:
    visited, wrong = set(), []
    for path in crawl(page, base, starts):
        visited.add(page_name(path))
        wrong += [f"{path}  {complaint}" for complaint in complaints(page)]
    return visited, wrong


def test_the_pages_of_admins(world, page, live_server, enter, admin):
    enter(admin)
    starts = ["/", world.get_absolute_url(), "/runs/metrics/", "/policies/new/ppo/", "/evaluations/new/"]
    visited, wrong = scan(page, live_server.url, starts)
    assert not wrong, "\n".join(wrong)
    missed = {
        name for name in page_names() if name.split(":")[0] in ("annotate", "rewardmodel", "rl", "runs")
    } - visited
    assert not missed & ALWAYS_LINKED, f"no link leads to {sorted(missed & ALWAYS_LINKED)}"


ALWAYS_LINKED = {
    *("annotate:project-list", "annotate:project-detail", "annotate:project-edit", "annotate:prompt-import"),
    *("annotate:people", "annotate:generator-list", "annotate:dataset-list", "annotate:dataset-start"),
    *("rewardmodel:list", "rl:policy-list", "rl:evaluation-list", "runs:list", "annotate:home"),
}


def page_names() -> set[str]:
    names = set()
    for namespace, (_, resolver) in get_resolver().namespace_dict.items():
        names |= {f"{namespace}:{name}" for name in resolver.reverse_dict if isinstance(name, str)}
    return names


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_the_pages_of_annotators(world, page, live_server, enter, annotator, language):
    annotator.language = language
    annotator.save()
    enter(annotator)
    page.goto(f"{live_server.url}/annotate/{world.slug}/next")
    desk = urlsplit(page.url).path
    visited, wrong = scan(page, live_server.url, ["/annotate/", desk, "/annotate/history/", "/account/"])
    assert not wrong, "\n".join(wrong)
    assert {"annotate:home", "annotate:assignment", "annotate:history", "annotate:guidelines"} <= visited


@pytest.mark.parametrize("task", ["pairwise", "best", "rating"])
def test_the_page_of_every_task(page, live_server, enter, annotator, task):
    found = make_project(annotator, k=2 if task == "pairwise" else 3, task=task, ask_edit=task == "best")
    make_comparison(found, "Which way is down?")
    enter(annotator)
    page.goto(f"{live_server.url}/annotate/{found.slug}/next")
    wrong = complaints(page)
    assert not wrong, "\n".join(wrong)


def test_the_pages_of_strangers(page, live_server, db):
    _, wrong = scan(page, live_server.url, ["/account/login/"])
    assert not wrong, "\n".join(wrong)
