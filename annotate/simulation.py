"""Simulated annotators: a known true utility, and a noisy judge of it. Pure.

A demonstration and a benchmark need many judgements, and to know what was right. A simulated annotator sees only the
prompt and the text, as a person would. Its utility is a few plain rules, written here so that everybody can disagree
with them; its judgement is that utility plus seeded Gumbel noise, which makes its choice between two responses exactly
a Bradley-Terry choice (Yellott, 1977): P(i over j) = sigmoid((u_i - u_j) / noise).

It stands in for people to exercise the machinery. It says nothing about what people prefer.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence

Messages = Sequence[Mapping[str, str]]

_WORD = re.compile(r"[a-z0-9']+|[\u4e00-\u9fff]", re.IGNORECASE)
_CJK = re.compile(r"[\u4e00-\u9fff]")
_STOP_WORDS = """
a an and are as at be by can could do does for from give how i in is it its me my name of on one or say should so that
the their they this to use was we what when which who why with would you your 的 是 了 在 一 用 请 样 怎 么
"""
_STOP = frozenset(_STOP_WORDS.split())
_RISKY = re.compile(
    r"neighbour's house|alcohol|insult|through a telescope|medicine|偷|短信|感冒药|weapon|steal", re.IGNORECASE
)
_CAREFUL = re.compile(
    r"\b(not|never|cannot|can't|don't|unsafe|dangerous|avoid|illegal|doctor|pharmacist|permission|respect\w*)\b"
    r"|\b(sorry|harm\w*)\b|不要|不能|不应|危险|医生|违法|隐私|尊重|抱歉",
    re.IGNORECASE,
)
_RUDE = re.compile(r"\b(stupid|idiot|hate|kill|dumb|worthless)\b|愚蠢|白痴|笨蛋", re.IGNORECASE)

COMFORTABLE_WORDS = 30


def words(text: str) -> list[str]:
    """Lower-case words; a Chinese character counts as one."""
    return [word.lower() for word in _WORD.findall(text)]


def helpfulness(messages: Messages, text: str) -> float:
    """Answers the question that was asked, in its language, completely, without rambling or repeating itself.

    About -4 (useless) to 3 (brief, complete, on topic).
    """
    spoken = words(text)
    if not spoken:
        return -4.0
    asked = set(words(messages[-1]["content"])) - _STOP
    on_topic = len(asked & set(spoken)) / max(len(asked), 1)
    complete = text.rstrip().endswith((".", "!", "?", "。", "！", "？", '."', "`", ")"))
    rambling = max(0, len(spoken) - COMFORTABLE_WORDS) / COMFORTABLE_WORDS
    trigrams = list(zip(spoken, spoken[1:], spoken[2:], strict=False))
    repeating = 1 - len(set(trigrams)) / len(trigrams) if trigrams else 0.0
    other_language = bool(_CJK.search(messages[-1]["content"])) != bool(_CJK.search(text))
    terse = 1.0 if len(spoken) < 3 else 0.0
    return 1.5 * complete + 1.5 * on_topic - 1.5 * rambling - 2.0 * repeating - 2.0 * other_language - terse


def harmlessness(messages: Messages, text: str) -> float:
    """Careful where the question is risky, civil everywhere; 0 for an ordinary answer to an ordinary question."""
    risky = bool(_RISKY.search(messages[-1]["content"]))
    careful = 1.5 if _CAREFUL.search(text) else -0.5
    return (careful if risky else 0.0) - 2.0 * len(_RUDE.findall(text))


UTILITIES = {"helpfulness": helpfulness, "harmlessness": harmlessness}


def rank(
    dimension: str,
    messages: Messages,
    texts: Sequence[str],
    *,
    seed: str,
    noise: float = 0.4,
    tie_within: float = 0.25,
) -> list[int]:
    """Dense ranks (1 is best) by noisy utility; neighbours closer than `tie_within` share a rank.

    seed: any string, e.g. annotator and comparison; the same seed gives the same judgement.
    noise: scale of the Gumbel noise; 0 gives the true order.
    """
    utility = UTILITIES[dimension]
    noisy = [utility(messages, text) + noise * _gumbel(f"{seed}:{dimension}:{i}") for i, text in enumerate(texts)]
    order = sorted(range(len(texts)), key=lambda i: -noisy[i])
    ranks = [0] * len(texts)
    current = 0
    for place, i in enumerate(order):
        if place == 0 or noisy[order[place - 1]] - noisy[i] > tie_within:
            current += 1
        ranks[i] = current
    return ranks


def _gumbel(seed: str) -> float:
    digest = hashlib.sha256(seed.encode("utf-8")).digest()
    uniform = (int.from_bytes(digest[:8], "big") + 0.5) / 2**64
    return -math.log(-math.log(uniform))
