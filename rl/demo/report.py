"""The demo's closing table: the policies side by side on prompts that none of them was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from annotate.simulation import UTILITIES

Estimate = dict[str, float]


@dataclass(frozen=True)
class Scored:
    """One response on a held-out prompt with everything that was measured of it."""

    prompt: int
    messages: Sequence[Mapping[str, str]]
    text: str
    reward: float
    kl: float
    tokens: int


def cluster_mean(values: Mapping[int, Sequence[float]], *, draws: int = 4000, seed: int = 0) -> Estimate:
    """Mean over prompts of the mean over a prompt's samples, with a 95 % bootstrap interval that resamples prompts.

    Samples of one prompt are not independent, so prompts are what is drawn. values: {prompt: [figure of each sample]}.
    """
    means = np.array([np.mean(values[prompt]) for prompt in sorted(values)])
    rng = np.random.default_rng(seed)
    resampled = means[rng.integers(0, len(means), (draws, len(means)))].mean(axis=1)
    low, high = np.percentile(resampled, [2.5, 97.5])
    return {"value": float(means.mean()), "low": float(low), "high": float(high)}


def measures(responses: Sequence[Scored]) -> dict[str, dict[int, list[float]]]:
    """{measure: {prompt: [figure of each sample]}}."""
    table: dict[str, dict[int, list[float]]] = {}
    for response in responses:
        figures = {"reward": response.reward, "kl": response.kl, "tokens": float(response.tokens)}
        for dimension, utility in UTILITIES.items():
            figures[f"utility_{dimension}"] = utility(response.messages, response.text)
        for name, figure in figures.items():
            table.setdefault(name, {}).setdefault(response.prompt, []).append(figure)
    return table


def compare(policies: Mapping[str, Sequence[Scored]], baseline: str) -> dict[str, dict[str, Any]]:
    """{policy: {measure: {"estimate", "change"}}}; the change against `baseline` is paired by prompt."""
    tables = {name: measures(responses) for name, responses in policies.items()}
    result: dict[str, dict[str, Any]] = {}
    for name, table in tables.items():
        result[name] = {}
        for measure, values in table.items():
            base = tables[baseline][measure]
            shared = values.keys() & base.keys()
            paired = {prompt: [float(np.mean(values[prompt]) - np.mean(base[prompt]))] for prompt in shared}
            change = None if name == baseline else cluster_mean(paired)
            result[name][measure] = {"estimate": cluster_mean(values), "change": change}
    return result
