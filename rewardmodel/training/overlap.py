"""Prompts of a test set that the model was trained on, or nearly: what an accuracy on them shows is memory.

Prompts are compared as people read them, without case and without extra blanks. *Exact*: the same conversation.
*Near*: at least four in five of their words' five-word sequences are the same (Jaccard's index of the two sets), found
by bottom-k sketches (Broder 1997) and then counted exactly. Shorter prompts have too few sequences to be near.
"""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

Messages = Sequence[Mapping[str, str]]

WORDS, LEAST, NEAR = 5, 8, 0.8  # words of a sequence; sequences that a prompt must have; index from which it is near
SKETCH = 16
_BLANKS = re.compile(r"\s+")


def overlaps(tested: Iterable[Messages], trained: Iterable[Messages]) -> list[str]:
    """For each tested prompt "exact", "near" or ""."""
    seen: set[str] = set()
    known: dict[int, list[int]] = defaultdict(list)
    texts: list[str] = []
    for messages in trained:
        text = normalised(messages)
        if text in seen:
            continue
        seen.add(text)
        if sketch := _sketch(_sequences(text)):
            for value in sketch:
                known[value].append(len(texts))
            texts.append(text)
    found: dict[str, str] = {}
    result = []
    for messages in tested:
        text = normalised(messages)
        if text not in found:
            found[text] = "exact" if text in seen else "near" if _is_near(text, known, texts) else ""
        result.append(found[text])
    return result


def normalised(messages: Messages) -> str:
    """A conversation without what nobody sees: case and runs of blanks."""
    return "\n".join(f"{turn['role']}: {_BLANKS.sub(' ', turn['content']).strip().casefold()}" for turn in messages)


def _is_near(text: str, known: Mapping[int, Sequence[int]], texts: Sequence[str]) -> bool:
    sequences = _sequences(text)
    if not (sketch := _sketch(sequences)):
        return False
    shared: dict[int, int] = defaultdict(int)
    for value in sketch:
        for place in known.get(value, ())[:200]:  # what hundreds of prompts share is a template
            shared[place] += 1
    likely = sorted(shared, key=lambda place: -shared[place])[:20]
    return any(jaccard(sequences, _sequences(texts[place])) >= NEAR for place in likely)


def jaccard(first: set[str], second: set[str]) -> float:
    """|A and B| / |A or B|; 0 of nothing."""
    either = len(first | second)
    return len(first & second) / either if either else 0.0


def _sequences(text: str) -> set[str]:
    words = text.split()
    return {" ".join(words[place : place + WORDS]) for place in range(len(words) - WORDS + 1)}


def _sketch(sequences: set[str]) -> list[int]:
    """The least hashes of a set, which are like a random sample of it, the same for like sets."""
    if len(sequences) < LEAST:
        return []
    return sorted(zlib.crc32(each.encode()) for each in sequences)[:SKETCH]
