"""Direct preference optimisation, K-wise: one forward of a comparison's K responses gives all of its edges."""

from __future__ import annotations

import hashlib
import json
import math
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from lm.checkpoint import load_state, save_state
from lm.optim import learning_rate_at, make_optimizer, set_learning_rate
from lm.prefix import Group, backbone, response_logprobs, token_batches
from rewardmodel.training.data import RANKINGS, Comparison, encode, read_rankings, sha256_of
from rewardmodel.training.evaluate import clustered_share
from rewardmodel.training.interrupt import Interrupted, interruptible
from rl.training.actor import Actor, load_actor, write_policy
from rl.training.config import DPOConfig
from rl.training.preferences import Preferences, Signal, counted_dimensions, preferences, signal
from rl.training.prompts import Prompt, encode_prompts, fitting_prompt_tokens
from rl.training.samples import show_samples, undisturbed
from runs.child import RunDir, Stopped, UserError, write_json

REFERENCE = "reference.json"


@dataclass(frozen=True)
class Example:
    """A comparison ready to learn from. `reference` [K]: log-probs of its responses under the reference."""

    comparison: Comparison
    group: Group
    wanted: Preferences
    reference: Tensor


def train_dpo(run: RunDir, config: DPOConfig) -> None:
    """Train on inputs {"dataset", "model", "adapter", "models_dir"} and leave a policy in `run.output`."""
    rankings = read_rankings(run.inputs["dataset"], tuple(counted_dimensions(config.dimension_weights)))
    run.progress(0, 0, "loading the model")
    actor = load_actor(config, run.inputs)
    train, test = prepare(run, config, actor, rankings.train), prepare(run, config, actor, rankings.test)
    if not train:
        raise UserError(
            "The dataset has no pair in its train split that counts: every response is unranked or tied. Collect more "
            "judgements, or turn soft labels on."
        )
    trainer = DPOTrainer(run, config, actor, train, test)
    try:
        with interruptible(backbone(actor.model), lambda: run.stop_requested):
            trainer.fit()
            run.progress(trainer.total_steps, trainer.total_steps, "measuring")
            measured = trainer.measure()
    except Interrupted:
        trainer.save()
        raise Stopped from None
    run.progress(trainer.total_steps, trainer.total_steps, "saving")
    dataset_sha256 = run.inputs.get("dataset_sha256") or sha256_of(Path(run.inputs["dataset"]) / RANKINGS)
    write_policy(run, actor, config, dimensions=list(rankings.dimensions), dataset_sha256=dataset_sha256)
    run.result(
        algorithm="dpo",
        **measured,
        comparisons={"train": len(train), "test": len(test)},
        dimensions=list(rankings.dimensions),
        interval="95% Wilson interval at the effective sample size, pairs clustered by prompt",
        steps=trainer.total_steps,
    )


def prepare(run: RunDir, config: DPOConfig, actor: Actor, comparisons: Sequence[Comparison]) -> list[Example]:
    """Tokenise the comparisons that have something to say, and ask the reference once about each."""
    kept, groups, prompts_cut, responses_cut = [], [], 0, 0
    for comparison in comparisons:
        wanted = preferences(comparison, config)
        if wanted is None:
            continue
        encoded = encode(
            comparison,
            actor.chat,
            max_prompt_tokens=config.max_prompt_tokens,
            max_response_tokens=config.max_response_tokens,
        )
        kept.append((comparison, wanted))
        groups.append(encoded.group)
        prompts_cut += encoded.prompt_cut
        responses_cut += encoded.responses_cut
    split = comparisons[0].split if comparisons else "test"
    run.log(f"Read the {split} split.", comparisons=len(kept), prompts_cut=prompts_cut, responses_cut=responses_cut)
    known = reference_logprobs(run, actor, groups, 4 * actor.batch_tokens, split)
    return [
        Example(comparison, group, wanted, torch.tensor(reference, device=actor.device))
        for (comparison, wanted), group, reference in zip(kept, groups, known, strict=True)
    ]


def reference_logprobs(
    run: RunDir, actor: Actor, groups: Sequence[Group], batch_tokens: int, split: str
) -> list[list[float]]:
    """Log-prob of every response under the reference, computed once per dataset and kept in the run directory."""
    path = run.path / f"{split}-{REFERENCE}"
    identity = json.dumps([actor.base, run.inputs.get("adapter"), [[g.prompt, g.responses] for g in groups]])
    fingerprint = hashlib.sha256(identity.encode()).hexdigest()
    if path.is_file():
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["fingerprint"] == fingerprint:
            return kept["logprobs"]
    found: list[list[float]] = [[] for _ in groups]
    done = 0
    try:
        with actor.reference() as model, interruptible(backbone(model), lambda: run.stop_requested), torch.no_grad():
            for indices in token_batches(groups, batch_tokens):
                with actor.autocast():
                    values = response_logprobs(model, [groups[index] for index in indices])
                for index, responses in zip(indices, values, strict=True):
                    found[index] = [float(tokens.double().sum()) for tokens in responses]
                done += len(indices)
                run.progress(done, len(groups), f"reference log-probs of the {split} split")
    except Interrupted:
        raise Stopped from None  # nothing is trained yet, so there is nothing to keep
    write_json(path, {"fingerprint": fingerprint, "logprobs": found})
    return found


class DPOTrainer:
    """The optimisation alone: it neither reads datasets nor saves the final policy."""

    def __init__(self, run: RunDir, config: DPOConfig, actor: Actor, train: list[Example], test: list[Example]) -> None:
        self.run, self.config, self.actor = run, config, actor
        self.train, self.test = train, test
        self.optimizer = make_optimizer(actor.parameters.values(), config.learning_rate, config.weight_decay)
        self.steps_per_epoch = math.ceil(len(train) / config.comparisons_per_step)
        self.total_steps = config.epochs * self.steps_per_epoch
        self.step = 0
        self._saved_step = -1
        self.samples = self._sample_prompts()

    def fit(self) -> None:
        """Train to the end, from the last checkpoint if there is one."""
        self._resume()
        if self.step == 0:
            self._show()
        while self.step < self.total_steps:
            self._one_step()
        self.save()

    def _one_step(self) -> None:
        began = time.monotonic()
        batch = self.batch_at(self.step)
        found, norm = self.learn(batch)
        self.step += 1
        seconds = max(time.monotonic() - began, 1e-9)
        self.run.metrics(
            self.step,
            **summary(found, batch),
            grad_norm=norm,
            learning_rate=self.optimizer.param_groups[0]["lr"],
            tokens_per_second=sum(item.group.tokens for item in batch) / seconds,
        )
        last = self.step == self.total_steps
        self.run.progress(self.step, self.total_steps, f"epoch {(self.step - 1) // self.steps_per_epoch + 1}")
        if self.step % self.config.checkpoint_every == 0:
            self.save()
        if self.config.evaluate_every and self.step % self.config.evaluate_every == 0 and not last:
            self._report_test(self._forward(self.test))
        if self.config.sample_every and (last or self.step % self.config.sample_every == 0):
            self._show()

    def batch_at(self, step: int) -> list[Example]:
        """The comparisons of a step: a function of seed and step alone, so that a resumed run sees the same ones."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order = list(range(len(self.train)))
        random.Random(f"{self.config.seed}/{epoch}").shuffle(order)  # noqa: S311
        size = self.config.comparisons_per_step
        return [self.train[index] for index in order[position * size : (position + 1) * size]]

    def learn(self, batch: Sequence[Example]) -> tuple[list[Signal], float]:
        """One optimizer step on `batch`, in as many forwards as its tokens need; the signals and the gradient norm.

        Each forward's loss is divided by the whole batch's weight: how the batch is cut does not change the step.
        """
        config = self.config
        rate = learning_rate_at(self.step, self.total_steps, config.warmup_ratio, config.schedule)
        set_learning_rate(self.optimizer, rate * config.learning_rate)
        torch.manual_seed(config.seed * 1_000_003 + self.step)  # dropout, the same whether or not the run was resumed
        self.actor.model.train()
        whole = sum(item.wanted.total for item in batch)
        found: dict[int, Signal] = {}
        for indices in token_batches([item.group for item in batch], self.actor.batch_tokens):
            self.actor.recompute(sum(batch[index].group.tokens for index in indices) > self.actor.batch_tokens)
            signals = self._signals([batch[index] for index in indices])
            (torch.stack([each.loss for each in signals]).sum() / whole).backward()
            found.update(zip(indices, (_detached(each) for each in signals), strict=True))
        self.actor.model.eval()
        norm = float(clip_grad_norm_(self.actor.parameters.values(), config.max_grad_norm))
        in_order = [found[index] for index in range(len(batch))]
        self._refuse_nonsense(batch, in_order, norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return in_order, norm

    def _signals(self, items: Sequence[Example]) -> list[Signal]:
        with self.actor.autocast():
            logprobs = response_logprobs(self.actor.model, [item.group for item in items])
        return [
            signal(torch.stack([tokens.sum() for tokens in responses]), item.reference, item.wanted, self.config)
            for item, responses in zip(items, logprobs, strict=True)
        ]

    def _refuse_nonsense(self, batch: Sequence[Example], found: Sequence[Signal], norm: float) -> None:
        finite = [bool(torch.isfinite(each.loss)) for each in found]
        if math.isfinite(norm) and all(finite):
            return
        self.optimizer.zero_grad(set_to_none=True)
        broken = [item for item, fine in zip(batch, finite, strict=True) if not fine] or list(batch)
        names = ", ".join(item.comparison.id for item in broken[:20])
        kept = self.run.latest_checkpoint()
        raise UserError(
            f"The {'gradient' if all(finite) else 'loss'} of step {self.step + 1} is not a number, on comparisons "
            f"{names}. "
            + (f"The checkpoint of step {kept[0]} is kept. " if kept else "")
            + f"Lower the learning rate (it is {self.config.learning_rate:g}) or look at these comparisons."
        )

    # measuring ------------------------------------------------------------------------------------------------------

    def measure(self) -> dict[str, object]:
        """Figures of result.json on the test split (or null without one), from the weights that are saved."""
        if not self.test:
            return {"test": None}
        found = self._forward(self.test)
        self._report_test(found)
        outcomes = [
            (item.comparison.prompt_key, outcome)
            for item, each in zip(self.test, found, strict=True)
            for outcome in each.outcomes
        ]
        share = clustered_share(outcomes)
        return {"test": {**summary(found, self.test), "accuracy": asdict(share) if share else None}}

    @torch.no_grad()
    def _forward(self, items: Sequence[Example]) -> list[Signal]:
        found: dict[int, Signal] = {}
        with undisturbed(self.actor.model):
            for indices in token_batches([item.group for item in items], 4 * self.actor.batch_tokens):
                signals = self._signals([items[index] for index in indices])
                found.update(zip(indices, signals, strict=True))
        return [found[index] for index in range(len(items))]

    def _report_test(self, found: Sequence[Signal]) -> None:
        if found:
            values = summary(found, self.test)
            self.run.metrics(self.step, **{f"test_{name}": value for name, value in values.items()})

    def _sample_prompts(self) -> list[Prompt]:
        """Held-out prompts where there are some: those show what was learnt rather than remembered."""
        distinct = {item.comparison.prompt_key: item.comparison for item in [*self.test, *self.train]}
        if not self.config.sample_every:
            return []
        chosen = [(each.id, each.prompt) for each in distinct.values()][: self.config.sample_prompts]
        longest = fitting_prompt_tokens(
            self.actor.model, self.config.max_prompt_tokens, self.config.sampling.max_tokens
        )
        return encode_prompts(chosen, self.actor.chat, longest)

    def _show(self) -> None:
        with undisturbed(self.actor.model):
            show_samples(self.run, self.actor, self.samples, self.config.sampling, self.step, self.config.seed)

    # keeping --------------------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Keep the last whole step."""
        self.optimizer.zero_grad(set_to_none=True)
        if self._saved_step == self.step:
            return

        def write(directory: Path) -> None:
            save_state(
                directory,
                parameters=self.actor.parameters,
                optimizers={"adamw": self.optimizer},
                meta={"step": self.step, "total_steps": self.total_steps},
            )

        self.run.save_checkpoint(self.step, write)
        self._saved_step = self.step

    def _resume(self) -> None:
        found = self.run.latest_checkpoint()
        if found is None:
            return
        try:
            meta, _ = load_state(found[1], parameters=self.actor.parameters, optimizers={"adamw": self.optimizer})
        except ValueError as error:
            raise UserError(f"{error} Start a new run instead of resuming this one.") from error
        if meta["total_steps"] != self.total_steps:
            raise UserError(
                f"The checkpoint of step {meta['step']} belongs to a training of {meta['total_steps']} steps, and this "
                f"one has {self.total_steps}: dataset or settings have changed. Start a new run."
            )
        self.step = self._saved_step = int(meta["step"])
        self.run.resumed(self.step)


def summary(found: Sequence[Signal], items: Sequence[Example]) -> dict[str, float]:
    """Loss per unit of weight, and over all decided edges: accuracy and the implicit rewards of both sides."""

    def mean(values: Iterable[float]) -> float:
        listed = list(values)
        return sum(listed) / len(listed) if listed else math.nan

    chosen = mean(value for each in found for value in each.chosen)
    rejected = mean(value for each in found for value in each.rejected)
    return {
        "loss": sum(float(each.loss) for each in found) / sum(item.wanted.total for item in items),
        "accuracy": mean(value for each in found for value in each.outcomes),
        "chosen_reward": chosen,
        "rejected_reward": rejected,
        "reward_margin": chosen - rejected,
    }


def _detached(each: Signal) -> Signal:
    return Signal(each.loss.detach(), each.outcomes, each.chosen, each.rejected)
