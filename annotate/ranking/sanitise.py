"""Text of models and people, rendered for a browser. Everything that comes in here is hostile until it left.

Two walls: markdown-it escapes HTML instead of passing it through, and nh3 then keeps only a short list of tags. The
Content-Security-Policy is the third. No images: fetching one tells its server who reads what. Characters that turn the
reading order around are named instead of obeyed, so that nobody judges another text than the one that was written.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping, Sequence
from functools import lru_cache
from typing import Any

import nh3
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from annotate.ranking.code import CLASSES, highlight_code

LONGEST_MARKDOWN = 60_000  # characters; longer texts are shown as plain text, so that no input is slow to render

TAGS = {
    *("p", "br", "hr", "blockquote", "pre", "code", "em", "strong", "s", "a", "span", "h3", "h4", "h5", "h6"),
    *("ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td"),
}
_CLEANER = nh3.Cleaner(
    tags=TAGS,
    attributes={"a": {"href", "title"}, "ol": {"start"}},
    allowed_classes={"span": {"math", "image"} | CLASSES, "td": {"center", "right"}, "th": {"center", "right"}},
    url_schemes={"http", "https", "mailto"},
    url_relative="deny",  # a response must not lead to a page of this site and have its reader press something
    link_rel="noopener noreferrer nofollow",
    set_tag_attribute_values={"a": {"target": "_blank"}},
)
_OVERRIDES = re.compile("[\u202d\u202e]")
_MATH = {"\\(": "\\)", "\\[": "\\]", "$$": "$$"}


@lru_cache(maxsize=2048)
def render_markdown(text: str) -> SafeString:
    """Safe HTML of a markdown text. Line breaks stay, formulas stay as they were typed, HTML is shown as text."""
    if len(text) > LONGEST_MARKDOWN:
        return render_plain(text)
    html = _markdown().render(_overrides_named(text))
    return mark_safe(_CLEANER.clean(html))  # noqa: S308  nh3 is what makes it safe


def render_plain(text: str) -> SafeString:
    """The text as it was typed; for what people wrote, where `# include` is no heading."""
    return format_html('<p class="as-typed">{}</p>', _overrides_named(text))


def _overrides_named(text: str) -> str:
    return _OVERRIDES.sub(lambda found: f"[U+{ord(found[0]):04X}]", text)


@lru_cache(maxsize=1)
def _markdown() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False, "breaks": True, "maxNesting": 20, "highlight": _highlight})
    markdown.enable(["table", "strikethrough"])
    markdown.inline.ruler.before("escape", "math", _math)
    markdown.add_render_rule("math", _render_math)
    markdown.add_render_rule("image", _render_image)
    markdown.core.ruler.push("below_the_page", _lower_headings)
    return markdown


def _highlight(code: str, language: str, attributes: str) -> str:
    return highlight_code(code, language)


def _math(state: StateInline, silent: bool) -> bool:
    """Keep a formula's backslashes and underscores, which markdown would eat."""
    closing = _MATH.get(state.src[state.pos : state.pos + 2])
    if closing is None:
        return False
    end = state.src.find(closing, state.pos + 2, state.posMax)
    if end <= state.pos + 2:
        return False
    if not silent:
        state.push("math", "", 0).content = state.src[state.pos : end + 2]
    state.pos = end + 2
    return True


def _render_math(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: MutableMapping[str, Any]
) -> str:
    return f'<span class="math">{escape(tokens[index].content)}</span>'


def _render_image(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: MutableMapping[str, Any]
) -> str:
    return f'<span class="image">[{escape(tokens[index].content or "image")}]</span>'


def _lower_headings(state: Any) -> None:
    """A response's headings stand below the page's; alignment becomes a class, as style attributes are not allowed."""
    for token in state.tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + 2, 6)}"
        style = token.attrs.pop("style", None)
        if style in ("text-align:center", "text-align:right"):
            token.attrs["class"] = str(style).removeprefix("text-align:")
