"""Cells that a spreadsheet would run as formulas. Pure.

A spreadsheet takes what begins with = + - @ or a tab for a formula, which can call programs and send data. A leading
apostrophe makes it text again. Apostrophes that were there already get one more, so undoing is exact.
"""

from __future__ import annotations

import re

_FIRST = frozenset("'=+-@\t\r")
_DANGEROUS = re.compile(r"'*[=+\-@\t\r]")


def safe_cell(text: str) -> str:
    """The text as a cell that no spreadsheet runs."""
    return "'" + text if text[:1] in _FIRST and _DANGEROUS.match(text) else text


def cell_text(cell: str) -> str:
    """The text that `safe_cell` was given."""
    return cell[1:] if cell.startswith("'") and _DANGEROUS.match(cell) else cell
