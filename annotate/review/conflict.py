"""Where the judgements of one comparison contradict each other. Pure.

A pair of responses is contested if at least two judgements place both and do not all say the same of it: first better,
second better, or tie. It is what `annotate.quality.agreement.contested_share` counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

Ranks = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Conflict:
    """contested: pairs of responses, in the order given. pairs: how many pairs at least two judgements place."""

    contested: tuple[tuple[str, str], ...]
    pairs: int

    @property
    def share(self) -> float | None:
        return len(self.contested) / self.pairs if self.pairs else None

    def against(self, response: str) -> list[str]:
        """The responses whose order with this one is contested."""
        return [other for pair in self.contested if response in pair for other in pair if other != response]


def conflict_of(rankings: Sequence[Ranks], responses: Sequence[str]) -> Conflict:
    """rankings: {response: rank} of every judgement on one dimension."""
    contested, pairs = [], 0
    for one, other in combinations(responses, 2):
        said = [(r[one] > r[other]) - (r[one] < r[other]) for r in rankings if one in r and other in r]
        if len(said) < 2:
            continue
        pairs += 1
        if len(set(said)) > 1:
            contested.append((one, other))
    return Conflict(tuple(contested), pairs)
