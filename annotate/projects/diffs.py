"""What changed between two versions of a text, line by line and within lines word by word. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

_WORDS = re.compile(r"\w+|\s+|[^\w\s]")
LONGEST = 4000  # words of a changed passage that are compared one by one; longer ones are shown as a whole


@dataclass(frozen=True, slots=True)
class Piece:
    """kind: same, gone (only in the old text) or new (only in the new one)."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Passage:
    """Some whole lines: unchanged ones as a single piece, changed ones in pieces. hidden: lines left out here."""

    pieces: list[Piece]
    hidden: int = 0

    @property
    def changed(self) -> bool:
        return any(piece.kind != "same" for piece in self.pieces)


def text_diff(old: str, new: str, *, around: int = 2) -> list[Passage]:
    """The passages of `new` against `old`, with `around` unchanged lines left standing beside each change."""
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    blocks = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    passages: list[Passage] = []
    for number, (tag, a, b, c, d) in enumerate(blocks):
        if tag != "equal":
            passages.append(Passage(list(_pieces("".join(before[a:b]), "".join(after[c:d])))))
            continue
        head = around if number > 0 else 0
        tail = around if number < len(blocks) - 1 else 0
        lines = after[c:d]
        if len(lines) <= head + tail + 1:
            passages.append(Passage([Piece("same", "".join(lines))]))
            continue
        if head:
            passages.append(Passage([Piece("same", "".join(lines[:head]))]))
        passages.append(Passage([], hidden=len(lines) - head - tail))
        if tail:
            passages.append(Passage([Piece("same", "".join(lines[-tail:]))]))
    return passages


def _pieces(old: str, new: str) -> Iterator[Piece]:
    before, after = _WORDS.findall(old), _WORDS.findall(new)
    changes: Sequence[tuple[str, int, int, int, int]] = [("replace", 0, len(before), 0, len(after))]
    if len(before) + len(after) <= LONGEST:
        changes = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    for tag, a, b, c, d in changes:
        if tag == "equal":
            yield Piece("same", "".join(after[c:d]))
            continue
        if b > a:
            yield Piece("gone", "".join(before[a:b]))
        if d > c:
            yield Piece("new", "".join(after[c:d]))
