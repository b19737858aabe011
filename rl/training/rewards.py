"""A reward model's opinion of a response: a reward by dimension, and one number by weight."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from rewardmodel.training.interrupt import Interrupted
from rewardmodel.training.scoring import Scorer, load_scorer
from runs.child import UserError

Conversation = tuple[Sequence[Mapping[str, str]], Sequence[str]]


@dataclass(frozen=True)
class Opinion:
    """Of one response: `mean` and `spread` (standard deviation over an ensemble's members, else 0), by dimension."""

    mean: list[float]
    spread: list[float]

    def bound(self, penalty: float) -> list[float]:
        """`mean - penalty * spread`: less for what the members disagree about (Coste et al. 2023)."""
        return [mean - penalty * spread for mean, spread in zip(self.mean, self.spread, strict=True)]


class Rewards:
    """A reward model's rewards (score minus shift, so 0 is the average response it was trained on), combined.

    It reads text by its own tokenizer and template, so it may be of another family than the policy. A response that ran
    out of room is scored as if it had ended there; what that costs is the trainer's business.
    """

    def __init__(self, scorer: Scorer, weights: Mapping[str, float]) -> None:
        self.scorer = scorer
        self.dimensions = scorer.dimensions
        unknown = sorted(set(weights) - set(scorer.dimensions))
        if unknown:
            raise UserError(
                f"The reward model has no dimension {', '.join(unknown)}. It has {', '.join(scorer.dimensions)}: "
                "change the dimension weights."
            )
        raw = [float(weights.get(name, 0.0)) if weights else 1.0 for name in scorer.dimensions]
        self.weights = [weight / sum(raw) for weight in raw]

    @classmethod
    def load(cls, directory: str, weights: Mapping[str, float]) -> Rewards:
        return cls(load_scorer(directory), weights)

    def by_dimension(
        self, conversations: Sequence[Conversation], *, batch_tokens: int, stop: Callable[[], bool] = lambda: False
    ) -> list[list[list[float]]]:
        """For each (messages, responses): a row a response, one reward a dimension. Interrupted on `stop`."""
        opinions = self.opinions(conversations, batch_tokens=batch_tokens, stop=stop)
        return [[each.mean for each in rows] for rows in opinions]

    def opinions(
        self, conversations: Sequence[Conversation], *, batch_tokens: int, stop: Callable[[], bool] = lambda: False
    ) -> list[list[Opinion]]:
        """For each (messages, responses): one opinion a response. Interrupted on `stop`."""
        try:
            scored = self.scorer.member_scores(conversations, batch_tokens=batch_tokens, stop=stop)
        except InterruptedError:
            raise Interrupted from None
        return [[self._opinion(members) for members in rows] for rows in scored]

    def _opinion(self, members: Sequence[Sequence[float]]) -> Opinion:
        by_dimension = list(zip(*members, strict=True))
        means = [fmean(each) for each in by_dimension]
        return Opinion(
            [mean - shift for mean, shift in zip(means, self.scorer.shift, strict=True)],
            [
                math.sqrt(fmean((value - mean) ** 2 for value in each))
                for each, mean in zip(by_dimension, means, strict=True)
            ],
        )

    def combine(self, row: Sequence[float]) -> float:
        """The weighted mean over dimensions."""
        return sum(weight * value for weight, value in zip(self.weights, row, strict=True))
