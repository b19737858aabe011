"""Learning from responses that are there already: one loop for SFT, DPO and its kin, and KTO.

One forward of a comparison's prompt serves all of its responses. What an algorithm is lies in its objective.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch.nn.utils import clip_grad_norm_

from lm.checkpoint import load_state, save_state
from lm.optim import learning_rate_at, make_optimizer, set_learning_rate
from lm.prefix import Group, backbone, response_logprobs, token_batches
from lm.processes import ALONE, World
from rewardmodel.training.data import RANKINGS, Comparison, encode, read_rankings, sha256_of
from rewardmodel.training.evaluate import clustered_share
from rewardmodel.training.interrupt import Interrupted, interruptible
from rl.training.actor import Actor, load_actor, write_card, write_policy
from rl.training.best import Best
from rl.training.config import OfflineSettings
from rl.training.objectives import Example, Objective, Signal, objective_of
from rl.training.preferences import counted_dimensions
from rl.training.prompts import Prompt, encode_prompts, fitting_prompt_tokens
from rl.training.samples import show_samples, undisturbed
from runs.child import RunDir, Stopped, UserError, write_json

REFERENCE = "reference.json"


def train_offline(run: RunDir, config: OfflineSettings, world: World = ALONE) -> None:
    """Train on inputs {"dataset", "model", "adapter", "models_dir"} and leave a policy in `run.output`.

    Of several processes all train and measure, and the main one saves.
    """
    rankings = read_rankings(run.inputs["dataset"], tuple(counted_dimensions(config.dimension_weights)))
    run.progress(0, 0, "loading the model")
    actor = load_actor(config, run.inputs)
    objective = objective_of(config)
    train, test = (prepare(run, config, objective, actor, split, world) for split in (rankings.train, rankings.test))
    if not train:
        raise UserError(
            f"The dataset has nothing in its train split that counts: {objective.nothing}. Collect more judgements"
            + (", or turn soft labels on." if "soft_labels" in run.config else ".")
        )
    trainer = OfflineTrainer(run, config, objective, actor, train, test, world)
    try:
        with interruptible(backbone(actor.model), lambda: run.stop_requested):
            trainer.fit()
            run.progress(trainer.total_steps, trainer.total_steps, "measuring")
            measured = trainer.measure()
    except Interrupted:
        trainer.save()
        raise Stopped from None
    if not run.is_main:
        return
    run.progress(trainer.total_steps, trainer.total_steps, "saving")
    dataset_sha256 = run.inputs.get("dataset_sha256") or sha256_of(Path(run.inputs["dataset"]) / RANKINGS)
    write_policy(
        run,
        actor,
        config,
        dimensions=list(rankings.dimensions),
        dataset_sha256=dataset_sha256,
        step=trainer.saved_step,
    )
    result = {
        "algorithm": run.config["algorithm"],
        **measured,
        "comparisons": {"train": len(train), "test": len(test)},
        "dimensions": list(rankings.dimensions),
        "interval": "95% Wilson interval at the effective sample size, pairs clustered by prompt",
        "steps": trainer.total_steps,
        "saved_step": trainer.saved_step,
        "memory": actor.memory(),
    }
    write_card(run, result)
    run.result(**result)


def prepare(
    run: RunDir,
    config: OfflineSettings,
    objective: Objective,
    actor: Actor,
    comparisons: Sequence[Comparison],
    world: World,
) -> list[Example]:
    """Tokenise the comparisons that have something to say, and ask the reference once about each."""
    drafts, prompts_cut, responses_cut = [], 0, 0
    for comparison in comparisons:
        lesson = objective.lesson(comparison)
        if lesson is None:
            continue
        encoded = encode(
            comparison,
            actor.chat,
            max_prompt_tokens=config.max_prompt_tokens,
            max_response_tokens=config.max_response_tokens,
        )
        group = Group(encoded.group.prompt, [encoded.group.responses[number] for number in lesson.keep])
        drafts.append((comparison, group, lesson))
        prompts_cut += encoded.prompt_cut
        responses_cut += encoded.responses_cut
    split = comparisons[0].split if comparisons else "test"
    run.log(f"Read the {split} split.", comparisons=len(drafts), prompts_cut=prompts_cut, responses_cut=responses_cut)

    def ask_reference(groups: Sequence[Group], part: str) -> list[list[float]]:
        return reference_logprobs(run, actor, groups, 4 * actor.batch_tokens, part, world)

    references: Sequence[torch.Tensor | None] = [None] * len(drafts)
    if objective.needs_reference:
        known = ask_reference([group for _, group, _ in drafts], split)
        references = [torch.tensor(each, device=actor.device) for each in known]
    examples = [
        Example(comparison, group, lesson, objective.weight(lesson, group), reference)
        for (comparison, group, lesson), reference in zip(drafts, references, strict=True)
    ]
    return objective.complete(examples, lambda groups: ask_reference(groups, f"{split}-other"))


def reference_logprobs(
    run: RunDir, actor: Actor, groups: Sequence[Group], batch_tokens: int, split: str, world: World = ALONE
) -> list[list[float]]:
    """Log-prob of every response under the reference, computed once per dataset and kept in the run directory."""
    path = run.path / f"{split}-{REFERENCE}"
    identity = json.dumps([actor.base, run.inputs.get("adapter"), [[g.prompt, g.responses] for g in groups]])
    fingerprint = hashlib.sha256(identity.encode()).hexdigest()
    if path.is_file():
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["fingerprint"] == fingerprint:
            return kept["logprobs"]

    def ask(own: list[int]) -> list[list[float]]:
        def tell(done: int) -> None:
            run.progress(done, len(own), f"reference log-probs of the {split} split")

        with actor.reference() as model, interruptible(backbone(model), lambda: run.stop_requested), torch.no_grad():
            return summed_logprobs(actor, model, [groups[index] for index in own], batch_tokens, tell)

    try:
        found = world.share([group.tokens for group in groups], ask, leaving=Interrupted)
    except Interrupted:
        raise Stopped from None  # nothing is trained yet, so there is nothing to keep
    if run.is_main:
        write_json(path, {"fingerprint": fingerprint, "logprobs": found})
    return found


def summed_logprobs(
    actor: Actor,
    model: Any,
    groups: Sequence[Group],
    batch_tokens: int,
    tell: Callable[[int], None] = lambda done: None,
) -> list[list[float]]:
    """Log-prob of every response, summed over its tokens, in batches that fit. `tell` hears how many are done."""
    found: list[list[float]] = [[] for _ in groups]
    done = 0
    for indices in token_batches(groups, batch_tokens):
        with actor.autocast():
            values = response_logprobs(model, [groups[index] for index in indices])
        for index, responses in zip(indices, values, strict=True):
            found[index] = [float(tokens.double().sum()) for tokens in responses]
        done += len(indices)
        tell(done)
    return found


class OfflineTrainer:
    """The optimisation alone: it neither reads datasets nor saves the final policy."""

    def __init__(
        self,
        run: RunDir,
        config: OfflineSettings,
        objective: Objective,
        actor: Actor,
        train: list[Example],
        test: list[Example],
        world: World = ALONE,
    ) -> None:
        self.run, self.config, self.objective, self.actor = run, config, objective, actor
        self.train, self.test = train, test
        self.world = world
        self.optimizer = make_optimizer(actor.parameters.values(), config.learning_rate, config.weight_decay)
        self.steps_per_epoch = math.ceil(len(train) / config.comparisons_per_step)
        self.total_steps = config.epochs * self.steps_per_epoch
        self.best = Best(run.path, actor.parameters, writes=run.is_main)
        self.step = self.saved_step = 0
        self._saved_step = -1
        self.samples = self._sample_prompts()

    def fit(self) -> None:
        """Train to the end, from the last checkpoint if there is one, and go back to the best step if wanted."""
        self._resume()
        if self.step == 0:
            self._show()
        while self.step < self.total_steps:
            self._one_step()
        self.save()
        self.saved_step = self.step
        if self.config.save == "best" and self.test:
            self._evaluate()
            self.world.any(False)  # nobody reads the best weights before the main process has written them
            self.saved_step = self.best.restore()

    def _one_step(self) -> None:
        began = time.monotonic()
        batch = self.batch_at(self.step)
        found, norm, context = self.learn(batch)
        self.step += 1
        seconds = max(time.monotonic() - began, 1e-9)
        self.run.metrics(
            self.step,
            **self.objective.summary(found, batch, context),
            grad_norm=norm,
            learning_rate=self.optimizer.param_groups[0]["lr"],
            tokens_per_second=sum(item.group.tokens for item in batch) / seconds,
        )
        last = self.step == self.total_steps
        self.run.progress(self.step, self.total_steps, f"epoch {(self.step - 1) // self.steps_per_epoch + 1}")
        if self.config.evaluate_every and self.step % self.config.evaluate_every == 0 and not last:
            self._evaluate()
        # Measured first: a checkpoint knows which weights were the best.
        if self.step % self.config.checkpoint_every == 0:
            self.save()
        if self.config.sample_every and (last or self.step % self.config.sample_every == 0):
            self._show()

    def batch_at(self, step: int) -> list[Example]:
        """The comparisons of a step: a function of seed and step alone, so that a resumed run sees the same ones."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order = list(range(len(self.train)))
        random.Random(f"{self.config.seed}/{epoch}").shuffle(order)  # noqa: S311
        size = self.config.comparisons_per_step
        return [self.train[index] for index in order[position * size : (position + 1) * size]]

    def learn(self, batch: Sequence[Example]) -> tuple[list[Signal], float, Any]:
        """One optimizer step on `batch`, in as many forwards as its tokens need: signals, gradient norm, context.

        Each forward's loss is divided by the whole batch's weight: how the batch is cut, and shared out over processes,
        does not change the step.
        """
        config, world = self.config, self.world
        rate = learning_rate_at(self.step, self.total_steps, config.warmup_ratio, config.schedule)
        set_learning_rate(self.optimizer, rate * config.learning_rate)
        context = self.objective.context(batch, self._ask)
        # Dropout, the same whether or not the run was resumed.
        torch.manual_seed((config.seed * 1_000_003 + self.step) * world.size + world.rank)
        self.actor.model.train()
        whole = sum(item.weight for item in batch)
        costs = [item.group.tokens for item in batch]
        found = world.share(
            costs, lambda own: self._backward([batch[i] for i in own], context, whole), leaving=Interrupted
        )
        self.actor.model.eval()
        world.sum_gradients(self.actor.parameters.values())
        norm = float(clip_grad_norm_(self.actor.parameters.values(), config.max_grad_norm))
        self._refuse_nonsense(batch, found, norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return found, norm, context

    def _backward(self, items: Sequence[Example], context: Any, whole: float) -> list[Signal]:
        """Add the gradients of `items` to those that are there, as a part of a batch that weighs `whole`."""
        found: dict[int, Signal] = {}
        for indices in token_batches([item.group for item in items], self.actor.batch_tokens):
            self.actor.recompute(sum(items[index].group.tokens for index in indices) > self.actor.batch_tokens)
            signals = self._signals([items[index] for index in indices], context)
            (torch.stack([each.loss for each in signals]).sum() / whole).backward()
            found.update(zip(indices, (each.detached() for each in signals), strict=True))
        return [found[index] for index in range(len(items))]

    def _signals(self, items: Sequence[Example], context: Any) -> list[Signal]:
        with self.actor.autocast():
            logprobs = response_logprobs(self.actor.model, [item.group for item in items])
        return [
            self.objective.signal(item, responses, context) for item, responses in zip(items, logprobs, strict=True)
        ]

    def _ask(self, groups: Sequence[Group]) -> list[list[float]]:
        def ask(own: list[int]) -> list[list[float]]:
            asked = [groups[index] for index in own]
            return summed_logprobs(self.actor, self.actor.model, asked, 4 * self.actor.batch_tokens)

        with torch.no_grad(), undisturbed(self.actor.model):
            return self.world.share([group.tokens for group in groups], ask, leaving=Interrupted)

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
        found, context = self._forward(self.test)
        figures = self._report_test(found, context)
        outcomes = [
            (item.comparison.prompt_key, outcome)
            for item, each in zip(self.test, found, strict=True)
            for outcome in each.outcomes
        ]
        share = clustered_share(outcomes)
        if "accuracy" not in figures:
            return {"test": figures}
        return {"test": {**figures, "accuracy": asdict(share) if share else None}}

    def _evaluate(self) -> None:
        if self.test:
            figures = self._report_test(*self._forward(self.test))
            if self.config.save == "best":
                self.best.offer(self.step, -figures["loss"])

    @torch.no_grad()
    def _forward(self, items: Sequence[Example]) -> tuple[list[Signal], Any]:
        def ask(own: list[int]) -> list[Signal]:
            groups = [items[index].group for index in own]
            found: dict[int, Signal] = {}
            for indices in token_batches(groups, 4 * self.actor.batch_tokens):
                signals = self._signals([items[own[index]] for index in indices], context)
                found.update(zip(indices, (each.detached() for each in signals), strict=True))
            return [found[index] for index in range(len(own))]

        with undisturbed(self.actor.model):
            context = self.objective.context(items, self._ask)
            return self.world.share([item.group.tokens for item in items], ask, leaving=Interrupted), context

    def _report_test(self, found: Sequence[Signal], context: Any) -> dict[str, float]:
        values = self.objective.summary(found, self.test, context)
        self.run.metrics(self.step, **{f"test_{name}": value for name, value in values.items()})
        return values

    def _sample_prompts(self) -> list[Prompt]:
        """Held-out prompts where there are some: those show what was learnt rather than remembered."""
        distinct = {item.comparison.prompt_key: item.comparison for item in [*self.test, *self.train]}
        if not self.config.sample_every:
            return []
        chosen = [(each.id, each.prompt, None) for each in distinct.values()][: self.config.sample_prompts]
        longest = fitting_prompt_tokens(
            self.actor.model, self.config.max_prompt_tokens, self.config.sampling.max_tokens
        )
        return encode_prompts(chosen, self.actor.chat, longest)

    def _show(self) -> None:
        with undisturbed(self.actor.model):
            show_samples(
                self.run, self.actor, self.samples, self.config.sampling, self.step, self.config.seed, world=self.world
            )

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
                meta={"step": self.step, "total_steps": self.total_steps, "best": self.best.state()},
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
        self.best.resume(meta.get("best"))
        self.run.resumed(self.step)
