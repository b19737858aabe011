"""Code in responses, coloured by classes: what a fence says it is written in, nothing guessed."""

from __future__ import annotations

import re
from html import unescape

from django.utils.html import escape, strip_tags
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.token import STANDARD_TYPES

LONGEST_CODE = 8_000  # characters; longer code is shown plain, so that no input is slow to colour
PREFIX = "hl-"
CLASSES = {f"{PREFIX}{name}" for name in STANDARD_TYPES.values() if name}

# Hostile code meets the lexers of widespread languages only, not the hundreds of rarely read ones.
LANGUAGES = {
    *("bash", "c", "c++", "console", "cpp", "cs", "csharp", "css", "diff", "docker", "dockerfile", "go", "haskell"),
    *("html", "ini", "java", "javascript", "js", "json", "jsx", "julia", "kotlin", "latex", "lua", "matlab", "perl"),
    *("php", "powershell", "ps1", "py", "python", "python3", "r", "rb", "ruby", "rs", "rust", "scala", "sh", "shell"),
    *("sql", "swift", "tex", "toml", "ts", "tsx", "typescript", "xml", "yaml", "yml", "zsh"),
}
# Lexers look ahead, which takes quadratic time in a long run of one thing.
_MONOTONOUS = re.compile(r"(.{1,4}?)\1{99,}|\s{200,}", re.DOTALL)
_FORMATTER = HtmlFormatter(nowrap=True, classprefix=PREFIX)


def highlight_code(code: str, language: str) -> str:
    """HTML of `code` with spans of CLASSES; only escaped if the language is unknown or colouring might take long."""
    name = language.strip().lower()
    if name not in LANGUAGES or len(code) > LONGEST_CODE or _MONOTONOUS.search(code):
        return escape(code)
    lexer = get_lexer_by_name(name, stripnl=False, ensurenl=False)
    html = highlight(code, lexer, _FORMATTER)
    # Pygments adds or drops line ends here and there; the text that is judged has to be the text that was written.
    return html if unescape(strip_tags(html)) == code else escape(code)
