"""Signs that a judgement was made of something else than the responses: speed, position, length. Pure.

A sign is not a verdict: each figure comes with its interval, and a flag is raised only where the interval is narrow
enough to exclude what is ordinary. docs/agreement.md says what each means.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotate.quality.bootstrap import Estimate, Floats, cluster_sums, share, wilson
from annotate.quality.judged import Ints

LEAST_TIMED = 10  # judgements with a time, before somebody's speed is compared
LEAST_PEERS = 3
LEAST_WON = 30  # judgements with a best response, before a position bias is flagged
FAR = 3.0  # robust standard deviations
FLOOR = 0.25  # of the peers' spread of log pace: peers who happen to be alike do not make others odd
FLAG_LEVEL = 0.99
Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Pace:
    """Of one annotator. seconds: median active time of a judgement; per_word: median seconds per word to be read;
    ratio: that over the median of the peers'; z: how many robust standard deviations log pace is from the peers';
    judgements: timed. ratio and z are None with too few judgements or peers. flag: "fast", "slow" or ""."""

    seconds: float
    per_word: float
    ratio: float | None
    z: float | None
    judgements: int
    flag: str


def paces(annotator: Ints, seconds: Floats, words: Floats) -> dict[int, Pace]:
    """Speed of each annotator against peers, from (J,) active seconds (nan unknown) and words to read of judgements.

    With m_k the log of annotator k's median seconds per word, z_k = (m_k - median of the others' m) / s, where s is the
    others' 1.4826 * MAD (Hampel, JASA 69, 1974), at least FLOOR. Flagged are |z| > 3, with at least LEAST_PEERS peers
    who have LEAST_TIMED timed judgements each.
    """
    known = np.isfinite(seconds) & (seconds > 0) & (words > 0)
    per_word = np.full(len(seconds), np.nan)
    per_word[known] = seconds[known] / words[known]
    people = np.unique(annotator[known])
    counted = {int(k): int((annotator[known] == k).sum()) for k in people}
    medians = {int(k): float(np.median(per_word[known & (annotator == k)])) for k in people}
    result = {}
    for k in medians:
        peers = np.log([medians[other] for other in medians if other != k and counted[other] >= LEAST_TIMED])
        ratio = z = None
        flag = ""
        if counted[k] >= LEAST_TIMED and len(peers) >= LEAST_PEERS:
            middle = float(np.median(peers))
            spread = max(1.4826 * float(np.median(np.abs(peers - middle))), FLOOR)
            ratio = float(medians[k] / np.exp(middle))
            z = float((np.log(medians[k]) - middle) / spread)
            flag = "fast" if z < -FAR else "slow" if z > FAR else ""
        typical = float(np.median(seconds[known & (annotator == k)]))
        result[k] = Pace(typical, medians[k], ratio, z, counted[k], flag)
    return result


@dataclass(frozen=True, slots=True)
class PositionBias:
    """share: of judgements whose best response was shown first, with its 95 % Wilson interval, n judgements; chance:
    what it would be if place did not matter. flag: "first" or "not first" where chance lies outside the 99 %
    interval."""

    share: Estimate
    chance: float
    flag: str


def position_bias(won: Floats, shown: NDArray[Any]) -> PositionBias | None:
    """Whether the response shown first is judged best more often than chance has it.

    won: (J,) how much of the win the first-shown response has: 1, 0, or 1/m if it shares the best rank with m - 1
    others. shown: (J,) how many responses the judgement places. The order shown is random, so chance is the mean of 1 /
    shown.
    """
    found = share(float(won.sum()), len(won))
    if found is None:
        return None
    chance = float((1.0 / shown).mean())
    low, high = wilson(float(won.sum()), len(won), level=FLAG_LEVEL)
    flag = "" if len(won) < LEAST_WON or low <= chance <= high else "first" if found.value > chance else "not first"
    return PositionBias(found, chance, flag)


@dataclass(frozen=True, slots=True)
class LengthBias:
    """slope: change of the log odds of winning with the log of the ratio of lengths, with its 95 % interval, n pairs;
    doubled: the odds that a response wins that is twice as long, other things aside. variance: of the slope."""

    slope: Estimate
    doubled: float
    variance: float


def length_bias(log_ratio: Floats, won: Floats, cluster: Ints) -> LengthBias | None:
    """The slope b of P(i beats j) = sigma(b * log(length_i / length_j)) over strictly ordered pairs.

    log_ratio: (N,); won: (N,) 1 if i was preferred, else 0; cluster: (N,) which pairs are one piece of evidence, for
    the interval (sandwich, with the small-sample factor G / (G - 1)). None where lengths do not differ, or longer
    always (or never) wins, or there is one cluster. It says what people choose, not why: a longer response may be
    better.
    """
    use = log_ratio != 0
    x, y = log_ratio[use], won[use]
    _, groups = np.unique(cluster[use], return_inverse=True)
    if not len(x) or groups.max() < 1 or len(np.unique(np.sign(x) * (2 * y - 1))) < 2:
        return None
    b = 0.0
    for _ in range(100):
        p = 0.5 * (1 + np.tanh(b * x / 2))
        slope, curve = float((x * (y - p)).sum()), float((x * x * p * (1 - p)).sum())
        step = float(np.clip(slope / max(curve, 1e-12), -1.0, 1.0))
        b += step
        if abs(step) < 1e-10:
            break
    p = 0.5 * (1 + np.tanh(b * x / 2))
    curve = float((x * x * p * (1 - p)).sum())
    scores = cluster_sums(groups, x * (y - p))[:, 0]
    count = len(scores)
    variance = float((scores**2).sum()) * count / (count - 1) / curve**2
    deviation = variance**0.5
    found = Estimate(b, b - Z95 * deviation, b + Z95 * deviation, len(x), count)
    return LengthBias(found, float(np.exp(b * np.log(2))), variance)


def length_flag(own: LengthBias | None, others: LengthBias | None) -> str:
    """ "longer" or "shorter" where somebody prefers such responses by far more than the others do, else ""."""
    if own is None or others is None:
        return ""
    gap = (own.slope.value - others.slope.value) / max((own.variance + others.variance) ** 0.5, 1e-12)
    return "longer" if gap > FAR else "shorter" if gap < -FAR else ""
