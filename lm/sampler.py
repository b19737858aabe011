"""K samples to every prompt, many at a time.

A prompt is run once for all of its samples. A finished sample's row goes to the next one at once. Each sample draws
from a random stream of its own, so its tokens do not depend on which samples run beside it (up to the rounding of the
machine's matrix products, which may differ with the number of rows).
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy
import torch

from lm.attention import Branches, can_branch, use_branch_attention
from lm.cache import PrefixCache
from lm.chat import Chat
from lm.config import Sampling
from lm.draw import draw
from lm.packed import packed
from lm.prefix import backbone, unwrap
from lm.vocabulary import logits_of

# Rows from which packed weights repay their making.
_MANY = 4


@dataclass(frozen=True)
class Sample:
    """One response: its ids, the end token included if it is `finished`, and the log-prob each was drawn with."""

    ids: list[int]
    logprobs: list[float]
    finished: bool


@dataclass(eq=False)
class _Row:
    """A sample in progress."""

    prompt: int
    member: int
    uniforms: torch.Tensor
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)

    def add(self, token: int, logprob: float) -> None:
        self.ids.append(token)
        self.logprobs.append(logprob)


def sample(
    model: Any,
    chat: Chat,
    prompts: Sequence[list[int]],
    k: int,
    sampling: Sampling,
    seeds: Sequence[int],
    *,
    rows: int = 32,
    stop: Callable[[], bool] = lambda: False,
    on_prompt: Callable[[int, list[Sample]], None] | None = None,
) -> list[list[Sample]]:
    """Draw `k` responses to each of `prompts` (ids), `rows` at a time, with the model as it is (adapter on or off).

    `seeds` has one number for every sample, prompt by prompt: seeds[p * k + i] (see lm.seeds). `on_prompt(p, samples)`
    is called as soon as prompt p has all of its samples. When `stop()` says so, sampling ends within a token, and
    prompts that are not done have an empty list. Raises ValueError if a prompt is empty or leaves a response too few of
    the model's positions, or if the number of seeds is wrong.
    """
    if len(seeds) != len(prompts) * k:
        raise ValueError(f"{len(prompts)} prompts of {k} samples need {len(prompts) * k} seeds, not {len(seeds)}.")
    limit = getattr(unwrap(model).config, "max_position_embeddings", None)
    for prompt in prompts:
        if not prompt:
            raise ValueError("A prompt has no tokens.")
        if limit and len(prompt) + sampling.max_tokens > limit:
            raise ValueError(
                f"A prompt of {len(prompt)} tokens and {sampling.max_tokens} more exceed the model's {limit} positions."
            )
    kind = _Branching if can_branch(backbone(model)) else _PromptByPrompt
    with _quiet(model, many=min(rows, len(seeds)) >= _MANY):
        return kind(model, chat.end_id, list(prompts), k, sampling, list(seeds), rows, stop, on_prompt).run()


class _Sampler:
    """What both ways of sampling share: the bookkeeping of samples."""

    def __init__(
        self,
        model: Any,
        end_id: int,
        prompts: list[list[int]],
        k: int,
        sampling: Sampling,
        seeds: list[int],
        rows: int,
        stop: Callable[[], bool],
        on_prompt: Callable[[int, list[Sample]], None] | None,
    ) -> None:
        self.model, self.base = unwrap(model), backbone(model)
        self.device = self.base.get_input_embeddings().weight.device
        self.end_id, self.prompts, self.k, self.sampling, self.seeds = end_id, prompts, k, sampling, seeds
        self.rows, self.stop, self.on_prompt = rows, stop, on_prompt
        self.samples: list[dict[int, Sample]] = [{} for _ in prompts]

    def row(self, prompt: int, member: int) -> _Row:
        # Philox is a counter-based generator: cheap to make, with streams that are the same on every machine.
        stream = numpy.random.Generator(numpy.random.Philox(key=self.seeds[prompt * self.k + member]))
        return _Row(prompt, member, torch.from_numpy(stream.random(self.sampling.max_tokens)))

    def draw(self, rows: Sequence[_Row], states: torch.Tensor) -> list[bool]:
        """Give each of `rows` its next token from last hidden states [n, d]; say which are done."""
        uniforms = torch.stack([row.uniforms[len(row.ids)] for row in rows]).to(self.device)
        ids, logprobs = draw(logits_of(self.model, states), uniforms, self.sampling)
        for row, token, logprob in zip(rows, ids.tolist(), logprobs.tolist(), strict=True):
            row.add(token, logprob)
        return [row.ids[-1] == self.end_id or len(row.ids) == self.sampling.max_tokens for row in rows]

    def finish(self, row: _Row) -> bool:
        """Keep a finished sample; say whether its prompt now has all of them."""
        kept = self.samples[row.prompt]
        kept[row.member] = Sample(row.ids, row.logprobs, row.ids[-1] == self.end_id)
        if len(kept) < self.k:
            return False
        if self.on_prompt is not None:
            self.on_prompt(row.prompt, self.result(row.prompt))
        return True

    def result(self, prompt: int) -> list[Sample]:
        kept = self.samples[prompt]
        return [kept[member] for member in range(self.k)] if len(kept) == self.k else []

    def run(self) -> list[list[Sample]]:
        self.work()
        return [self.result(prompt) for prompt in range(len(self.prompts))]

    def work(self) -> None:
        raise NotImplementedError


class _Branching(_Sampler):
    """Samples of all prompts side by side, over a cache that shares each prompt."""

    def work(self) -> None:
        waiting = deque((prompt, member) for prompt in range(len(self.prompts)) for member in range(self.k))
        slots = min(self.rows, len(waiting))
        self.cache = PrefixCache(self.base.config.num_hidden_layers, slots, self.k, self.device)
        self.group_of: dict[int, int] = {}
        self.free_groups: list[int] = []
        self.first_states: dict[int, torch.Tensor] = {}
        use_branch_attention(self.base)
        active: list[_Row | None] = [None] * slots
        while not self.stop():
            self._refill(active, waiting)
            kept = [slot for slot, row in enumerate(active) if row is not None]
            if not kept:
                return
            # Copying the cache pays once a quarter of the rows is empty.
            if len(kept) <= 0.75 * len(active):
                self._compact(kept)
                active = [active[slot] for slot in kept]
            states = self._step(active)
            rows = [row for row in active if row is not None]
            if len(rows) < len(active):
                states = states[[slot for slot, row in enumerate(active) if row is not None]]
            for row, done in zip(rows, self.draw(rows, states), strict=True):
                if done:
                    slot = active.index(row)
                    active[slot] = None
                    self.cache.free(slot)
                    self._finish(row)

    def _refill(self, active: list[_Row | None], waiting: deque[tuple[int, int]]) -> None:
        """Begin waiting samples in empty slots. Their first token comes from the prompt itself."""
        while waiting and None in active:
            if self.stop():
                return
            empty = [slot for slot, row in enumerate(active) if row is None]
            begun = [self.row(*waiting.popleft()) for _ in range(min(len(empty), len(waiting)))]
            for prompt in dict.fromkeys(row.prompt for row in begun):
                if prompt not in self.group_of:
                    self._read_prompt(prompt)
            states = torch.stack([self.first_states[row.prompt] for row in begun])
            for slot, row, done in zip(empty, begun, self.draw(begun, states), strict=False):
                if done:
                    self._finish(row)
                else:
                    active[slot] = row
                    self.cache.place(slot, self.group_of[row.prompt], row.member)

    def _read_prompt(self, prompt: int) -> None:
        ids = self.prompts[prompt]
        group = self.cache.open_group(len(ids), self.free_groups.pop() if self.free_groups else None)
        self.group_of[prompt] = group
        layout = Branches(((0, len(ids), ()),), keep=lambda layer, key, value: self._keep(group, layer, key, value))
        output = self.base(
            input_ids=torch.tensor([ids], device=self.device),
            position_ids=torch.arange(len(ids), device=self.device)[None],
            attention_mask=torch.zeros(1, 1, 1, 1, dtype=torch.bool, device=self.device),
            use_cache=False,
            branches=layout,
        )
        self.first_states[prompt] = output.last_hidden_state[0, -1]

    def _keep(self, group: int, layer: int, key: torch.Tensor, value: torch.Tensor) -> None:
        self.cache.keep_prompt(layer, group, key[0], value[0])

    def _step(self, active: list[_Row | None]) -> torch.Tensor:
        """Run the newest token of every slot; hidden states [S, d]. An empty slot runs along and is ignored."""
        tokens = [row.ids[-1] if row is not None else self.end_id for row in active]
        positions = self.cache.advance()
        output = self.base(
            input_ids=torch.tensor([tokens], device=self.device),
            position_ids=positions[None],
            attention_mask=torch.zeros(1, 1, 1, 1, dtype=torch.bool, device=self.device),
            use_cache=False,
            branches=self.cache,
        )
        return output.last_hidden_state[0]

    def _finish(self, row: _Row) -> None:
        if self.finish(row):
            self.free_groups.append(self.group_of.pop(row.prompt))
            del self.first_states[row.prompt]

    def _compact(self, kept: list[int]) -> None:
        renumbered = self.cache.compact(kept)
        self.group_of = {prompt: renumbered[group] for prompt, group in self.group_of.items() if group in renumbered}
        self.free_groups = []


class _PromptByPrompt(_Sampler):
    """For models whose attention cannot be replaced: one prompt at a time with transformers' own cache."""

    def work(self) -> None:
        for prompt, ids in enumerate(self.prompts):
            active = [self.row(prompt, member) for member in range(self.k)]
            output = self.base(input_ids=torch.tensor([ids], device=self.device), use_cache=True)
            cache = output.past_key_values
            cache.batch_repeat_interleave(self.k)
            states = output.last_hidden_state[:, -1].expand(self.k, -1)
            while True:
                if self.stop():
                    return
                done = self.draw(active, states)
                for row in (row for row, over in zip(active, done, strict=True) if over):
                    self.finish(row)
                kept = [number for number, over in enumerate(done) if not over]
                if not kept:
                    break
                if len(kept) < len(active):
                    active = [active[number] for number in kept]
                    cache.batch_select_indices(torch.tensor(kept, device=self.device))
                tokens = torch.tensor([[row.ids[-1]] for row in active], device=self.device)
                output = self.base(input_ids=tokens, past_key_values=cache, use_cache=True)
                states = output.last_hidden_state[:, -1]


@contextlib.contextmanager
def _quiet(model: Any, *, many: bool) -> Iterator[None]:
    """Evaluation mode, no gradients, and for `many` rows weights packed for decoding, all undone at the end."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad(), packed(model) if many else contextlib.nullcontext():
            yield
    finally:
        model.train(training)
