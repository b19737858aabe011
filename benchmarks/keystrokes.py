"""How many keys it takes to rank four responses on two dimensions, counted in Chromium on the real page."""

from __future__ import annotations

import os
import shutil
import time

from benchmarks.common import Result, within
from benchmarks.platform import Platform

# Digits place the focused response and go on to the next one; Enter goes on to the next question, then submits.
KEYS = ("2", "1", "4", "3", "Enter", "1", "2", "3", "4", "Enter")


def keystrokes(platform: Platform) -> list[Result]:
    """Press the keys one by one until the server has a judgement; no clicks. Needs playwright and Chromium."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return []
    from annotate.models import Judgement, Project
    from benchmarks.annotators import sessions
    from benchmarks.million import small_project

    number = Project.objects.count()
    slug = small_project(f"By keyboard {number}", comparisons=2, overlap=1, people=1)
    (session,) = sessions(1)
    executable = os.environ.get("PLUMBLINE_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # the driver keeps an event loop in this thread
    pressed = 0
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context()
        context.add_cookies([{"name": "sessionid", "value": session, "url": platform.url}])
        page = context.new_page()
        page.goto(f"{platform.url}/annotate/{slug}/next")
        page.locator("form.item [data-key]").first.wait_for()
        judged = Judgement.objects.filter(comparison__project__slug=slug)
        for key in KEYS:
            page.keyboard.press(key)
            pressed += 1
        deadline = time.monotonic() + 10
        while not judged.exists() and time.monotonic() < deadline:
            page.wait_for_timeout(50)
        said = judged.values_list("rankings", flat=True).first() or {}
        browser.close()
    whole = [sorted(ranks.values()) for ranks in said.values()] == [[1, 2, 3, 4]] * 2
    label = "keys to rank 4 responses on 2 dimensions, from page to submission"
    return [within(label, pressed if whole else float("inf"), "keys", len(KEYS))]
