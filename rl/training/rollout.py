"""One step's experience: responses sampled from the policy, judged, and held against the reference."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from lm.config import Sampling
from lm.prefix import Group, response_logprobs, token_batches
from lm.processes import ALONE, World
from lm.sampler import Sample, sample
from lm.seeds import seed_of
from rewardmodel.training.interrupt import Interrupted
from rl.training.actor import Actor
from rl.training.advantages import Estimates, Experience, estimate
from rl.training.config import OnlineSettings
from rl.training.critic import Critic
from rl.training.estimators import RunningMoments, scaled_rewards
from rl.training.judge import Judge, Verdict
from rl.training.prompts import Prompt

Ragged = list[list[Tensor]]


@dataclass(frozen=True)
class Rollout:
    """Prompts with their responses; everything else by response (N of them, in order) or padded to [N, T].

    `verdict` is what the responses earn, scores [N] that scaled and less the penalty for no end. `sampled` are the
    log-probs that the sampler drew with, `old` the same by the forward that trains.
    """

    prompts: list[Prompt]
    groups: list[Group]
    samples: list[Sample]
    texts: list[str]
    verdict: Verdict
    scores: Tensor
    mask: Tensor
    old: Tensor
    sampled: Tensor
    reference: Tensor
    values: Tensor | None
    estimates: Estimates
    moments: RunningMoments
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def tokens(self) -> int:
        return sum(group.tokens for group in self.groups)

    def rows(self, group: int) -> range:
        """Which of the N responses belong to a group."""
        first = sum(len(each.responses) for each in self.groups[:group])
        return range(first, first + len(self.groups[group].responses))

    def learnt(self, group: int) -> tuple[Group, list[int]]:
        """The responses of a group that the update learns from, and which of the N they are. There may be none."""
        rows = [row for row in self.rows(group) if self.estimates.learnt is None or self.estimates.learnt[row]]
        first = self.rows(group).start
        whole = self.groups[group]
        return Group(whole.prompt, [whole.responses[row - first] for row in rows]), rows


def roll_out(
    actor: Actor,
    judge: Judge,
    prompts: Sequence[Prompt],
    config: OnlineSettings,
    step: int,
    *,
    critic: Critic | None = None,
    kl_coef: float = 0.0,
    moments: RunningMoments | None = None,
    stop: Callable[[], bool] = lambda: False,
    world: World = ALONE,
) -> Rollout:
    """Sample, judge, and estimate advantages. No gradient flows and no weight changes.

    `moments`, of the rewards of earlier steps, stay as they are; the rollout has them with its own rewards added.
    Several processes share out the prompts, and each has the whole rollout: what is estimated over a step is estimated
    over all of it. Raises Interrupted once `stop()` is true.
    """
    seconds: dict[str, float] = {}
    with _timed(seconds, "sample"):
        answers = answer(actor, prompts, config, str(step), config.samples_per_prompt, stop=stop, world=world)
    groups = [
        Group(prompt.ids, [each.ids for each in answered]) for prompt, answered in zip(prompts, answers, strict=True)
    ]
    flat = [each for answered in answers for each in answered]
    with _timed(seconds, "score"):
        texts, verdict = judged(actor, judge, prompts, answers, stop=stop, world=world)
    moments = replace(moments) if moments else RunningMoments()
    moments.update(verdict.rewards)
    device = actor.device
    scores = scaled_rewards(
        torch.tensor(verdict.rewards, device=device),
        moments if config.reward_scaling == "running" else None,
        config.reward_clip,
    )
    scores = scores - torch.tensor([0.0 if one.finished else config.eos_penalty for one in flat], device=device)
    mask = _mask(flat).to(device)
    with _timed(seconds, "reference"), torch.no_grad():
        with actor.reference() as model:
            reference = logprobs(actor, model, groups, config.temperature, world)
        # The sampler's own log-probs differ by rounding (it decodes token by token, on packed and merged weights): by
        # 1e-4 in float32 and far more in bfloat16. Ratio and KL must start from the arithmetic that the update uses,
        # and one forward without gradients is little beside the update's many with.
        old = logprobs(actor, actor.model, groups, config.temperature, world)
        values = None
        if critic is not None:
            with critic.worn():
                values = padded(_in_batches(groups, 4 * actor.batch_tokens, critic.values, world), mask)
    experience = Experience(
        scores=scores,
        mask=mask,
        old=padded(old, mask),
        reference=padded(reference, mask),
        values=values,
        size=config.samples_per_prompt,
    )
    return Rollout(
        prompts=list(prompts),
        groups=groups,
        samples=flat,
        texts=texts,
        verdict=verdict,
        scores=scores,
        mask=mask,
        old=experience.old,
        sampled=padded([[torch.tensor(each.logprobs) for each in flat]], mask),
        reference=experience.reference,
        values=values,
        estimates=estimate(experience, config, kl_coef),
        moments=moments,
        seconds=seconds,
    )


def answer(
    actor: Actor,
    prompts: Sequence[Prompt],
    config: OnlineSettings,
    occasion: str,
    samples: int,
    *,
    stop: Callable[[], bool],
    world: World = ALONE,
) -> list[list[Sample]]:
    """`samples` responses to each prompt, the same ones on the same occasion. Raises Interrupted on `stop`."""
    sampling = Sampling(temperature=config.temperature, top_p=1.0, top_k=0, max_tokens=config.max_response_tokens)

    def ask(own: list[int]) -> list[list[Sample]]:
        with actor.autocast():
            answers = sample(
                actor.model,
                actor.chat,
                [prompts[place].ids for place in own],
                samples,
                sampling,
                # A prompt that comes twice in one step gets other responses the second time.
                [seed_of(config.seed, f"{occasion}/{place}", member) for place in own for member in range(samples)],
                rows=config.rows,
                stop=stop,
            )
        if not all(answers):
            raise Interrupted
        return answers

    # Longest first, to whoever has least to do: what responses cost is not known yet, and about the same for each.
    return world.share(
        [len(prompt.ids) + samples * config.max_response_tokens for prompt in prompts], ask, leaving=Interrupted
    )


def judged(
    actor: Actor,
    judge: Judge,
    prompts: Sequence[Prompt],
    answers: Sequence[Sequence[Sample]],
    *,
    stop: Callable[[], bool],
    watch: bool = False,
    world: World = ALONE,
) -> tuple[list[str], Verdict]:
    """The responses' texts in order, and what they earn."""
    texts = [[actor.chat.text(each.ids) for each in answered] for answered in answers]
    lengths = [[len(each.ids) for each in answered] for answered in answers]

    def ask(own: list[int]) -> list[Verdict]:
        return judge.verdict(
            [prompts[place] for place in own],
            [texts[place] for place in own],
            [lengths[place] for place in own],
            batch_tokens=4 * actor.batch_tokens,
            stop=stop,
            watch=watch,
        ).split([len(texts[place]) for place in own])

    costs = [len(prompt.ids) + sum(each) for prompt, each in zip(prompts, lengths, strict=True)]
    verdict = Verdict.joined(world.share(costs, ask, leaving=Interrupted))
    return [text for each in texts for text in each], verdict


def logprobs(actor: Actor, model: object, groups: Sequence[Group], temperature: float, world: World = ALONE) -> Ragged:
    """Log-probs of every response token under `model`, in batches that fit without gradients."""

    def ask(part: list[Group]) -> Ragged:
        with actor.autocast():
            return response_logprobs(model, part, temperature=temperature)

    return _in_batches(groups, 4 * actor.batch_tokens, ask, world)


def padded(ragged: Ragged, mask: Tensor) -> Tensor:
    """[N, T] with the values where `mask` is true, 0 elsewhere."""
    flat = torch.cat([values.float() for responses in ragged for values in responses])
    return torch.zeros(mask.shape, device=mask.device).masked_scatter(mask, flat.to(mask.device))


def _in_batches(
    groups: Sequence[Group], batch_tokens: int, ask: Callable[[list[Group]], Ragged], world: World
) -> Ragged:
    def asked(own: list[int]) -> Ragged:
        found: Ragged = [[] for _ in own]
        for indices in token_batches([groups[index] for index in own], batch_tokens):
            for index, responses in zip(indices, ask([groups[own[i]] for i in indices]), strict=True):
                found[index] = responses if world.size == 1 else [values.cpu() for values in responses]
        return found

    return world.share([group.tokens for group in groups], asked, leaving=Interrupted)


def _mask(samples: Sequence[Sample]) -> Tensor:
    lengths = torch.tensor([len(each.ids) for each in samples])
    return torch.arange(int(lengths.max()))[None, :] < lengths[:, None]


@contextmanager
def _timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    seconds[phase] = time.monotonic() - began
