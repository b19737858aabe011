"""What a response earns: reward models, checks, a gate and a price of length, made into one number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any

from rl.training.checks import CheckTooSlow, figure, names_of, needs_answer
from rl.training.config import OnlineSettings
from rl.training.prompts import Prompt
from rl.training.rewards import Opinion, Rewards
from runs.child import UserError

Stop = Callable[[], bool]


@dataclass(frozen=True)
class Verdict:
    """On N responses, in order: what each earns, and the figures that went into it, by name.

    `bound` is what it would earn by an ensemble's mean less one standard deviation, `watched` what the reward model
    that is not trained on says; both empty where there is none.
    """

    rewards: list[float]
    columns: dict[str, list[float]]
    bound: list[float] = field(default_factory=list)
    watched: list[float] = field(default_factory=list)

    def split(self, sizes: Sequence[int]) -> list[Verdict]:
        """One verdict for each run of so many responses."""
        ends = list(accumulate(sizes, initial=0))

        def part(first: int, last: int) -> Verdict:
            columns = {name: values[first:last] for name, values in self.columns.items()}
            return Verdict(self.rewards[first:last], columns, self.bound[first:last], self.watched[first:last])

        return [part(first, last) for first, last in pairwise(ends)]

    @classmethod
    def joined(cls, parts: Sequence[Verdict]) -> Verdict:
        """What `split` took apart. There is at least one part."""
        return cls(
            [value for part in parts for value in part.rewards],
            {name: [value for part in parts for value in part.columns[name]] for name in parts[0].columns},
            [value for part in parts for value in part.bound],
            [value for part in parts for value in part.watched],
        )


class Judge:
    """Scores responses as an OnlineSettings says.

    With opinions m (mean) and s (spread) of the reward model by dimension d, checks c, and further reward models k:

        r = w sum_d v_d (m_d - penalty s_d) + sum_k w_k r_k + sum_c w_c c
        r = g where the gate dimension's reward g is below its threshold   (Touvron et al. 2023, sec. 3.4.2)
        r = r - length_penalty max(0, tokens - free) / 100
    """

    def __init__(
        self,
        config: OnlineSettings,
        model: Rewards | None,
        *,
        more: Sequence[tuple[str, float, Rewards]] = (),
        watched: Rewards | None = None,
    ) -> None:
        self.config = config
        self.model = model if config.reward_model_weight else None
        self.watched = watched or (model if self.model is None else None)
        self.more = list(more)
        self.check_names = names_of(config.checks)
        if self.model is None and not self.more and not config.checks:
            raise UserError("Nothing gives a reward. Choose a reward model, or add a check.")
        self.gate = self._gate()

    @classmethod
    def load(cls, config: OnlineSettings, inputs: Mapping[str, Any]) -> Judge:
        """From inputs {"reward_model", "watched_reward_model", "more_reward_models": [{"name", "path", "weight"}]}.

        Each may be absent. Raises UserError for what is no reward model or lacks a dimension.
        """
        path, watched = inputs.get("reward_model"), inputs.get("watched_reward_model")
        more = [
            (
                str(each.get("name") or f"reward model {number}"),
                float(each.get("weight", config.more_reward_weight)),
                str(each["path"]),
            )
            for number, each in enumerate(inputs.get("more_reward_models") or (), start=2)
        ]
        return cls(
            config,
            Rewards.load(path, config.dimension_weights) if path else None,
            more=[(name, weight, Rewards.load(where, {})) for name, weight, where in more],
            watched=Rewards.load(watched, {}) if watched else None,
        )

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Names of the figures that go into the reward."""
        own = self.model.dimensions if self.model else ()
        return (*own, *(name for name, _, _ in self.more), *self.check_names)

    @property
    def weights(self) -> list[float]:
        """How much each of them counts."""
        own = [self.config.reward_model_weight * weight for weight in self.model.weights] if self.model else []
        return [*own, *(weight for _, weight, _ in self.more), *(check.weight for check in self.config.checks)]

    def check_prompts(self, prompts: Sequence[Prompt]) -> None:
        """Raise UserError if a check compares with an answer that a prompt does not bring."""
        if needs_answer(self.config.checks):
            without = [prompt.id for prompt in prompts if prompt.answer is None]
            if without:
                raise UserError(
                    f"A check compares with the prompt's answer, and {len(without)} of {len(prompts)} prompts bring "
                    f"none ({', '.join(without[:5])}). Give those an answer, or write it into the check."
                )

    def verdict(
        self,
        prompts: Sequence[Prompt],
        texts: Sequence[Sequence[str]],
        tokens: Sequence[Sequence[int]],
        *,
        batch_tokens: int,
        stop: Stop = lambda: False,
        watch: bool = False,
    ) -> Verdict:
        """On texts[p][k], tokens[p][k] long, in answer to prompts[p]. `watch` asks the watched reward model too.

        Raises Interrupted on `stop`, and UserError if a check cannot be carried out.
        """
        conversations = [(prompt.messages, list(each)) for prompt, each in zip(prompts, texts, strict=True)]

        def ask(model: Rewards) -> list[Opinion]:
            found = model.opinions(conversations, batch_tokens=batch_tokens, stop=stop)
            return [opinion for rows in found for opinion in rows]

        lengths = [length for each in tokens for length in each]
        columns: dict[str, list[float]] = {}
        rewards, bound = [0.0] * len(lengths), [0.0] * len(lengths)
        opinions: list[Opinion] = []
        if self.model:
            opinions = ask(self.model)
            for place, name in enumerate(self.model.dimensions):
                columns[name] = [opinion.mean[place] for opinion in opinions]
            rewards, bound = self._earned(opinions, self.config.ensemble_penalty), self._earned(opinions, 1.0)
        for name, weight, model in self.more:
            columns[name] = [model.combine(opinion.mean) for opinion in ask(model)]
            rewards, bound = _plus(rewards, weight, columns[name]), _plus(bound, weight, columns[name])
        for name, check in zip(self.check_names, self.config.checks, strict=True):
            columns[name] = self._checked(check, prompts, texts)
            rewards, bound = (_plus(each, check.weight, columns[name]) for each in (rewards, bound))
        if self.gate is not None:
            rewards, bound = (self._gated(each, opinions) for each in (rewards, bound))
        price = [self.config.length_penalty * max(0, length - self.config.free_tokens) / 100 for length in lengths]
        ensemble = self.model is not None and self.model.scorer.members > 1
        return Verdict(
            rewards=_plus(rewards, -1.0, price),
            columns=columns,
            bound=_plus(bound, -1.0, price) if ensemble else [],
            watched=[self.watched.combine(each.mean) for each in ask(self.watched)] if watch and self.watched else [],
        )

    def _gate(self) -> int | None:
        name = self.config.gate_dimension
        if not name:
            return None
        if self.model is None or name not in self.model.dimensions:
            known = ", ".join(self.model.dimensions) if self.model else "none"
            raise UserError(f"The gate's dimension {name} is not one of the reward model's, which has {known}.")
        return self.model.dimensions.index(name)

    def _earned(self, opinions: Sequence[Opinion], penalty: float) -> list[float]:
        assert self.model is not None
        weight = self.config.reward_model_weight
        return [weight * self.model.combine(opinion.bound(penalty)) for opinion in opinions]

    def _gated(self, rewards: Sequence[float], opinions: Sequence[Opinion]) -> list[float]:
        assert self.gate is not None
        gates = [opinion.mean[self.gate] for opinion in opinions]
        return [
            gate if gate < self.config.gate_threshold else reward for reward, gate in zip(rewards, gates, strict=True)
        ]

    def _checked(self, check: Any, prompts: Sequence[Prompt], texts: Sequence[Sequence[str]]) -> list[float]:
        try:
            return [
                figure(check, text, prompt.answer) for prompt, each in zip(prompts, texts, strict=True) for text in each
            ]
        except CheckTooSlow as error:
            raise UserError(str(error)) from error


def _plus(values: Sequence[float], weight: float, more: Sequence[float]) -> list[float]:
    return [value + weight * other for value, other in zip(values, more, strict=True)]
