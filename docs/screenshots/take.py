"""Take the README's screenshots from a running platform with a demo in it.

    python docs/screenshots/take.py URL ADMIN:PASSWORD ANNOTATOR:PASSWORD [--all FOLDER]

With --all, every page goes to FOLDER in three widths, light and dark, for looking at.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

HERE = Path(__file__).resolve().parent
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


def log_in(browser: Browser, url: str, login: str, **options: object) -> Page:
    page = browser.new_context(**options).new_page()
    name, _, password = login.partition(":")
    page.goto(f"{url}/account/login/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(lambda address: "/login" not in address)
    return page


def open_ranking(page: Page, url: str) -> None:
    """The ranking page in mid-work: two responses placed."""
    page.goto(f"{url}/annotate/")
    page.locator("a[href*='/next']").first.click()
    page.wait_for_load_state("networkidle")
    page.keyboard.press("1")
    page.keyboard.press("2")
    page.wait_for_timeout(800)


def first_link(page: Page, pattern: str) -> str | None:
    found = page.locator(f"main a[href*='{pattern}']")
    return found.first.get_attribute("href") if found.count() else None


def for_readme(browser: Browser, url: str, admin: str, annotator: str) -> None:
    size = {"viewport": {"width": 1280, "height": 860}}
    page = log_in(browser, url, annotator, **size)
    open_ranking(page, url)
    page.screenshot(path=HERE / "ranking.png")
    page = log_in(browser, url, admin, **size)
    page.screenshot(path=HERE / "dashboard.png")
    page.goto(f"{url}/runs/?kind=policy")
    page.goto(url + str(page.locator("main td a[href^='/runs/']").first.get_attribute("href")))
    page.wait_for_load_state("networkidle")
    page.screenshot(path=HERE / "run.png")


def everything(browser: Browser, url: str, admin: str, annotator: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for width in (360, 768, 1440):
        for scheme in ("light", "dark"):
            options = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
            page = log_in(browser, url, annotator, **options)
            page.screenshot(path=folder / f"annotate-home-{width}-{scheme}.png", full_page=True)
            open_ranking(page, url)
            page.screenshot(path=folder / f"ranking-{width}-{scheme}.png")
            page = log_in(browser, url, admin, **options)
            names = ["projects", "generators", "datasets", "reward-models", "policies", "runs", "people"]
            paths = ["/", *(f"/{name}/" for name in names)]
            details = []
            for path in paths:
                page.goto(url + path)
                page.wait_for_load_state("networkidle")
                page.screenshot(path=folder / f"{path.strip('/') or 'dashboard'}-{width}-{scheme}.png", full_page=True)
                details += [link for link in [first_link(page, path)] if path != "/" and link]
            if scheme == "light":
                for link in details:
                    page.goto(url + link)
                    page.wait_for_load_state("networkidle")
                    name = link.split("?")[0].strip("/").replace("/", "_")
                    page.screenshot(path=folder / f"{name}-{width}.png", full_page=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("admin")
    parser.add_argument("annotator")
    parser.add_argument("--all", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    with sync_playwright() as playwright:
        executable = os.environ.get("PLUMBLINE_CHROMIUM") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=executable, args=QUIET)
        if options.all:
            everything(browser, options.url, options.admin, options.annotator, options.all)
        else:
            for_readme(browser, options.url, options.admin, options.annotator)
        browser.close()


if __name__ == "__main__":
    main()
