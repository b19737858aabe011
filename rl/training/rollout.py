"""One step's experience: responses sampled from the policy, scored, and held against the reference."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lm.config import Sampling
from lm.prefix import Group, response_logprobs, token_batches
from lm.sampler import Sample, sample
from lm.seeds import seed_of
from rewardmodel.training.interrupt import Interrupted
from rl.training import estimators
from rl.training.actor import Actor, Critic
from rl.training.config import PPOConfig
from rl.training.prompts import Prompt
from rl.training.rewards import Rewards

Ragged = list[list[Tensor]]


@dataclass(frozen=True)
class Rollout:
    """Prompts with their responses; everything else by response (N of them, in order) or padded to [N, T].

    rewards are by dimension, plain_rewards [N] combined, scores [N] combined less the penalty for no end. `sampled` are
    the log-probs that the sampler drew with, `old` the same by the forward that trains.
    """

    prompts: list[Prompt]
    groups: list[Group]
    samples: list[Sample]
    texts: list[str]
    rewards: list[list[float]]
    plain_rewards: Tensor
    scores: Tensor
    mask: Tensor
    old: Tensor
    sampled: Tensor
    reference: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def tokens(self) -> int:
        return sum(group.tokens for group in self.groups)

    def rows(self, group: int) -> range:
        """Which of the N responses belong to a group."""
        first = sum(len(each.responses) for each in self.groups[:group])
        return range(first, first + len(self.groups[group].responses))


def roll_out(
    actor: Actor,
    critic: Critic,
    rewards: Rewards,
    prompts: Sequence[Prompt],
    config: PPOConfig,
    step: int,
    kl_coef: float,
    *,
    stop: Callable[[], bool] = lambda: False,
) -> Rollout:
    """Sample, score, and estimate advantages. No gradient flows and no weight changes.

    Raises Interrupted once `stop()` is true.
    """
    seconds: dict[str, float] = {}
    with _timed(seconds, "sample"):
        answers = _sample(actor, prompts, config, step, stop)
    groups = [
        Group(prompt.ids, [each.ids for each in answered]) for prompt, answered in zip(prompts, answers, strict=True)
    ]
    flat = [each for answered in answers for each in answered]
    texts = [actor.chat.text(each.ids) for each in flat]
    with _timed(seconds, "score"):
        conversations, first = [], 0
        for prompt, answered in zip(prompts, answers, strict=True):
            conversations.append((prompt.messages, texts[first : first + len(answered)]))
            first += len(answered)
        scored = rewards.by_dimension(conversations, batch_tokens=4 * actor.batch_tokens, stop=stop)
        by_dimension = [row for rows in scored for row in rows]
    combined = [rewards.combine(row) for row in by_dimension]
    penalised = [
        reward - (0.0 if one.finished else config.eos_penalty) for reward, one in zip(combined, flat, strict=True)
    ]
    device = actor.device
    scores = torch.tensor(penalised, device=device)
    mask = _mask(flat).to(device)
    with _timed(seconds, "reference"), torch.no_grad():
        with actor.reference() as model:
            reference = _in_batches(
                groups, 4 * actor.batch_tokens, lambda part: _logprobs(actor, model, part, config.temperature)
            )
        # The sampler's own log-probs differ by rounding (it decodes token by token, on packed and merged weights): by
        # 1e-4 in float32 and far more in bfloat16. Ratio and KL must start from the arithmetic that the update uses,
        # and one forward without gradients is little beside the update's many with.
        old = _in_batches(
            groups, 4 * actor.batch_tokens, lambda part: _logprobs(actor, actor.model, part, config.temperature)
        )
        with critic.worn():
            values = _in_batches(groups, 4 * actor.batch_tokens, critic.values)
    padded = {name: _pad(ragged, mask) for name, ragged in (("old", old), ("ref", reference), ("values", values))}
    token_rewards = estimators.token_rewards(scores, padded["old"], padded["ref"], mask, kl_coef)
    advantages, returns = estimators.gae(token_rewards, padded["values"], mask, gamma=config.gamma, lam=config.lam)
    if config.whiten_advantages:
        advantages = estimators.whiten(advantages, mask)
    return Rollout(
        prompts=list(prompts),
        groups=groups,
        samples=flat,
        texts=texts,
        rewards=by_dimension,
        plain_rewards=torch.tensor(combined),
        scores=scores,
        mask=mask,
        old=padded["old"],
        sampled=_pad([[torch.tensor(each.logprobs) for each in flat]], mask),
        reference=padded["ref"],
        values=padded["values"],
        advantages=advantages,
        returns=returns,
        seconds=seconds,
    )


def _sample(
    actor: Actor, prompts: Sequence[Prompt], config: PPOConfig, step: int, stop: Callable[[], bool]
) -> list[list[Sample]]:
    sampling = Sampling(temperature=config.temperature, top_p=1.0, top_k=0, max_tokens=config.max_response_tokens)
    places = [(place, member) for place in range(len(prompts)) for member in range(config.samples_per_prompt)]
    with actor.autocast():
        answers = sample(
            actor.model,
            actor.chat,
            [prompt.ids for prompt in prompts],
            config.samples_per_prompt,
            sampling,
            # A prompt that comes twice in one step gets other responses the second time.
            [seed_of(config.seed, f"{step}/{place}", member) for place, member in places],
            rows=config.rows,
            stop=stop,
        )
    if not all(answers):
        raise Interrupted
    return answers


def _logprobs(actor: Actor, model: object, groups: list[Group], temperature: float) -> Ragged:
    with actor.autocast():
        return response_logprobs(model, groups, temperature=temperature)


def _in_batches(groups: Sequence[Group], batch_tokens: int, ask: Callable[[list[Group]], Ragged]) -> Ragged:
    found: Ragged = [[] for _ in groups]
    for indices in token_batches(groups, batch_tokens):
        for index, responses in zip(indices, ask([groups[i] for i in indices]), strict=True):
            found[index] = responses
    return found


def _mask(samples: Sequence[Sample]) -> Tensor:
    lengths = torch.tensor([len(each.ids) for each in samples])
    return torch.arange(int(lengths.max()))[None, :] < lengths[:, None]


def _pad(ragged: Ragged, mask: Tensor) -> Tensor:
    """[N, T] with the values where `mask` is true, 0 elsewhere."""
    flat = torch.cat([values.float() for responses in ragged for values in responses])
    return torch.zeros(mask.shape, device=mask.device).masked_scatter(mask, flat.to(mask.device))


@contextmanager
def _timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    seconds[phase] = time.monotonic() - began
