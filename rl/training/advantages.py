"""How good each sampled token was, as each algorithm sees it. The one place where the online algorithms differ most."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rl.training import estimators
from rl.training.config import BestOfNConfig, GRPOConfig, OnlineSettings, PPOConfig, ReinforceConfig, RLOOConfig


@dataclass(frozen=True)
class Experience:
    """N responses, `size` to a prompt and those consecutive: scores [N]; mask, old, reference, values [N, T]."""

    scores: Tensor
    mask: Tensor
    old: Tensor
    reference: Tensor
    values: Tensor | None
    size: int


@dataclass(frozen=True)
class Estimates:
    """advantages [N, T], 0 outside the mask; returns [N, T] where there is a critic; which responses [N] are learnt."""

    advantages: Tensor
    returns: Tensor | None = None
    learnt: list[bool] | None = None


def estimate(experience: Experience, config: OnlineSettings, kl_coef: float) -> Estimates:
    """Advantages by the algorithm that `config` is of. `kl_coef` is the penalty's weight now."""
    match config:
        case PPOConfig():
            return _ppo(experience, config, kl_coef)
        case GRPOConfig():
            scores = estimators.group_advantages(experience.scores, experience.size, standardise=config.standardise)
            return Estimates(_spread(scores, experience.mask))
        case RLOOConfig():
            kl = estimators.KL_ESTIMATORS[config.kl_estimator](experience.old, experience.reference)
            scores = experience.scores - kl_coef * kl.masked_fill(~experience.mask, 0.0).sum(1)
            return Estimates(_spread(estimators.leave_one_out(scores, experience.size), experience.mask))
        case ReinforceConfig():
            return _reinforce(experience, config, kl_coef)
        case BestOfNConfig():
            kept = estimators.best_of_groups(
                experience.scores, experience.size, keep=config.keep, threshold=config.threshold
            )
            return Estimates(_spread(kept, experience.mask), learnt=[bool(each) for each in kept.tolist()])
    raise TypeError(f"{type(config).__name__} is no algorithm that samples.")


def _ppo(experience: Experience, config: PPOConfig, kl_coef: float) -> Estimates:
    assert experience.values is not None
    rewards = _token_rewards(experience, experience.scores, kl_coef, config.kl_estimator)
    advantages, returns = estimators.gae(
        rewards, experience.values, experience.mask, gamma=config.gamma, lam=config.lam
    )
    if config.whiten_advantages:
        advantages = estimators.whiten(advantages, experience.mask)
    return Estimates(advantages, returns)


def _reinforce(experience: Experience, config: ReinforceConfig, kl_coef: float) -> Estimates:
    """REINFORCE++ (Hu 2025): returns of the penalised rewards, normalised over all tokens of the step."""
    scores = experience.scores
    if config.group_baseline:
        scores = estimators.group_advantages(scores, experience.size, standardise=False)
    rewards = _token_rewards(experience, scores, kl_coef, config.kl_estimator)
    returns = estimators.rewards_to_go(rewards, experience.mask, gamma=config.gamma)
    return Estimates(estimators.whiten(returns, experience.mask))


def _token_rewards(experience: Experience, scores: Tensor, kl_coef: float, estimator: estimators.KLEstimator) -> Tensor:
    return estimators.token_rewards(scores, experience.old, experience.reference, experience.mask, kl_coef, estimator)


def _spread(values: Tensor, mask: Tensor) -> Tensor:
    """[N] to every token of its response: [N, T]."""
    return torch.where(mask, values[:, None].to(torch.float32), 0.0)
