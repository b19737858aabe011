"""What the offline algorithms make of a comparison: one objective each, for the one loop of `offline`."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from lm.prefix import Group
from rewardmodel.training.data import Comparison
from rl.training import losses
from rl.training.config import DPOConfig, KTOConfig, OfflineSettings, SFTConfig
from rl.training.preferences import edge_losses, preferences, standings
from runs.child import UserError

# Sums of log-probs of every response of some groups, without gradient.
Ask = Callable[[Sequence[Group]], list[list[float]]]


@dataclass(frozen=True)
class Lesson:
    """What one comparison teaches: which of its responses, and whatever the objective wants to know of them."""

    keep: list[int]
    content: Any = None


@dataclass(frozen=True)
class Example:
    """A comparison ready to learn from. weight: its share of a step. reference: [K] log-probs under the reference."""

    comparison: Comparison
    group: Group
    lesson: Lesson
    weight: float
    reference: Tensor | None = None


@dataclass(frozen=True)
class Signal:
    """What a comparison said to the policy: its weighted loss, and figures for people."""

    loss: Tensor
    outcomes: list[float] = field(default_factory=list)
    chosen: list[float] = field(default_factory=list)
    rejected: list[float] = field(default_factory=list)

    def detached(self) -> Signal:
        return replace(self, loss=self.loss.detach().cpu())


class Objective(ABC):
    """One algorithm. The loop asks for lessons once, and then for signals, whose losses it divides by the weights."""

    needs_reference = True
    nothing = "every response is unranked or tied"

    @abstractmethod
    def lesson(self, comparison: Comparison) -> Lesson | None:
        """What a comparison teaches; None for nothing."""

    def weight(self, lesson: Lesson, group: Group) -> float:
        """How much an example counts in a step."""
        return float(len(group.responses))

    def complete(self, examples: list[Example], ask_reference: Ask) -> list[Example]:
        """A last look at all examples of a split, with the reference at hand."""
        return examples

    def context(self, batch: Sequence[Example], ask: Ask) -> Any:
        """Whatever the whole step must know before the first of its gradients. `ask` is the policy."""
        return None

    @abstractmethod
    def signal(self, example: Example, logprobs: list[Tensor], context: Any) -> Signal:
        """The loss of one example, summed with its weights. logprobs: of the tokens of each response."""

    def summary(self, found: Sequence[Signal], examples: Sequence[Example], context: Any) -> dict[str, float]:
        """Loss per unit of weight, accuracy, and the rewards of both sides."""
        chosen = mean(value for each in found for value in each.chosen)
        rejected = mean(value for each in found for value in each.rejected)
        return {
            "loss": loss_of(found, examples),
            "accuracy": mean(value for each in found for value in each.outcomes),
            "chosen_reward": chosen,
            "rejected_reward": rejected,
            "reward_margin": chosen - rejected,
        }


class Supervised(Objective):
    """SFT: the likelihood of the responses that people preferred or wrote."""

    needs_reference = False
    nothing = "no comparison has a single best response or a corrected one"

    def __init__(self, config: SFTConfig) -> None:
        self.config = config

    def lesson(self, comparison: Comparison) -> Lesson | None:
        keep = demonstrated(comparison, self.config)
        return Lesson(keep) if keep else None

    def weight(self, lesson: Lesson, group: Group) -> float:
        return float(sum(len(response) for response in group.responses))

    def signal(self, example: Example, logprobs: list[Tensor], context: Any) -> Signal:
        return Signal(losses.sft_loss(torch.cat(logprobs)).sum())

    def summary(self, found: Sequence[Signal], examples: Sequence[Example], context: Any) -> dict[str, float]:
        loss = loss_of(found, examples)
        return {"loss": loss, "perplexity": math.exp(min(loss, 700.0))}


class Preferring(Objective):
    """DPO and its kin on the edges of rankings."""

    def __init__(self, config: DPOConfig) -> None:
        self.config = config
        self.needs_reference = config.needs_reference

    def lesson(self, comparison: Comparison) -> Lesson | None:
        wanted = preferences(comparison, self.config)
        return Lesson(list(range(len(comparison.responses))), wanted) if wanted else None

    def weight(self, lesson: Lesson, group: Group) -> float:
        return lesson.content.total

    def signal(self, example: Example, logprobs: list[Tensor], context: Any) -> Signal:
        wanted = example.lesson.content
        each, compared = edge_losses(logprobs, example.reference, wanted, self.config)
        rewards = [self.config.beta * value for value in compared.detach().tolist()]
        outcomes, chosen, rejected = [], [], []
        for first, second, share in zip(wanted.i.tolist(), wanted.j.tolist(), wanted.p.tolist(), strict=True):
            if share == 0.5:
                continue
            better, worse = (first, second) if share > 0.5 else (second, first)
            chosen.append(rewards[better])
            rejected.append(rewards[worse])
            difference = rewards[better] - rewards[worse]
            outcomes.append(0.5 if difference == 0 else float(difference > 0))
        return Signal((wanted.weight.to(each.device) * each).sum(), outcomes, chosen, rejected)


@dataclass(frozen=True)
class _Labels:
    """KTO: which responses are desirable, and a response to another prompt with its log-prob under the reference."""

    desirable: list[bool]
    mismatched: Group | None = None
    reference: float = 0.0


class Unpaired(Objective):
    """KTO: every response by itself, against a baseline of how far the policy has gone."""

    nothing = "no response is preferred more or less often than others"

    def __init__(self, config: KTOConfig) -> None:
        self.config = config

    def lesson(self, comparison: Comparison) -> Lesson | None:
        labels = {
            number: stand > 0.5
            for number, stand in enumerate(standings(comparison, self.config.dimension_weights))
            if stand is not None and abs(stand - 0.5) > 1e-9
        }
        return Lesson(list(labels), _Labels(list(labels.values()))) if labels else None

    def complete(self, examples: list[Example], ask_reference: Ask) -> list[Example]:
        """Give each example a response to the next other prompt, so that no mismatch depends on the steps."""
        others: list[Group | None] = []
        for number, example in enumerate(examples):
            later = (examples[(number + step) % len(examples)] for step in range(1, len(examples)))
            other = next((each for each in later if each.comparison.prompt_key != example.comparison.prompt_key), None)
            others.append(Group(example.group.prompt, [other.group.responses[0]]) if other else None)
        if examples and examples[0].comparison.split == "train" and None in others:
            raise UserError("KTO compares with responses to other prompts, and the train split has only one prompt.")
        known = iter(ask_reference([group for group in others if group]))
        return [
            replace(
                example,
                lesson=replace(
                    example.lesson,
                    content=replace(
                        example.lesson.content, mismatched=group, reference=next(known)[0] if group else 0.0
                    ),
                ),
            )
            for example, group in zip(examples, others, strict=True)
        ]

    def context(self, batch: Sequence[Example], ask: Ask) -> Tensor:
        pairs = [each.lesson.content for each in batch if each.lesson.content.mismatched]
        if not pairs:
            return torch.tensor(0.0)
        policy = torch.tensor([values[0] for values in ask([pair.mismatched for pair in pairs])])
        return losses.kto_baseline(policy, torch.tensor([pair.reference for pair in pairs]))

    def signal(self, example: Example, logprobs: list[Tensor], context: Tensor) -> Signal:
        assert example.reference is not None
        total = torch.stack([tokens.sum() for tokens in logprobs])
        implicit = losses.implicit_rewards(total, example.reference)
        labels = example.lesson.content.desirable
        loss = losses.kto_loss(
            implicit,
            torch.tensor(labels, device=total.device),
            context.to(total.device),
            beta=self.config.beta,
            desirable_weight=self.config.desirable_weight,
            undesirable_weight=self.config.undesirable_weight,
        )
        rewards = [self.config.beta * value for value in implicit.detach().tolist()]
        line = self.config.beta * float(context)
        return Signal(
            loss.sum(),
            [0.5 if r == line else float((r > line) == wanted) for r, wanted in zip(rewards, labels, strict=True)],
            [r for r, wanted in zip(rewards, labels, strict=True) if wanted],
            [r for r, wanted in zip(rewards, labels, strict=True) if not wanted],
        )

    def summary(self, found: Sequence[Signal], examples: Sequence[Example], context: Any) -> dict[str, float]:
        return {**super().summary(found, examples, context), "kl_baseline": float(context)}


def objective_of(config: OfflineSettings) -> Objective:
    """The objective that a configuration is of."""
    match config:
        case SFTConfig():
            return Supervised(config)
        case DPOConfig():
            return Preferring(config)
        case KTOConfig():
            return Unpaired(config)
    raise TypeError(f"{type(config).__name__} does not learn from a dataset.")


def demonstrated(comparison: Comparison, config: SFTConfig) -> list[int]:
    """Which responses are worth imitating. The same rule makes the SFT files of an export."""
    edited = list(comparison.edited)
    if config.responses != "best" and (edited or config.responses == "edited"):
        return edited
    stands = standings(comparison, config.dimension_weights)
    best = max((stand for stand in stands if stand is not None), default=None)
    first = [number for number, stand in enumerate(stands) if stand is not None and stand == best]
    return first if len(first) == 1 else []


def loss_of(found: Sequence[Signal], examples: Sequence[Example]) -> float:
    """Loss per unit of weight."""
    return sum(float(each.loss) for each in found) / sum(example.weight for example in examples)


def mean(values: Iterable[float]) -> float:
    """NaN without any value."""
    listed = list(values)
    return sum(listed) / len(listed) if listed else math.nan
