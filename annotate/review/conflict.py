"""Where the judgements of one comparison contradict each other. Pure.

A pair of responses is contested if at least two judgements speak of it and do not all say the same: first better,
second better, tie, or both bad. `annotate.quality.agreement` counts; here is which pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from annotate.quality.agreement import contested_pairs

Ranks = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Conflict:
    """contested: pairs of responses, in the order given. pairs: how many pairs at least two judgements speak of."""

    contested: tuple[tuple[str, str], ...]
    pairs: int

    @property
    def share(self) -> float | None:
        return len(self.contested) / self.pairs if self.pairs else None

    def against(self, response: str) -> list[str]:
        """The responses whose order with this one is contested."""
        return [other for pair in self.contested if response in pair for other in pair if other != response]


def conflict_of(rankings: Sequence[Ranks], responses: Sequence[str], all_bad: Sequence[bool] = ()) -> Conflict:
    """rankings: {response: rank} of every judgement on one dimension. all_bad: aligned, whether it says that none of
    the responses is acceptable. Responses that no judgement places are in no pair."""
    placed = [response for response in responses if any(response in ranks for ranks in rankings)]
    contested, pairs = contested_pairs(rankings, placed, all_bad)
    return Conflict(tuple(contested), pairs)
