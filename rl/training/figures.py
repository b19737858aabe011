"""What a step of sampling was like, and what it all takes in memory: figures for people."""

from __future__ import annotations

from statistics import fmean

import torch

from rl.training import estimators
from rl.training.actor import Actor
from rl.training.alarms import repetition
from rl.training.judge import Judge
from rl.training.rollout import Rollout
from rl.training.update import Updater


def described(rollout: Rollout) -> dict[str, float]:
    """What a rollout was like, before any update; see docs/metrics.md for each name."""
    mask, count = rollout.mask, len(rollout.samples)
    rewards = torch.tensor(rollout.verdict.rewards)
    values = {
        "reward": float(rewards.mean()),
        "reward_std": float(rewards.std(correction=0)),
        **{f"reward/{name}": fmean(column) for name, column in rollout.verdict.columns.items()},
        "kl": float(estimators.kl_k1(rollout.old, rollout.reference)[mask].sum()) / count,
        "kl_k3": float(estimators.kl_k3(rollout.old, rollout.reference)[mask].sum()) / count,
        # What the sampler and the trainer disagree about: rounding, or a defect.
        "sampler_error": float((rollout.sampled - rollout.old)[mask].abs().mean()),
        "response_tokens": float(mask.sum(1).float().mean()),
        "eos_rate": fmean(float(each.finished) for each in rollout.samples),
        "repetition": fmean(repetition(each.ids) for each in rollout.samples),
        "even_groups": _even_groups(rollout),
    }
    if rollout.verdict.bound:
        values["reward_bound"] = fmean(rollout.verdict.bound)
    if rollout.values is not None and rollout.estimates.returns is not None:
        values["value_mean"] = float(estimators.masked_mean(rollout.values, mask))
        values["explained_variance"] = estimators.explained_variance(rollout.values, rollout.estimates.returns, mask)
    if rollout.estimates.learnt is not None:
        values["kept_share"] = fmean(map(float, rollout.estimates.learnt))
    return values


def memory_of(actor: Actor, updater: Updater, judge: Judge) -> dict[str, int]:
    """Bytes by hat: base, policy, reference, critic, reward models, and the optimizer's moments."""
    critic = updater.critic.parameters.values() if updater.critic else ()
    models = [judge.model, judge.watched, *(model for _, _, model in judge.more)]
    networks = {id(model.scorer.net.classifier): model.scorer.net.classifier for model in models if model}
    state = [value for each in updater.optimizer.state.values() for value in each.values()]
    tensors = [value for value in state if isinstance(value, torch.Tensor)]
    held = actor.memory()
    own = sum(value.numel() * value.element_size() for value in critic)
    if updater.critic is not None:
        # The critic's adapter stands on the base or on the reference, whose count it is taken out of.
        place = "base" if updater.critic.host is actor.model else "reference"
        adapter = [value for name, value in updater.critic.parameters.items() if not name.startswith("value_head.")]
        held[place] -= sum(value.numel() * value.element_size() for value in adapter)
    return {
        **held,
        "critic": own,
        "reward_models": sum(
            value.numel() * value.element_size() for network in networks.values() for value in network.parameters()
        ),
        "optimizer": sum(value.numel() * value.element_size() for value in tensors),
    }


def _even_groups(rollout: Rollout) -> float:
    """Share of prompts all of whose responses score the same: they teach a group-relative algorithm nothing."""
    rows = [rollout.scores[list(rollout.rows(number))] for number in range(len(rollout.groups))]
    return fmean(float(bool((each == each[0]).all())) for each in rows)
