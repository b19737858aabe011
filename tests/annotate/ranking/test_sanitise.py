from __future__ import annotations

import re

import pytest

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
