"""What axe says against a page."""

from __future__ import annotations

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

# Scripts that follow the size of things (see static/js/plumbline.js) run with the next frame, on a busy machine later.
TWO_FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done())))"


def complaints_of_axe(page: Page) -> list[str]:
    """What axe calls serious or critical of the page as it stands: the rule, where it is broken, and by what."""
    page.evaluate(AXE_SCRIPT)
    page.evaluate(TWO_FRAMES)
    return [
        f"{violation['id']}: {node['target']} {node['html'][:160]}"
        for violation in page.evaluate("axe.run()")["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]
