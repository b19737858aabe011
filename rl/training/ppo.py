"""PPO against a reward model, as InstructGPT does it (Ouyang et al. 2022).

The details follow 'The N implementation details of RLHF with PPO' (Huang et al. 2023). A step samples responses,
scores them, and updates policy and critic for a few epochs of minibatches; weights change nowhere else.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from lm.checkpoint import load_state, save_state
from lm.config import Sampling
from lm.optim import learning_rate_at, make_optimizer, set_learning_rate
from lm.prefix import Group, backbone, response_statistics, token_batches
from rewardmodel.training.interrupt import Interrupted, interruptible
from rl.training import estimators
from rl.training.actor import Actor, load_actor, write_policy
from rl.training.config import PPOConfig
from rl.training.prompts import Prompt, deal, encode_prompts, fitting_prompt_tokens, read_prompts
from rl.training.rewards import Rewards
from rl.training.rollout import Rollout, roll_out
from rl.training.samples import show_samples
from runs.child import RunDir, Stopped, UserError

ADAM_EPS = 1e-5


def train_ppo(run: RunDir, config: PPOConfig) -> None:
    """Train on inputs {"prompts", "reward_model", "model", "adapter", "models_dir"}; leave a policy in `run.output`."""
    raw = read_prompts(run.inputs["prompts"])
    run.progress(0, config.steps, "loading the models")
    rewards = Rewards.load(run.inputs["reward_model"], config.dimension_weights)
    actor = load_actor(config, run.inputs, keep_reference=True)
    longest = fitting_prompt_tokens(actor.model, config.max_prompt_tokens, config.max_response_tokens)
    prompts = encode_prompts(raw, actor.chat, longest)
    run.log("Read the prompts.", prompts=len(prompts), prompts_cut=sum(prompt.cut for prompt in prompts))
    trainer = PPOTrainer(run, config, actor, rewards, prompts)
    try:
        with trainer.interruptible():
            trainer.fit()
    except Interrupted:
        trainer.save_if_whole()
        raise Stopped from None
    run.progress(config.steps, config.steps, "saving")
    write_policy(run, actor, config, dimensions=list(rewards.dimensions), reward_weights=rewards.weights)
    run.result(
        algorithm="ppo",
        steps=config.steps,
        prompts=len(prompts),
        prompts_cut=sum(prompt.cut for prompt in prompts),
        dimensions=list(rewards.dimensions),
        first=trainer.first,
        last=trainer.last,
    )


class PPOTrainer:
    """The optimisation alone: it neither reads files nor saves the final policy."""

    def __init__(
        self, run: RunDir, config: PPOConfig, actor: Actor, rewards: Rewards, prompts: Sequence[Prompt]
    ) -> None:
        self.run, self.config, self.actor, self.rewards = run, config, actor, rewards
        self.prompts = list(prompts)
        self.policy_parameters = dict(actor.parameters)
        self.critic = actor.add_critic(config)
        self.parameters = self.policy_parameters | {f"critic.{k}": v for k, v in self.critic.parameters.items()}
        for parameter in self.parameters.values():  # PEFT switches off whoever is not worn
            parameter.requires_grad_(True)
        self.optimizer = make_optimizer(
            self.parameters.values(), config.learning_rate, config.weight_decay, eps=ADAM_EPS
        )
        self.kl_coef = config.kl_coef
        self.step = 0
        self.first: dict[str, float] = {}
        self.last: dict[str, float] = {}
        self._saved_step = -1
        self._whole = True  # whether the weights are those of the end of a step

    def interruptible(self):  # type: ignore[no-untyped-def]
        return interruptible(backbone(self.actor.model), lambda: self.run.stop_requested)

    def fit(self) -> None:
        """Train to the end, from the last checkpoint if there is one."""
        self._resume()
        if self.step == 0:
            self._show()
        while self.step < self.config.steps:
            self._one_step()
        self.save()

    def _one_step(self) -> None:
        config, began = self.config, time.monotonic()
        self.run.progress(self.step, config.steps, "sampling")
        chosen = [self.prompts[i] for i in deal(len(self.prompts), self.step, config.prompts_per_step, config.seed)]
        rollout = roll_out(
            self.actor,
            self.critic,
            self.rewards,
            chosen,
            config,
            self.step,
            self.kl_coef,
            stop=lambda: self.run.stop_requested,
        )
        self._refuse_nonsense(rollout, rollout.prompts, rollout.advantages, "advantages")
        self.run.progress(self.step, config.steps, "updating")
        self._whole = False
        updating = time.monotonic()
        figures = self.update(rollout)
        rollout.seconds["update"] = time.monotonic() - updating
        described = describe(rollout, self.rewards.dimensions)
        values = described | figures | {"kl_coef": self.kl_coef}
        if config.kl_control == "adaptive":
            self.kl_coef = estimators.adapted_kl_coef(
                self.kl_coef,
                described["kl"],
                target=config.kl_target,
                horizon=config.kl_horizon,
                responses=len(rollout.samples),
            )
        self.step += 1
        self._whole = True
        self.first = self.first or values
        self.last = values
        total = time.monotonic() - began
        timings = {f"seconds/{phase}": spent for phase, spent in rollout.seconds.items()}
        self.run.metrics(self.step, **values, **timings, **{"seconds/step": total})
        self.run.progress(self.step, config.steps, f"reward {values['reward']:.2f}, KL {values['kl']:.2f}")
        if self.step % config.checkpoint_every == 0:
            self.save()
        if config.sample_every and (self.step == config.steps or self.step % config.sample_every == 0):
            self._show()

    # the update -----------------------------------------------------------------------------------------------------

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Epochs of minibatches over one rollout. Returns the means of their figures."""
        config = self.config
        rate = learning_rate_at(self.step, config.steps, config.warmup_ratio, config.schedule) * config.learning_rate
        set_learning_rate(self.optimizer, rate)
        sums: dict[str, list[float]] = defaultdict(list)
        for epoch in range(config.epochs):
            order = list(range(len(rollout.groups)))
            random.Random(f"{config.seed}/{self.step}/{epoch}").shuffle(order)  # noqa: S311
            for part in _shared_out(order, config.minibatches):
                for name, value in self.learn(rollout, part).items():
                    sums[name].append(value)
        means = {name: sum(values) / len(values) for name, values in sums.items()}
        # How far the update's first forward is from the sampler: nothing has moved yet, so this is arithmetic alone.
        means["first_ratio_error"] = sums["ratio_error"][0]
        del means["ratio_error"]
        return means | {"learning_rate": rate}

    def learn(self, rollout: Rollout, part: Sequence[int]) -> dict[str, float]:
        """One optimizer step of policy and critic on the groups `part`, in as many forwards as their tokens need.

        Losses are means over the response tokens of the whole minibatch, however it is cut.
        """
        config = self.config
        groups = [rollout.groups[index] for index in part]
        rows = [rollout.rows(index) for index in part]
        count = sum(len(response) for group in groups for response in group.responses)
        sums: dict[str, float] = defaultdict(float)
        batches = [
            ([groups[i] for i in indices], [row for i in indices for row in rows[i]])
            for indices in token_batches(groups, self.actor.batch_tokens)
        ]
        for batch, chosen in batches:
            self._policy_backward(rollout, batch, chosen, count, sums)
        with self.critic.worn():
            for batch, chosen in batches:
                self._critic_backward(rollout, batch, chosen, count, sums)
        norms = {
            "grad_norm": clip_grad_norm_(self.policy_parameters.values(), config.max_grad_norm),
            "critic_grad_norm": clip_grad_norm_(self.critic.parameters.values(), config.max_grad_norm),
        }
        prompts = [rollout.prompts[index] for index in part]
        loss = torch.tensor([sums["policy_loss"], sums["value_loss"]])
        self._refuse_nonsense(rollout, prompts, loss, "loss")
        self._refuse_nonsense(rollout, prompts, torch.stack([norm.cpu() for norm in norms.values()]), "gradient")
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return dict(sums) | {name: float(norm) for name, norm in norms.items()}

    def _policy_backward(
        self, rollout: Rollout, groups: list[Group], rows: list[int], count: int, sums: dict[str, float]
    ) -> None:
        config = self.config
        with self.actor.autocast():
            logprobs, entropies = response_statistics(self.actor.model, groups, temperature=config.temperature)
        new = _flat(logprobs)
        mask = rollout.mask[rows]
        old, advantages = rollout.old[rows][mask], rollout.advantages[rows][mask]
        loss, clipped = estimators.ppo_policy_loss(new, old, advantages, clip=config.ratio_clip)
        (loss.sum() / count).backward()
        moved = new.detach()
        sums["policy_loss"] += float(loss.detach().sum()) / count
        sums["clip_fraction"] += float(clipped.float().sum()) / count
        sums["entropy"] += float(_flat(entropies).sum()) / count
        sums["update_kl"] += float(estimators.kl_k3(old, moved).sum()) / count
        sums["ratio_error"] = max(sums["ratio_error"], float(torch.expm1(moved - old).abs().max()))

    def _critic_backward(
        self, rollout: Rollout, groups: list[Group], rows: list[int], count: int, sums: dict[str, float]
    ) -> None:
        config = self.config
        mask = rollout.mask[rows]
        new = _flat(self.critic.values(groups))
        old, returns = rollout.values[rows][mask], rollout.returns[rows][mask]
        loss, clipped = estimators.ppo_value_loss(new, old, returns, clip=config.value_clip)
        (config.vf_coef * loss.sum() / count).backward()
        sums["value_loss"] += float(loss.detach().sum()) / count
        sums["value_clip_fraction"] += float(clipped.float().sum()) / count

    def _refuse_nonsense(self, rollout: Rollout, prompts: Sequence[Prompt], values: Tensor, what: str) -> None:
        if bool(torch.isfinite(values).all()):
            return
        self.optimizer.zero_grad(set_to_none=True)
        kept = self.run.latest_checkpoint()
        names = ", ".join(dict.fromkeys(prompt.id for prompt in prompts[:20]))
        raise UserError(
            f"The {what} of step {self.step + 1} is not a number, on prompts {names}. "
            + (f"The checkpoint of step {kept[0]} is kept. " if kept else "")
            + f"Lower the learning rate (it is {self.config.learning_rate:g}), or raise the KL coefficient."
        )

    # showing and keeping --------------------------------------------------------------------------------------------

    def _show(self) -> None:
        config = self.config
        if not config.sample_every:
            return
        sampling = Sampling(temperature=config.temperature, top_p=1.0, max_tokens=config.max_response_tokens)
        chosen = self.prompts[: config.sample_prompts]
        show_samples(self.run, self.actor, chosen, sampling, self.step, config.seed, self._rewards_of)

    def _rewards_of(self, prompts: list[Prompt], texts: list[str]) -> list[float]:
        conversations = [(prompt.messages, [text]) for prompt, text in zip(prompts, texts, strict=True)]
        rows = self.rewards.by_dimension(
            conversations, batch_tokens=4 * self.actor.batch_tokens, stop=lambda: self.run.stop_requested
        )
        return [self.rewards.combine(row) for [row] in rows]

    def save_if_whole(self) -> None:
        """Keep the last whole step, unless an update was interrupted in its middle: then the last checkpoint stands."""
        self.optimizer.zero_grad(set_to_none=True)
        if self._whole:
            self.save()

    def save(self) -> None:
        if self._saved_step == self.step:
            return

        def write(directory: Path) -> None:
            save_state(
                directory,
                parameters=self.parameters,
                optimizers={"adamw": self.optimizer},
                meta={
                    "step": self.step,
                    "steps": self.config.steps,
                    "kl_coef": self.kl_coef,
                    "prompts": len(self.prompts),
                    "first": self.first,
                    "last": self.last,
                },
            )

        self.run.save_checkpoint(self.step, write)
        self._saved_step = self.step

    def _resume(self) -> None:
        found = self.run.latest_checkpoint()
        if found is None:
            return
        try:
            meta, _ = load_state(found[1], parameters=self.parameters, optimizers={"adamw": self.optimizer})
        except ValueError as error:
            raise UserError(f"{error} Start a new run instead of resuming this one.") from error
        if (meta["steps"], meta["prompts"]) != (self.config.steps, len(self.prompts)):
            raise UserError(
                f"The checkpoint of step {meta['step']} is of {meta['steps']} steps over {meta['prompts']} prompts, "
                f"and this run has {self.config.steps} over {len(self.prompts)}. Start a new run."
            )
        self.step = self._saved_step = int(meta["step"])
        self.kl_coef = float(meta["kl_coef"])
        self.first, self.last = meta["first"], meta["last"]
        self.run.resumed(self.step)


def describe(rollout: Rollout, dimensions: Sequence[str]) -> dict[str, float]:
    """What a rollout was like, before any update; see docs/metrics.md for each name."""
    mask, count = rollout.mask, len(rollout.samples)
    finished = torch.tensor([float(each.finished) for each in rollout.samples])
    lengths = mask.sum(1).float()
    rewards = torch.tensor(rollout.rewards)
    return {
        "reward": float(rollout.plain_rewards.mean()),
        "reward_std": float(rollout.plain_rewards.std(correction=0)),
        **{f"reward/{name}": float(rewards[:, column].mean()) for column, name in enumerate(dimensions)},
        "kl": float(estimators.kl_k1(rollout.old, rollout.reference)[mask].sum()) / count,
        "kl_k3": float(estimators.kl_k3(rollout.old, rollout.reference)[mask].sum()) / count,
        # What the sampler and the trainer disagree about: rounding, or a defect.
        "sampler_error": float((rollout.sampled - rollout.old)[mask].abs().mean()),
        "response_tokens": float(lengths.mean()),
        "eos_rate": float(finished.mean()),
        "value_mean": float(estimators.masked_mean(rollout.values, mask)),
        "explained_variance": estimators.explained_variance(rollout.values, rollout.returns, mask),
    }


def _flat(ragged: list[list[Tensor]]) -> Tensor:
    return torch.cat([values for responses in ragged for values in responses])


def _shared_out(items: list[int], parts: int) -> list[list[int]]:
    """`items` in `parts` runs whose sizes differ by at most one."""
    size, over = divmod(len(items), parts)
    found, first = [], 0
    for number in range(parts):
        last = first + size + (number < over)
        found.append(items[first:last])
        first = last
    return [part for part in found if part]
