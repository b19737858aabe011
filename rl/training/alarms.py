"""What says that a policy is pleasing its reward and nobody else. Pure: figures in, sentences out.

Each alarm has a name that docs/metrics.md explains together with what to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from rl.training.config import OnlineSettings

# The length of the first steps is what later ones are compared with.
FIRST_STEPS = 3
# So many measurements in a row must go apart before it is called hacking: two may do so by chance.
TREND = 3


@dataclass(frozen=True)
class Alarm:
    """Something to look at. `message` says what was seen; what to do is in docs/metrics.md under `name`."""

    name: str
    step: int
    message: str


def step_alarms(
    step: int, figures: Mapping[str, float], lengths: Sequence[float], config: OnlineSettings
) -> list[Alarm]:
    """Alarms of one step, from its figures and the mean lengths of the first steps."""
    found = []
    if figures["kl"] > config.kl_limit:
        found.append(
            Alarm(
                "kl_runaway",
                step,
                f"KL is {figures['kl']:.1f} nats per response, above the limit of {config.kl_limit:g}.",
            )
        )
    if len(lengths) >= FIRST_STEPS and fmean(lengths) > 0:
        ratio = figures["response_tokens"] / fmean(lengths)
        if not 1 / config.length_limit <= ratio <= config.length_limit:
            found.append(
                Alarm(
                    "length_drift",
                    step,
                    f"Responses have {figures['response_tokens']:.0f} tokens, {ratio:.2f} times those of the first "
                    f"{FIRST_STEPS} steps.",
                )
            )
    if figures["repetition"] > config.repetition_limit:
        found.append(
            Alarm(
                "repeated_text",
                step,
                f"{figures['repetition']:.0%} of the 4-grams in the responses are repeats, above the limit of "
                f"{config.repetition_limit:.0%}.",
            )
        )
    return found


def hacking_alarms(step: int, measured: Sequence[Mapping[str, float]]) -> list[Alarm]:
    """Alarms from the measurements on held-out prompts so far: the reward rises while something that should rise too
    falls, each of the last times."""
    last = measured[-TREND:]
    if len(last) < TREND or not _moves(last, "test_reward", up=True):
        return []
    names = {
        "test_watched_reward": ("watched_falls", "the reward model that is not trained on gives less"),
        "test_reward_bound": ("bound_falls", "the lower bound of the ensemble falls: its members disagree more"),
    }
    return [
        Alarm(name, step, f"On held-out prompts the reward rose {TREND - 1} times in a row while {words}.")
        for figure, (name, words) in names.items()
        if all(figure in each for each in last) and _moves(last, figure, up=False)
    ]


def repetition(ids: Sequence[int], size: int = 4) -> float:
    """Share of a response's `size`-grams of tokens that occurred in it before; 0 for a response without any."""
    grams = [tuple(ids[start : start + size]) for start in range(len(ids) - size + 1)]
    return 1.0 - len(set(grams)) / len(grams) if grams else 0.0


def _moves(measured: Sequence[Mapping[str, float]], name: str, *, up: bool) -> bool:
    values = [each[name] for each in measured]
    return all((after > before) if up else (after < before) for before, after in pairwise(values))
