"""How the policy does on prompts that it is not trained on, in the middle of training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch

from lm.prefix import Group
from lm.processes import ALONE, World
from rl.training import estimators
from rl.training.actor import Actor
from rl.training.alarms import repetition
from rl.training.config import OnlineSettings
from rl.training.frontier import frontier
from rl.training.intervals import clustered_mean, paired_difference
from rl.training.judge import Judge
from rl.training.prompts import Prompt
from rl.training.rollout import answer, judged, logprobs

# Samples of each held-out prompt: few, for prompts say more than samples of one do.
SAMPLES = 2


@dataclass(frozen=True)
class Measured:
    """Figures by metric name, and what lies behind them by response: prompt, reward, KL."""

    step: int
    figures: dict[str, float]
    prompts: list[str]
    rewards: list[float]
    kls: list[float]


def measure(
    actor: Actor,
    judge: Judge,
    prompts: Sequence[Prompt],
    config: OnlineSettings,
    step: int,
    *,
    stop: Callable[[], bool] = lambda: False,
    world: World = ALONE,
) -> Measured:
    """Answer `prompts`, with the same seeds each time, and judge the answers. Raises Interrupted on `stop`."""
    with torch.no_grad():
        answers = answer(actor, prompts, config, "held out", SAMPLES, stop=stop, world=world)
        _, verdict = judged(actor, judge, prompts, answers, stop=stop, watch=True, world=world)
        groups = [Group(prompt.ids, [one.ids for one in some]) for prompt, some in zip(prompts, answers, strict=True)]
        ours = logprobs(actor, actor.model, groups, config.temperature, world)
        with actor.reference() as model:
            theirs = logprobs(actor, model, groups, config.temperature, world)
    pairs = [(mine, its) for one, other in zip(ours, theirs, strict=True) for mine, its in zip(one, other, strict=True)]
    kls = [float(estimators.kl_k1(mine, its).sum()) for mine, its in pairs]
    flat = [one for some in answers for one in some]
    figures = {
        "test_reward": fmean(verdict.rewards),
        **{f"test_reward/{name}": fmean(values) for name, values in verdict.columns.items()},
        "test_kl": fmean(kls),
        "test_kl_k3": fmean(float(estimators.kl_k3(mine, its).sum()) for mine, its in pairs),
        "test_response_tokens": fmean(len(one.ids) for one in flat),
        "test_eos_rate": fmean(float(one.finished) for one in flat),
        "test_repetition": fmean(repetition(one.ids) for one in flat),
    }
    if verdict.bound:
        figures["test_reward_bound"] = fmean(verdict.bound)
    if verdict.watched:
        figures["test_watched_reward"] = fmean(verdict.watched)
    return Measured(
        step, figures, [prompt.id for prompt in prompts for _ in range(SAMPLES)], list(verdict.rewards), kls
    )


def best_of_n(
    actor: Actor,
    judge: Judge,
    prompts: Sequence[Prompt],
    config: OnlineSettings,
    *,
    stop: Callable[[], bool] = lambda: False,
    world: World = ALONE,
) -> list[dict[str, Any]]:
    """What best-of-n of the policy as it is earns on `prompts`, by n; see `frontier`. Raises Interrupted on `stop`."""
    samples = config.best_of_n_samples
    with torch.no_grad():
        answers = answer(actor, prompts, config, "best of n", samples, stop=stop, world=world)
        _, verdict = judged(actor, judge, prompts, answers, stop=stop, world=world)
    rewards = iter(verdict.rewards)
    return frontier({f"{place}": [next(rewards) for _ in range(samples)] for place in range(len(prompts))})


def gain(before: Measured, after: Measured) -> dict[str, Any]:
    """Reward before and after, the difference by prompt with its interval, and the KL it cost."""
    paired = paired_difference(after.rewards, after.prompts, before.rewards, before.prompts)
    return {
        "before": clustered_mean(before.rewards, before.prompts).plain(),
        "after": clustered_mean(after.rewards, after.prompts).plain(),
        "gain": paired.plain() if paired else None,
        "kl": clustered_mean(after.kls, after.prompts).plain(),
        "step": after.step,
        "figures": {name: [before.figures.get(name), value] for name, value in after.figures.items()},
    }
