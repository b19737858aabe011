"""How much reward best-of-n of the start model earns for how much KL: what a trained policy is held against. Pure.

Best-of-n draws n responses and keeps the one with the highest reward. Its distance from the model it draws from is
known without measuring it (Stiennon et al. 2020, appendix G.3), and what it earns follows from one set of samples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rl.training.intervals import clustered_mean


def best_of_n_kl(n: int) -> float:
    """KL(best of n, start model) in nats per response: `log n - (n - 1) / n`.

    Exact where no two responses earn the same, and an upper bound in general (Beirami et al. 2024, theorem 1).
    """
    return math.log(n) - (n - 1) / n


def best_of_n_reward(rewards: Sequence[float], n: int) -> float:
    """Expected reward of the best of n, from m >= n samples: the mean over all subsets of n of their highest.

    By order statistics: of the C(m, n) subsets, C(i - 1, n - 1) have the i-th lowest as their highest. Unbiased, as
    each subset is itself a draw of n. Raises ValueError for n outside 1..m.
    """
    m = len(rewards)
    if not 1 <= n <= m:
        raise ValueError(f"The best of {n} cannot be told from {m} samples.")
    subsets = math.comb(m, n)
    return math.fsum(
        reward * math.comb(rank - 1, n - 1) / subsets for rank, reward in enumerate(sorted(rewards), start=1)
    )


def frontier(rewards: Mapping[str, Sequence[float]]) -> list[dict[str, Any]]:
    """By n = 1, 2, 4, ... and all: {"n", "kl", "reward"}, the reward as a mean over prompts with its interval.

    `rewards` are those of the start model's samples by prompt, equally many of each.
    """
    most = min(len(each) for each in rewards.values())
    doubling = [2**power for power in range(most.bit_length()) if 2**power < most]
    return [
        {
            "n": n,
            "kl": best_of_n_kl(n),
            "reward": clustered_mean([best_of_n_reward(each, n) for each in rewards.values()], list(rewards)).plain(),
        }
        for n in [*doubling, most]
    ]
