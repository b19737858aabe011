"""When a model and people are in conflict over a pair, and what one more judgement would tell. Plain numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable


def side_share(probability: float, p: float) -> float:
    """The share of people on the model's side of a pair. probability, p: that i is preferred, by model and people."""
    return p if probability >= 0.5 else 1 - p


def expected_information(probability: float, p: float, judgements: float) -> float:
    """Bits that one more judgement is expected to tell of who is right: the model, or the people asked so far.

    The Jensen-Shannon divergence of two coins: q, the model's probability that i is preferred, and
    r = (1 + n p) / (2 + n), what n judgements with share p for i say of the next one (Laplace's rule of succession).
    If either is right with probability 1/2, this is the mutual information of that and the judgement (Lin 1991).
    """
    q, r = probability, (1 + judgements * p) / (2 + judgements)
    return _entropy((q + r) / 2) - (_entropy(q) + _entropy(r)) / 2


def _entropy(share: float) -> float:
    return -sum(each * math.log2(each) for each in (share, 1 - share) if each > 0)


def tally(ranks: Iterable[tuple[int | None, int | None]]) -> dict[str, int]:
    """{"model", "other", "tie": judgements}: who stands first, of the ranks of the model's choice and of the other.

    1 is best. A judgement that leaves out one of the two says nothing of the pair and is not counted.
    """
    found = {"model": 0, "other": 0, "tie": 0}
    for model, other in ranks:
        if model is not None and other is not None:
            found["model" if model < other else "other" if model > other else "tie"] += 1
    return found


def verdict(counts: dict[str, int]) -> str:
    """The side with more judgements: "model" or "other"; "tie" of as many; "open" where nobody has said anything."""
    if not any(counts.values()):
        return "open"
    lead = counts["model"] - counts["other"]
    return "model" if lead > 0 else "other" if lead < 0 else "tie"
