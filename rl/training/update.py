"""One step's update of policy and critic: epochs of minibatches over a rollout, cut into forwards that fit."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn.utils import clip_grad_norm_

from lm.optim import learning_rate_at, set_learning_rate
from lm.prefix import Group, response_logprobs, response_statistics, token_batches
from lm.processes import ALONE, World
from rewardmodel.training.interrupt import Interrupted
from rl.training import estimators, losses
from rl.training.actor import Actor
from rl.training.config import BestOfNConfig, ClippedSettings, GRPOConfig, OnlineSettings, PPOConfig
from rl.training.critic import Critic
from rl.training.prompts import Prompt
from rl.training.rollout import Rollout

Sums = dict[str, float]
# A minibatch's part: groups as they are learnt, and which of the rollout's rows their responses are.
Batch = tuple[list[Group], list[int]]


class NotANumber(Exception):
    """A loss or gradient is not finite: `what`, and the prompts it came from."""

    def __init__(self, what: str, prompts: Sequence[Prompt]) -> None:
        super().__init__(f"The {what} is not a number.")
        self.what, self.prompts = what, list(prompts)


class Updater:
    """The optimizer steps of one algorithm. `mixed` are demonstrations for the language-model mix of PPO."""

    def __init__(
        self,
        config: OnlineSettings,
        actor: Actor,
        critic: Critic | None,
        optimizer: torch.optim.Optimizer,
        mixed: Sequence[Group] = (),
        world: World = ALONE,
    ) -> None:
        self.config, self.actor, self.critic, self.optimizer = config, actor, critic, optimizer
        self.mixed = list(mixed)
        self.world = world

    def update(self, rollout: Rollout, step: int, kl_coef: float) -> dict[str, float]:
        """Epochs of minibatches over one rollout. Returns the means of their figures. Raises NotANumber."""
        config = self.config
        rate = learning_rate_at(step, config.steps, config.warmup_ratio, config.schedule) * config.learning_rate
        set_learning_rate(self.optimizer, rate)
        sums: dict[str, list[float]] = defaultdict(list)
        for epoch in range(config.epochs):
            order = list(range(len(rollout.groups)))
            random.Random(f"{config.seed}/{step}/{epoch}").shuffle(order)  # noqa: S311
            for number, part in enumerate(shared_out(order, config.minibatches)):
                place = (step * config.epochs + epoch) * config.minibatches + number
                for name, value in self.learn(rollout, part, kl_coef, place).items():
                    sums[name].append(value)
        means = {name: sum(values) / len(values) for name, values in sums.items()}
        if "ratio_error" in means:
            # How far the update's first forward is from the rollout's: nothing has moved, so this is arithmetic alone.
            means["first_ratio_error"] = sums["ratio_error"][0]
            del means["ratio_error"]
        return means | {"learning_rate": rate}

    def learn(self, rollout: Rollout, part: Sequence[int], kl_coef: float, place: int = 0) -> dict[str, float]:
        """One optimizer step of policy and critic on the groups `part`, in as many forwards as their tokens need.

        How tokens count is settled for the whole minibatch, however it is cut and shared out over processes. Nothing is
        learnt where nothing of the minibatch is kept.
        """
        learnt = [rollout.learnt(index) for index in part]
        learnt = [(group, rows) for group, rows in learnt if rows]
        if not learnt:
            return {}
        groups = [group for group, _ in learnt]
        whole = sorted(row for _, rows in learnt for row in rows)
        weights = torch.zeros_like(rollout.old)
        weights[whole] = estimators.token_weights(
            rollout.mask[whole], self.config.normalise, self.config.max_response_tokens
        )
        own = self.world.mine([group.tokens for group in groups])
        batches: list[Batch] = [
            ([groups[own[i]] for i in indices], [row for i in indices for row in learnt[own[i]][1]])
            for indices in token_batches([groups[i] for i in own], self.actor.batch_tokens)
        ]
        count = int(rollout.mask[whole].sum())

        def backward() -> Sums:
            sums: Sums = defaultdict(float)
            for batch in batches:
                self._policy_backward(rollout, batch, weights, count, kl_coef, sums)
            if self.mixed:
                self._mix_backward(len(part), place, sums)
            if self.critic is not None:
                with self.critic.worn():
                    for batch in batches:
                        self._critic_backward(rollout, batch, weights, count, sums)
            return sums

        sums = added_up(self.world.together(backward, leaving=Interrupted))
        norms = {"grad_norm": self._clipped(self.actor.parameters.values())}
        if self.critic is not None:
            norms["critic_grad_norm"] = self._clipped(self.critic.parameters.values())
        prompts = [rollout.prompts[index] for index in part]
        _refuse(torch.tensor([value for name, value in sums.items() if name.endswith("_loss")]), "loss", prompts)
        _refuse(torch.stack([norm.detach().cpu() for norm in norms.values()]), "gradient", prompts)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return sums | {name: float(norm) for name, norm in norms.items()}

    def _clipped(self, parameters: Iterable[Parameter]) -> Tensor:
        """Sum the gradients over the processes and clip them; their norm before."""
        parameters = list(parameters)
        self.world.sum_gradients(parameters)
        return clip_grad_norm_(parameters, self.config.max_grad_norm)

    def _policy_backward(
        self, rollout: Rollout, batch: Batch, weights: Tensor, count: int, kl_coef: float, sums: Sums
    ) -> None:
        config = self.config
        groups, rows = batch
        with self.actor.autocast():
            logprobs, entropies = response_statistics(self.actor.model, groups, temperature=config.temperature)
        new = _flat(logprobs)
        mask = rollout.mask[rows]
        old, advantages = rollout.old[rows][mask], rollout.estimates.advantages[rows][mask]
        if isinstance(config, ClippedSettings):
            loss, clipped = estimators.ppo_policy_loss(new, old, advantages, clip=config.ratio_clip)
            sums["clip_fraction"] += float(clipped.float().sum()) / count
            if isinstance(config, GRPOConfig) and kl_coef:
                reference = rollout.reference[rows][mask]
                penalty = estimators.KL_ESTIMATORS[config.kl_estimator](new, reference)
                loss = loss + kl_coef * penalty
        else:
            assert isinstance(config, BestOfNConfig)
            loss = losses.sft_loss(new)
        loss = (loss * weights[rows][mask]).sum()
        loss.backward()
        moved = new.detach()
        sums["policy_loss"] += float(loss.detach())
        sums["entropy"] += float(_flat(entropies).sum()) / count
        sums["update_kl"] += float(estimators.kl_k3(old, moved).sum()) / count
        sums["ratio_error"] = max(sums["ratio_error"], float(torch.expm1(moved - old).abs().max()))

    def _critic_backward(self, rollout: Rollout, batch: Batch, weights: Tensor, count: int, sums: Sums) -> None:
        config, critic = self.config, self.critic
        assert isinstance(config, PPOConfig) and critic is not None and rollout.values is not None
        assert rollout.estimates.returns is not None
        groups, rows = batch
        mask = rollout.mask[rows]
        new = _flat(critic.values(groups))
        old, returns = rollout.values[rows][mask], rollout.estimates.returns[rows][mask]
        loss, clipped = estimators.ppo_value_loss(new, old, returns, clip=config.value_clip)
        (config.vf_coef * (loss * weights[rows][mask]).sum()).backward()
        sums["value_loss"] += float(loss.detach().sum()) / count
        sums["value_clip_fraction"] += float(clipped.float().sum()) / count

    def _mix_backward(self, size: int, place: int, sums: Sums) -> None:
        """The language-model loss of PPO-ptx (Ouyang et al. 2022, eq. 2) on the next `size` demonstrations."""
        assert isinstance(self.config, PPOConfig)
        groups = [self.mixed[(place * size + number) % len(self.mixed)] for number in range(size)]
        count = sum(len(response) for group in groups for response in group.responses)
        own = self.world.mine([group.tokens for group in groups])
        for indices in token_batches([groups[index] for index in own], self.actor.batch_tokens):
            with self.actor.autocast():
                logprobs = response_logprobs(self.actor.model, [groups[own[index]] for index in indices])
            loss = losses.sft_loss(_flat(logprobs)).sum() / count
            (self.config.ptx_coef * loss).backward()
            sums["ptx_loss"] += float(loss.detach())


def shared_out(items: list[int], parts: int) -> list[list[int]]:
    """`items` in `parts` runs whose sizes differ by at most one."""
    size, over = divmod(len(items), parts)
    found, first = [], 0
    for number in range(parts):
        last = first + size + (number < over)
        found.append(items[first:last])
        first = last
    return [part for part in found if part]


def added_up(parts: Sequence[Sums]) -> dict[str, float]:
    """The figures of a minibatch from those of its parts: sums, and the largest of what is a maximum."""
    names = dict.fromkeys(name for part in parts for name in part)
    return {
        name: (max if name == "ratio_error" else sum)(part[name] for part in parts if name in part) for name in names
    }


def _refuse(values: Tensor, what: str, prompts: Sequence[Prompt]) -> None:
    if not bool(torch.isfinite(values).all()):
        raise NotANumber(what, prompts)


def _flat(ragged: list[list[Tensor]]) -> Tensor:
    return torch.cat([values for responses in ragged for values in responses])
