"""Whether a reward model is as sure as it is right.

A reward model says how likely response i is preferred to j: q = sigma(s_i - s_j). Its *choice* on a pair is the
response with the higher score, its *confidence* max(q, 1 - q), from one half to 1. Held against it is the share of
people who prefer the choice, a soft label where there are several judgements, one half of a tie. So the curve is of
preferences between two responses, never of single scores: these have no zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from annotate.quality.bootstrap import Floats, cluster_sums, estimate, ratio
from rewardmodel.training.evaluate import clustered_share
from rewardmodel.training.measures import Json, ScoredPair, as_json

BINS = 10  # of equal width between 1/2 and 1
DRAWS = 200  # of people, for what a calibrated model would seem
LONGEST_STEP, STEPS = 2.0, 100


def calibration(pairs: Sequence[ScoredPair], seed: int = 0) -> Json | None:
    """Reliability curve, its error with an interval, and proper scores; None of nothing.

    {"bins": [{"low", "high", "n", "confidence": mean, "share": estimate}], "ece": estimate, "ece_by_chance", "brier",
    "log_loss": estimates, "scale"}.

    ece: sum over bins of |sum of confidences - sum of shares| / pairs (Naeini et al. 2015), with the percentile
    interval of a bootstrap over prompts. It cannot be below 0, so a calibrated model's is above 0 on few pairs:
    ece_by_chance is its mean if people preferred as the model says, as many of them as there are judgements.
    brier: mean (q - p)^2, 1/4 by guessing. log_loss: mean -(p log q + (1 - p) log(1 - q)), log 2 by guessing.
    scale: see `best_scale`.
    """
    if not pairs:
        return None
    q = np.array([pair.probability for pair in pairs])
    p = np.array([pair.p for pair in pairs])
    judgements = np.array([max(pair.judgements, 1) for pair in pairs])
    confidence, share = np.maximum(q, 1 - q), np.where(q > 0.5, p, np.where(q < 0.5, 1 - p, 0.5))
    keys = [pair.prompt_key for pair in pairs]
    _, cluster = np.unique(np.array(keys), return_inverse=True)
    place = bin_of(confidence)
    return {
        "bins": _bins(keys, place, confidence, share),
        "ece": as_json(estimate(cluster_sums(cluster, _gaps(place, confidence, share)), _ece, n=len(pairs))),
        "ece_by_chance": _by_chance(place, confidence, judgements, seed),
        "brier": as_json(estimate(_means(cluster, (q - p) ** 2), ratio, n=len(pairs))),
        "log_loss": as_json(estimate(_means(cluster, _log_losses(pairs)), ratio, n=len(pairs))),
        "scale": best_scale([pair.score_i - pair.score_j for pair in pairs], [pair.p for pair in pairs]),
    }


def bin_of(confidence: Floats) -> np.ndarray:
    """Which of the BINS a confidence is in; 1/2 in the first, 1 in the last."""
    return np.minimum(((confidence - 0.5) * 2 * BINS + 1e-9).astype(int), BINS - 1)


def best_scale(differences: Sequence[float], shares: Sequence[float]) -> float | None:
    """The factor a by which scores would have to be multiplied to fit best: the maximum over a of

        sum p log sigma(a d) + (1 - p) log sigma(-a d)

    (Guo et al. 2017, whose temperature is 1 / a). Below 1: the model is surer than it is right. None where no finite
    factor is best, as where it is always right.
    """
    d, p = np.array(differences), np.array(shares)
    a = 0.0  # concave: Newton's way from anywhere ends at the maximum, if its steps are kept in hand
    for _ in range(STEPS):
        q = 1 / (1 + np.exp(-np.clip(a * d, -500, 500)))
        curve = float(np.sum(d * d * q * (1 - q)))
        if curve < 1e-12:
            return None
        step = float(np.sum(d * (p - q))) / curve
        a += max(-LONGEST_STEP, min(LONGEST_STEP, step))
        if abs(step) < 1e-9 * max(1.0, abs(a)):
            return a
    return None


def _bins(keys: Sequence[str], place: np.ndarray, confidence: Floats, share: Floats) -> list[Json]:
    found = []
    for number in range(BINS):
        inside = np.flatnonzero(place == number)
        if not len(inside):
            continue
        estimated = clustered_share((keys[index], float(share[index])) for index in inside.tolist())
        assert estimated is not None
        found.append(
            {
                "low": 0.5 + number / (2 * BINS),
                "high": 0.5 + (number + 1) / (2 * BINS),
                "n": len(inside),
                "confidence": float(confidence[inside].mean()),
                "share": asdict(estimated),
            }
        )
    return found


def _gaps(place: np.ndarray, confidence: Floats, share: Floats) -> Floats:
    """(C, BINS + 1): confidence less share in a pair's bin, and 1 to count it."""
    rows = np.zeros((len(place), BINS + 1))
    rows[np.arange(len(place)), place] = confidence - share
    rows[:, BINS] = 1
    return rows


def _ece(sums: Floats) -> Floats:
    return np.abs(sums[:, :BINS]).sum(axis=1) / sums[:, BINS]


def _by_chance(place: np.ndarray, confidence: Floats, judgements: np.ndarray, seed: int) -> float:
    random = np.random.default_rng(seed)
    found = []
    for _ in range(DRAWS):
        gaps = confidence - random.binomial(judgements, confidence) / judgements
        found.append(np.abs(np.bincount(place, gaps, minlength=BINS)).sum() / len(place))
    return float(np.mean(found))


def _means(cluster: np.ndarray, values: Floats) -> Floats:
    return cluster_sums(cluster, np.stack([values, np.ones(len(values))], axis=1))


def _log_losses(pairs: Sequence[ScoredPair]) -> Floats:
    """-(p log q + (1 - p) log(1 - q)), by log(1 + e^-d), which does not round q to 1."""
    return np.array([_softplus(pair.score_i - pair.score_j, pair.p) for pair in pairs])


def _softplus(d: float, p: float) -> float:
    tail = math.log1p(math.exp(-abs(d)))
    return p * (max(-d, 0.0) + tail) + (1 - p) * (max(d, 0.0) + tail)
