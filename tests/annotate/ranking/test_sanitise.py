from __future__ import annotations

import re
from html import unescape

import pytest

from annotate.ranking.code import LANGUAGES, highlight_code
from annotate.ranking.sanitise import LONGEST_MARKDOWN, TAGS, render_markdown, render_plain
from tests.annotate.ranking.hostile import PAYLOADS


@pytest.mark.parametrize("payload", PAYLOADS)
def test_only_a_short_list_of_tags_and_attributes_comes_out(payload):
    for html in (render_markdown(payload), render_plain(payload)):
        for tag, attributes in re.findall(r"<\s*([^\s<>/]+)([^<>]*)>", html):
            assert tag in TAGS
            names = re.findall(r'([\w:-]+)="[^"]*"', attributes)
            assert set(names) <= {"href", "title", "rel", "target", "class", "start"}
            for href in re.findall(r'href="([^"]*)"', attributes):
                assert re.match(r"(https?|mailto):", href)


def test_markdown_is_rendered():
    html = render_markdown("# Title\n\n**bold** and `x < y`\n\n- one\n- two\n\n```python\nprint('<b>')\n```\n")
    assert "<h3>Title</h3>" in html  # below the page's own headings
    assert "<strong>bold</strong>" in html and "<code>x &lt; y</code>" in html
    assert "<li>one</li>" in html and '<span class="hl-s1">' in html and "&lt;b&gt;" in html


def test_line_breaks_and_formulas_stay():
    assert "roses<br>" in render_markdown("roses\nviolets")
    html = render_markdown(r"The period is \(T = 2\pi\sqrt{L_0/g}\) and $$a_1 * b * c_2$$.")
    assert r"\(T = 2\pi\sqrt{L_0/g}\)" in html and "$$a_1 * b * c_2$$" in html


def test_tables_keep_their_alignment_without_style_attributes():
    html = render_markdown("| a | b |\n|:-:|--:|\n| 1 | 2 |")
    assert '<td class="center">1</td>' in html and '<td class="right">2</td>' in html


def test_an_image_is_named_but_never_fetched():
    assert render_markdown("![a cat](https://example.org/cat.png)") == '<p><span class="image">[a cat]</span></p>\n'


def test_very_long_text_is_shown_as_it_is():
    assert "**" in render_markdown("**x** " * LONGEST_MARKDOWN)


def test_what_people_wrote_is_shown_as_typed():
    assert render_plain("# include <stdio.h>") == '<p class="as-typed"># include &lt;stdio.h&gt;</p>'


def test_code_is_coloured_by_classes_and_reads_as_it_was_written():
    code = "def f(x):\n    return '<b>' if x < 2 else \"&amp;\"  # \u00e9\n\n"
    html = render_markdown(f"```python\n{code}```\n")
    assert '<span class="hl-k">def</span>' in html and "style=" not in html
    assert unescape(re.sub("<[^>]+>", "", html)).startswith(code)


@pytest.mark.parametrize("fence", ["```\nif x < 1:\n```", "```klingon\nif x < 1:\n```", "    if x < 1:\n"])
def test_code_of_no_known_language_is_plain(fence):
    assert "<pre><code>if x &lt; 1:\n</code></pre>" in render_markdown(fence)


@pytest.mark.parametrize("code", ["x = 1\n" * 2000, "\n" * 1000 + "x", "((((" * 500])
def test_code_that_would_take_long_to_colour_is_plain(code):
    assert "hl-" not in render_markdown(f"```c\n{code}\n```")


def test_every_language_that_is_named_exists():
    for name in LANGUAGES:
        assert highlight_code("x = 1", name)


def test_characters_that_turn_the_reading_around_are_named():
    for html in (render_markdown("safe \u202eevil"), render_plain("safe \u202eevil")):
        assert "safe [U+202E]evil" in html and "\u202e" not in html
    assert "\u200f" in render_markdown("\u200fשלום")  # a mark that right-to-left text needs stays
