"""What tests of the ranking page share: sitting down, pressing keys, looking at what was judged."""

from __future__ import annotations

from django.conf import settings
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page

from annotate.projects.models import Project
from annotate.ranking.models import Judgement

READY = "document.querySelector('.card.is-current') !== null"
SETTLED = 250  # ms after which an item takes keys that answer at once


def sit(page: Page, base: str, slug: str) -> None:
    """Open what is to be judged next, and wait until the script has it."""
    page.goto(f"{base}/annotate/{slug}/next")
    page.wait_for_function(READY)
    page.wait_for_timeout(SETTLED)


def new_context(browser: Browser, base: str, user: object, **options: object) -> BrowserContext:
    """A browser of its own, with the user's session."""
    client = Client()
    client.force_login(user)
    context = browser.new_context(**options)
    value = client.cookies[settings.SESSION_COOKIE_NAME].value
    context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": value, "url": base}])
    return context


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def in_letters(judgement: Judgement, row: dict[str, int]) -> dict[str, int]:
    """{response id: number} in the letters of the page."""
    letters = dict(zip(map(str, judgement.display_order), "ABCDEFGH", strict=False))
    return {letters[pk]: number for pk, number in sorted(row.items(), key=lambda item: letters[item[0]])}


def shown(judgement: Judgement, dimension: str) -> dict[str, int]:
    """A ranking in the letters of the page."""
    return in_letters(judgement, judgement.rankings[dimension])


def wait_for_judgements(page: Page, count: int) -> list[Judgement]:
    for _ in range(100):
        found = list(Judgement.objects.order_by("id"))
        if len(found) >= count:
            return found
        page.wait_for_timeout(50)
    raise AssertionError(f"{len(found)} judgements instead of {count}")


def one_question(project: Project) -> Project:
    project.dimensions.filter(key="harmlessness").delete()
    return project
