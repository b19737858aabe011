"""Training a reward model: from a dataset version and a policy to a directory of weights with reward.json."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from lm.adapters import trainable
from lm.checkpoint import load_state, save_state
from lm.optim import learning_rate_at, make_optimizer, set_learning_rate
from lm.prefix import token_batches
from rewardmodel.training import losses
from rewardmodel.training.config import RewardConfig
from rewardmodel.training.data import Comparison, Encoded
from rewardmodel.training.evaluate import accuracy, pair_outcomes
from rewardmodel.training.interrupt import Interrupted, interruptible
from rewardmodel.training.model import RewardNet, batch_tokens, saved_dtype
from runs.child import RunDir, Stopped, UserError


@dataclass(frozen=True)
class StepReport:
    """What one optimizer step saw."""

    loss: float
    outcomes: list[float]
    scores: list[float]
    grad_norm: float
    tokens: int


class Trainer:
    """The optimisation alone: it neither reads datasets nor saves the final model."""

    def __init__(self, run: RunDir, config: RewardConfig, net: RewardNet, train: list[Encoded], test: list[Encoded]):
        self.run, self.config, self.net = run, config, net
        self.train, self.test = train, test
        self.parameters = trainable(net.classifier)
        self.optimizer = make_optimizer(self.parameters.values(), config.learning_rate, config.weight_decay)
        self.steps_per_epoch = math.ceil(len(train) / config.comparisons_per_step)
        self.total_steps = config.epochs * self.steps_per_epoch
        self.batch_tokens = batch_tokens(config)
        self.step = 0
        self._saved_step = -1

    def fit(self) -> None:
        """Train to the end, from the last checkpoint if there is one.

        Raises Stopped, with a checkpoint of the last whole step saved, within seconds of a request to stop.
        """
        self._resume()
        try:
            with interruptible(self.net.classifier.base_model, lambda: self.run.stop_requested):
                while self.step < self.total_steps:
                    self._one_step()
        except Interrupted:
            self.optimizer.zero_grad(set_to_none=True)
            self._save()
            raise Stopped from None
        self._save()

    def _one_step(self) -> None:
        began = time.monotonic()
        batch = self.batch_at(self.step)
        report = self.learn(batch)
        self.step += 1
        seconds = max(time.monotonic() - began, 1e-9)
        self.run.metrics(
            self.step,
            loss=report.loss,
            accuracy=sum(report.outcomes) / len(report.outcomes) if report.outcomes else math.nan,
            score_mean=sum(report.scores) / len(report.scores),
            grad_norm=report.grad_norm,
            learning_rate=self.optimizer.param_groups[0]["lr"],
            tokens_per_second=report.tokens / seconds,
        )
        self.run.progress(self.step, self.total_steps, f"epoch {self.epoch_of(self.step - 1) + 1}")
        every = self.config.evaluate_every
        if every and self.step % every == 0 and self.step < self.total_steps and self.test:
            self._evaluate()
        if self.step % self.config.checkpoint_every == 0:
            self._save()

    # what a step learns from ----------------------------------------------------------------------------------------

    def epoch_of(self, step: int) -> int:
        return step // self.steps_per_epoch

    def batch_at(self, step: int) -> list[Encoded]:
        """The comparisons of a step: a function of seed and step alone, so that a resumed run sees the same ones."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order = shuffled(len(self.train), self.config.seed * 1_000_003 + epoch)
        size = self.config.comparisons_per_step
        return [self.train[index] for index in order[position * size : (position + 1) * size]]

    def learn(self, batch: Sequence[Encoded]) -> StepReport:
        """One optimizer step on `batch`, in as many forwards as its tokens need.

        The loss is the weighted mean over all comparisons and dimensions of the batch, so each forward's share is
        divided by the whole batch's weight: how the batch is cut does not change the step.
        """
        config = self.config
        rate = learning_rate_at(self.step, self.total_steps, config.warmup_ratio, config.schedule)
        set_learning_rate(self.optimizer, rate * config.learning_rate)
        torch.manual_seed(config.seed * 1_000_003 + self.step)  # dropout, the same whether or not the run was resumed
        self.net.classifier.train()
        whole = sum(losses.comparison_weight(edges) for item in batch for edges in item.comparison.edges.values())
        groups = [item.group for item in batch]
        parts: dict[int, Tensor] = {}
        seen: dict[int, Tensor] = {}
        for indices in token_batches(groups, self.batch_tokens):
            self.net.recompute(sum(groups[index].tokens for index in indices) > self.batch_tokens)
            with self._autocast():
                scores = self.net.scores([groups[index] for index in indices])
            for index, values in zip(indices, scores, strict=True):
                parts[index] = comparison_loss(values, batch[index].comparison, self.net.dimensions, config) / whole
                seen[index] = values.detach()
            torch.stack([parts[index] for index in indices]).sum().backward()
            parts.update({index: parts[index].detach() for index in indices})
        norm = clip_grad_norm_(self.parameters.values(), config.max_grad_norm)
        shares = torch.stack([parts[index] for index in range(len(batch))]).tolist()
        self._refuse_nonsense(batch, shares, float(norm))
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        rows = [seen[index].tolist() for index in range(len(batch))]
        return StepReport(
            loss=sum(shares),
            outcomes=[
                outcome
                for item, values in zip(batch, rows, strict=True)
                for column, dimension in enumerate(self.net.dimensions)
                for outcome in pair_outcomes([row[column] for row in values], item.comparison.edges.get(dimension, ()))
            ],
            scores=[value for values in rows for row in values for value in row],
            grad_norm=float(norm),
            tokens=sum(group.tokens for group in groups),
        )

    def _autocast(self) -> torch.autocast:
        dtype = saved_dtype(self.config)
        device = self.net.classifier.device.type
        return torch.autocast(device, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16)

    def _refuse_nonsense(self, batch: Sequence[Encoded], shares: Sequence[float], norm: float) -> None:
        if math.isfinite(norm) and all(map(math.isfinite, shares)):
            return
        self.optimizer.zero_grad(set_to_none=True)
        broken = [item for item, share in zip(batch, shares, strict=True) if not math.isfinite(share)] or list(batch)
        names = ", ".join(item.comparison.id for item in broken[:20])
        what = "loss" if len(broken) < len(batch) or not all(map(math.isfinite, shares)) else "gradient"
        kept = self.run.latest_checkpoint()
        raise UserError(
            f"The {what} of step {self.step + 1} is not a number, on comparisons {names}. "
            + (f"The checkpoint of step {kept[0]} is kept. " if kept else "")
            + f"Lower the learning rate (it is {self.config.learning_rate:g}) or look at these comparisons."
        )

    # measuring and keeping ------------------------------------------------------------------------------------------

    @torch.no_grad()
    def _evaluate(self) -> None:
        self.net.classifier.eval()
        groups = [item.group for item in self.test]
        scores: list[Tensor] = [torch.empty(0)] * len(groups)
        for indices in token_batches(groups, 4 * self.batch_tokens):
            with self._autocast():
                for index, values in zip(indices, self.net.scores([groups[i] for i in indices]), strict=True):
                    scores[index] = values
        comparisons = [item.comparison for item in self.test]
        found = accuracy(comparisons, [values.tolist() for values in scores], self.net.dimensions)
        loss = mean_loss(scores, comparisons, self.net.dimensions, self.config)
        by_dimension = {f"test_accuracy/{dimension}": each["value"] for dimension, each in found.items()}
        self.run.metrics(self.step, test_loss=loss, **by_dimension)

    def _save(self) -> None:
        if self._saved_step == self.step:
            return

        def write(directory: Path) -> None:
            save_state(
                directory,
                parameters=self.parameters,
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
            meta, _ = load_state(found[1], parameters=self.parameters, optimizers={"adamw": self.optimizer})
        except ValueError as error:
            raise UserError(f"{error} Start a new run instead of resuming this one.") from error
        if meta["total_steps"] != self.total_steps:
            raise UserError(
                f"The checkpoint of step {meta['step']} belongs to a training of {meta['total_steps']} steps, and this "
                f"one has {self.total_steps}: dataset or settings have changed. Start a new run."
            )
        self.step = self._saved_step = int(meta["step"])
        self.run.resumed(self.step)


def comparison_loss(scores: Tensor, comparison: Comparison, dimensions: Sequence[str], config: RewardConfig) -> Tensor:
    """Weighted loss of one comparison, summed over the dimensions it was judged on. scores: [K, dimensions]."""
    total = scores.new_zeros(())
    for column, dimension in enumerate(dimensions):
        edges = comparison.edges.get(dimension)
        if not edges:
            continue
        values = scores[:, column]
        if config.loss == "plackett_luce":
            loss = losses.plackett_luce(values, comparison.rankings[dimension])
        else:
            loss = losses.bradley_terry(
                values, edges, label_smoothing=config.label_smoothing, use_margin=config.use_margin
            )
        if config.centering:
            loss = loss + config.centering * losses.centering(values, edges)
        total = total + losses.comparison_weight(edges) * loss
    return total


def shuffled(n: int, seed: int) -> list[int]:
    """The numbers below n in an order that depends on `seed` alone."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed)).tolist()


def mean_loss(
    scores: Sequence[Tensor], comparisons: Sequence[Comparison], dimensions: Sequence[str], config: RewardConfig
) -> float:
    """The training loss as one figure over `comparisons`; NaN if there are none."""
    whole = sum(losses.comparison_weight(edges) for item in comparisons for edges in item.edges.values())
    if not whole:
        return math.nan
    parts = [
        comparison_loss(values, item, dimensions, config) for values, item in zip(scores, comparisons, strict=True)
    ]
    return float(torch.stack(parts).sum()) / whole
