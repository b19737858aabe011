"""docs/metrics.md as a page, so that every chart can link to the explanation of its metric."""

from __future__ import annotations

import re
from functools import lru_cache

from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token

from config.env import BASE_DIR

PAGE = BASE_DIR / "docs" / "metrics.md"


def metrics_page() -> SafeString:
    """The document as HTML with anchors: one for each heading, and one for each table row that explains a metric."""
    return _render(PAGE.read_text("utf-8")) if PAGE.exists() else mark_safe("")


def metrics_advice(name: str) -> str:
    """The last cell of the document's table row about `name`, such as what to do about an alarm; empty without one."""
    return _last_cells(PAGE.read_text("utf-8")).get(name, "") if PAGE.exists() else ""


@lru_cache(maxsize=2)
def _last_cells(text: str) -> dict[str, str]:
    rows = re.findall(r"^\| `(\w+)` \|.*\| (.*?) \|$", text, re.MULTILINE)
    return {name: cell.replace("*", "").replace("`", "") for name, cell in reversed(rows)}


@lru_cache(maxsize=2)
def _render(text: str) -> SafeString:
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(text)
    taken: set[str] = set()
    for index, token in enumerate(tokens):
        if token.type == "heading_open":
            _anchor(token, slug(tokens[index + 1].content), taken)
        elif token.type == "tr_open":
            _anchor(token, _metric_of_row(tokens[index:]), taken)
    return mark_safe(markdown.renderer.render(tokens, markdown.options, {}))  # noqa: S308 - our own file, HTML off


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def _metric_of_row(tokens: list[Token]) -> str:
    """The metric named at the beginning of a table row, without a part like `/DIMENSION`."""
    cell = next((token for token in tokens if token.type == "inline"), None)
    named = re.match(r"`([\w/]+)`", cell.content) if cell else None
    return named[1].partition("/")[0] if named else ""


def _anchor(token: Token, name: str, taken: set[str]) -> None:
    if name and name not in taken:
        taken.add(name)
        token.attrSet("id", name)
