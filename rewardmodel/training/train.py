"""Training a reward model: from a dataset version and a policy to a directory of weights with reward.json."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lm.checkpoint import load_state, save_state
from lm.optim import learning_rate_at, make_optimizer, set_learning_rate
from lm.processes import World
from rewardmodel.training import length
from rewardmodel.training.config import RewardConfig
from rewardmodel.training.data import Encoded
from rewardmodel.training.ensembles import disagreement
from rewardmodel.training.evaluate import accuracy, pair_outcomes
from rewardmodel.training.interrupt import Interrupted, interruptible
from rewardmodel.training.model import RewardNet, batch_tokens, member_seed, saved_dtype
from rewardmodel.training.objective import Objective, mean_loss, total_weight
from rewardmodel.training.stopping import Best, drop_worse, keep_best, restore_best
from runs.child import MachineError, RunDir, Stopped, UserError


@dataclass(frozen=True)
class StepReport:
    """What one optimizer step saw. Everything is over all processes and, in an ensemble, over all members."""

    loss: float
    outcomes: list[float]
    scores: list[float]
    grad_norm: float
    tokens: int
    length_correlation: float | None = None


class Trainer:
    """The optimisation alone: it neither reads datasets nor saves the final model.

    `validation`, comparisons that are neither trained on nor reported, decides when to stop if `patience` asks for it.
    """

    def __init__(
        self,
        run: RunDir,
        config: RewardConfig,
        net: RewardNet,
        train: list[Encoded],
        test: list[Encoded],
        *,
        validation: Sequence[Encoded] = (),
        world: World | None = None,
    ):
        self.run, self.config, self.net = run, config, net
        self.train, self.test, self.validation = train, test, list(validation)
        self.world = world or World()
        self.objective = Objective(config, net.dimensions, net.heads)
        self.parameters = net.trainable()
        self.optimizer = make_optimizer(self.parameters.values(), config.learning_rate, config.weight_decay)
        self.steps_per_epoch = math.ceil(len(train) / config.comparisons_per_step)
        self.total_steps = config.epochs * self.steps_per_epoch
        self.batch_tokens = batch_tokens(config)
        self.step = 0
        self.best = Best()
        self.measured_step = 0
        self._saved_step = -1

    def fit(self) -> None:
        """Train to the end, or to where validation loss has stopped falling, from the last checkpoint if there is one.

        Raises Stopped, with a checkpoint of the last whole step saved, within seconds of a request to stop; several
        processes stop together.
        """
        self._resume()
        try:
            with interruptible(self.net.classifier.base_model, lambda: self.run.stop_requested):
                self._measure()  # the run may have been stopped in it
                while self.step < self.total_steps and not self.stopped_early:
                    self._one_step()
        except Interrupted:
            self.optimizer.zero_grad(set_to_none=True)
            self._save()
            raise Stopped from None
        self._save()
        if self.best.step >= 0:
            self.world.any(False)  # nobody reads the best weights before the main process has written them
            restore_best(self.run, self.best.step, self.parameters)

    @property
    def stopped_early(self) -> bool:
        return 0 < self.config.patience <= self.best.since

    @property
    def kept_step(self) -> int:
        """The step whose weights the training ends with."""
        return self.best.step if self.best.step >= 0 else self.step

    def _one_step(self) -> None:
        began = time.monotonic()
        report = self.learn(*(self.batch_at(self.step, stream) for stream in range(self.net.streams)))
        self.step += 1
        seconds = max(time.monotonic() - began, 1e-9)
        more = {} if report.length_correlation is None else {"length_correlation": report.length_correlation}
        self.run.metrics(
            self.step,
            loss=report.loss,
            accuracy=sum(report.outcomes) / len(report.outcomes) if report.outcomes else math.nan,
            score_mean=sum(report.scores) / len(report.scores),
            grad_norm=report.grad_norm,
            learning_rate=self.optimizer.param_groups[0]["lr"],
            tokens_per_second=report.tokens / seconds,
            **more,
        )
        self.run.progress(self.step, self.total_steps, f"epoch {self.epoch_of(self.step - 1) + 1}")
        self._measure()
        if self.step % self.config.checkpoint_every == 0:
            self._save()

    # what a step learns from ----------------------------------------------------------------------------------------

    def epoch_of(self, step: int) -> int:
        return step // self.steps_per_epoch

    def batch_at(self, step: int, stream: int = 0) -> list[Encoded]:
        """The comparisons of a step: a function of seed, member and step alone, so that a resumed run sees the same."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order = shuffled(len(self.train), member_seed(self.config.seed, stream) * 1_000_003 + epoch)
        size = self.config.comparisons_per_step
        return [self.train[index] for index in order[position * size : (position + 1) * size]]

    def learn(self, *batches: Sequence[Encoded]) -> StepReport:
        """One optimizer step, on one batch a stream, in as many forwards as their tokens need.

        The loss is the weighted mean over all comparisons and dimensions of the batch, so each forward's share is
        divided by the whole batch's weight: how the batch is cut, and shared out over processes, does not change the
        step.
        """
        config = self.config
        rate = learning_rate_at(self.step, self.total_steps, config.warmup_ratio, config.schedule)
        set_learning_rate(self.optimizer, rate * config.learning_rate)
        self.net.classifier.train()
        seen = [_Pass(self, stream, batch) for stream, batch in enumerate(batches)]
        for each in seen:
            each.backward()
        self.world.sum_gradients(self.parameters.values())
        norms = [clip_gradients(self.net.gradients(stream), config.max_grad_norm) for stream in range(len(batches))]
        for each, norm in zip(seen, norms, strict=True):
            self._refuse_nonsense(each.batch, each.shares, norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        correlations = [each.correlation for each in seen if each.correlation is not None]
        return StepReport(
            loss=sum(sum(each.shares) for each in seen) / len(seen),
            outcomes=[outcome for each in seen for outcome in each.outcomes()],
            scores=[value for each in seen for rows in each.scores for row in rows for value in row],
            grad_norm=sum(norms) / len(norms),
            tokens=sum(item.group.tokens for batch in batches for item in batch),
            length_correlation=sum(correlations) / len(correlations) if correlations else None,
        )

    def autocast(self) -> torch.autocast:
        dtype = saved_dtype(self.config)
        device = self.net.classifier.device.type
        return torch.autocast(device, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16)

    @contextlib.contextmanager
    def enough_memory(self, tokens: int) -> Iterator[None]:
        """Within, a forward of `tokens`; where memory runs out, say which smaller one to ask for."""
        try:
            yield
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if tokens <= self.batch_tokens:
                advice = f"Set batch_tokens to {max(16, tokens // 2)}: the result stays the same."
            else:
                advice = (
                    "That was one comparison alone, so batch_tokens cannot help: lower max_prompt_tokens or "
                    "max_response_tokens, or choose a method that trains less."
                )
            raise MachineError(f"Memory ran out in a forward of {tokens} tokens. {advice}") from error

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

    def _measure(self) -> None:
        """Measure if it is time to and not done: the validation part if early stopping is on, else the test split."""
        every, config = self.config.evaluate_every, self.config
        if self.measured_step == self.step:
            return
        last = self.step == self.total_steps
        due = bool(every) and self.step % every == 0
        if config.patience:
            if due or last:
                self._validate()
        elif due and not last and self.test:
            scores = self.measured(self.test)
            comparisons = [item.comparison for item in self.test]
            means = [values.mean(dim=1) for values in scores]
            found = accuracy(comparisons, [values.tolist() for values in means], self.net.dimensions)
            figures = {f"test_accuracy/{dimension}": each["value"] for dimension, each in found.items()}
            if self.net.members > 1:
                apart = disagreement(comparisons, [values.tolist() for values in scores], self.net.dimensions)
                figures |= {f"disagreement/{name}": float(each["mean"] or 0) for name, each in apart.items()}
            self.run.metrics(self.step, test_loss=mean_loss(means, comparisons, self.net.dimensions, config), **figures)
            self.measured_step = self.step

    def _validate(self) -> None:
        means = [values.mean(dim=1) for values in self.measured(self.validation)]
        comparisons = [item.comparison for item in self.validation]
        loss = mean_loss(means, comparisons, self.net.dimensions, self.config)
        self.run.metrics(self.step, validation_loss=loss)
        self.measured_step = self.step
        if self.best.saw(loss, self.step):
            if self.run.is_main:
                keep_best(self.run, self.step, self.parameters)
            self._save()
            if self.run.is_main:
                drop_worse(self.run, self.step)

    @torch.no_grad()
    def measured(self, items: Sequence[Encoded], *, whole: bool = False) -> list[Tensor]:
        """Scores [K, members, dimensions] of each item, on the CPU, shared out over the processes.

        With `whole`, all parts of the score are added up: what ODIN's preference loss sees.
        """
        self.net.classifier.eval()
        groups = [item.group for item in items]

        def ask(own: list[int]) -> list[Tensor]:
            found: dict[int, Tensor] = {}
            for chunk in self.net.batches([groups[index] for index in own], 4 * self.batch_tokens):
                asked = [groups[own[position]] for position in chunk]
                with self.enough_memory(self.net.tokens(asked)), self.autocast():
                    streams = [self.net.outputs(asked, stream) for stream in range(self.net.streams)]
                for position, outputs in zip(chunk, zip(*streams, strict=True), strict=True):
                    parts = [each.sum(dim=2) if whole else each[:, :, 0] for each in outputs]
                    found[position] = torch.cat(parts, dim=1).cpu()
            return [found[position] for position in range(len(own))]

        return self.world.share([group.tokens for group in groups], ask, leaving=Interrupted)

    def _save(self) -> None:
        if self._saved_step == self.step:
            return

        def write(directory: object) -> None:
            save_state(
                str(directory),
                parameters=self.parameters,
                optimizers={"adamw": self.optimizer},
                meta={
                    "step": self.step,
                    "total_steps": self.total_steps,
                    "best": self.best.state(),
                    "measured": self.measured_step,
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
        if meta["total_steps"] != self.total_steps:
            raise UserError(
                f"The checkpoint of step {meta['step']} belongs to a training of {meta['total_steps']} steps, and this "
                f"one has {self.total_steps}: dataset or settings have changed. Start a new run."
            )
        self.step = self._saved_step = int(meta["step"])
        self.measured_step = int(meta.get("measured", self.step))
        self.best = Best.of(meta.get("best"))
        self.run.resumed(self.step)


class _Pass:
    """One stream's forwards and backwards over its batch of a step. Afterwards it knows what was seen, by all."""

    def __init__(self, trainer: Trainer, stream: int, batch: Sequence[Encoded]) -> None:
        self.trainer, self.stream, self.batch = trainer, stream, batch
        self.shares: list[float] = []
        self.scores: list[list[list[float]]] = []
        self.correlation: float | None = None
        self._groups = [item.group for item in batch]

    def backward(self) -> None:
        """Add this process's share of the loss to the gradients. Raises Interrupted in all processes or in none."""
        trainer, objective = self.trainer, self.trainer.objective
        own = trainer.world.mine([group.tokens for group in self._groups])
        chunks = [
            [own[position] for position in chunk]
            for chunk in trainer.net.batches([self._groups[index] for index in own], trainer.batch_tokens)
        ]
        slopes = self._length_slopes(chunks) if objective.controls_length and self._in_parts(chunks) else None
        parts = trainer.world.together(lambda: self._own_backward(chunks, slopes), leaving=Interrupted)
        merged = {index: each for part in parts for index, each in part.items()}
        self.shares = [merged[index][0] for index in range(len(self.batch))]
        self.scores = [merged[index][1] for index in range(len(self.batch))]

    def _own_backward(
        self, chunks: Sequence[Sequence[int]], slopes: Tensor | None
    ) -> dict[int, tuple[float, list[list[float]]]]:
        """Loss share and scores [K][dimensions] of each comparison in `chunks`, whose gradients are added."""
        trainer, objective = self.trainer, self.trainer.objective
        whole = total_weight([item.comparison for item in self.batch])
        seen: dict[int, tuple[float, list[list[float]]]] = {}
        for number, indices in enumerate(chunks):
            tokens = trainer.net.tokens([self._groups[index] for index in indices])
            trainer.net.recompute(self._recomputes(tokens))
            with trainer.enough_memory(tokens):
                outputs = self._forward(number, indices)
                parts = [
                    objective.loss(values, self.batch[index]) / whole
                    for index, values in zip(indices, outputs, strict=True)
                ]
                total = torch.stack(parts).sum()
                if objective.controls_length:
                    sums = self._moments(indices, outputs)
                    if slopes is None:
                        slopes = self._slopes(sums.detach())
                    # d penalty / d scores = (d penalty / d sums)(d sums / d scores), and sums add up over forwards
                    total = total + (slopes * sums).sum()
                if total.requires_grad:  # no member may count any of these comparisons
                    total.backward()
            shares = torch.stack(parts).detach().tolist()
            for index, share, values in zip(indices, shares, outputs, strict=True):
                seen[index] = (share, values.detach()[:, :, 0].mean(dim=1).tolist())
        if trainer.world.rank == 0:
            apart = objective.orthogonality(trainer.net.rows(self.stream))
            if apart is not None:
                apart.backward()
        return seen

    def outcomes(self) -> Iterator[float]:
        """Which pairs of the batch the scores order rightly."""
        for item, rows in zip(self.batch, self.scores, strict=True):
            for column, dimension in enumerate(self.trainer.net.dimensions):
                edges = item.comparison.edges.get(dimension, ())
                yield from pair_outcomes([row[column] for row in rows], edges)

    def _forward(self, number: int, indices: Sequence[int]) -> list[Tensor]:
        """Forward number `number` of the step, with the dropout that it always has: resumed or not, first or again."""
        trainer = self.trainer
        place = (trainer.step * trainer.net.streams + self.stream) * trainer.world.size + trainer.world.rank
        torch.manual_seed((trainer.config.seed * 1_000_003 + place) * 1_009 + number)
        with trainer.autocast():
            return trainer.net.outputs([self._groups[index] for index in indices], self.stream)

    def _recomputes(self, tokens: int) -> bool:
        asked = self.trainer.config.gradient_checkpointing
        return asked == "always" or (asked == "auto" and tokens > self.trainer.batch_tokens)

    # length control -------------------------------------------------------------------------------------------------

    def _in_parts(self, chunks: Sequence[Sequence[int]]) -> bool:
        return len(chunks) != 1 or self.trainer.world.size > 1

    def _length_slopes(self, chunks: Sequence[Sequence[int]]) -> Tensor:
        """The length term's derivative by the step's moments, from a first pass without gradients over all forwards."""
        net, world = self.trainer.net, self.trainer.world
        score = net.rows(self.stream)

        def own() -> Tensor:
            sums = score.new_zeros(net.heads, net.parts, len(net.dimensions), 3)
            with torch.no_grad():
                for number, indices in enumerate(chunks):
                    sums = sums + self._moments(indices, self._forward(number, indices))
            return sums.detach().cpu()

        return self._slopes(torch.stack(world.together(own, leaving=Interrupted)).sum(dim=0).to(score.device))

    def _moments(self, indices: Sequence[int], outputs: Sequence[Tensor]) -> Tensor:
        objective = self.trainer.objective
        found = [objective.moments(values, self.batch[index]) for index, values in zip(indices, outputs, strict=True)]
        return torch.stack(found).sum(dim=0)

    def _slopes(self, sums: Tensor) -> Tensor:
        self.correlation = float(length.correlation(sums)[:, 0].mean())
        sums = sums.clone().requires_grad_()
        with torch.enable_grad():
            (slopes,) = torch.autograd.grad(self.trainer.objective.length_penalty(sums), sums)
        return slopes


def clip_gradients(gradients: Sequence[Tensor], longest: float) -> float:
    """Scale the gradients in place so that their joint 2-norm is at most `longest`; returns the norm before."""
    norm = torch.nn.utils.get_total_norm(gradients)
    factor = torch.clamp(longest / (norm + 1e-6), max=1.0)
    for gradient in gradients:
        gradient.mul_(factor.to(gradient.device))
    return float(norm)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch ran out of memory: CUDA has a class for it, the CPU's allocator a sentence."""
    text = str(error).lower()
    known = ("can't allocate memory", "not enough memory", "out of memory")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(words in text for words in known)


def shuffled(n: int, seed: int) -> list[int]:
    """The numbers below n in an order that depends on `seed` alone."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed)).tolist()
