"""Shared-prefix forward passes: a prompt is run once for all of its responses.

A batch of groups, each one prompt with its K responses, is packed into a single row without padding; positions restart
behind the prompt for every response, and branch attention keeps the responses apart. The result equals that of K
separate sequences, in values and gradients, for the work of one prompt and K responses. Models whose attention cannot
be replaced (sliding windows, for one) run as plain rows, padded on the right and masked by length, never by pad id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from lm.attention import Branches, can_branch, use_branch_attention
from lm.vocabulary import token_statistics


@dataclass(frozen=True)
class Group:
    """A prompt and its responses, as ids. A response has at least one token, usually the end of turn as its last."""

    prompt: list[int]
    responses: list[list[int]]

    @property
    def tokens(self) -> int:
        """Tokens of the group when its prompt is shared."""
        return len(self.prompt) + sum(len(response) for response in self.responses)


@dataclass(frozen=True)
class Hidden:
    """Last hidden states [T, d] of all groups, and where each response's tokens sit in them.

    `tokens[g][k]` [R] are the rows of response k of group g, `predictors[g][k]` [R] the rows from which each of its
    tokens is predicted: the prompt's last token, then all but the last of its own.
    """

    states: torch.Tensor
    tokens: list[list[torch.Tensor]]
    predictors: list[list[torch.Tensor]]


def hidden_states(model: Any, groups: Sequence[Group], *, shared: bool = True) -> Hidden:
    """Run `model` (a causal LM or a classifier, adapted or not) on `groups` in one forward pass.

    Raises ValueError for an empty prompt or response.
    """
    for group in groups:
        if not group.prompt or not group.responses or not all(group.responses):
            raise ValueError("Every group needs a prompt, and responses of at least one token.")
    base = backbone(model)
    if shared and can_branch(base):
        use_branch_attention(base)
        return _packed(base, groups)
    return _rows(base, groups)


def response_logprobs(
    model: Any, groups: Sequence[Group], *, temperature: float = 1.0, shared: bool = True
) -> list[list[torch.Tensor]]:
    """log pi(token | what comes before) [R] of every token of every response, its end token included.

    Logits are divided by `temperature`, as the sampler does: log-probs are those of the distribution that sampled.
    """
    hidden = hidden_states(model, groups, shared=shared)
    return logprobs_from(model, hidden, groups, temperature=temperature, entropy=False)[0]


def response_statistics(
    model: Any, groups: Sequence[Group], *, temperature: float = 1.0, shared: bool = True
) -> tuple[list[list[torch.Tensor]], list[list[torch.Tensor]]]:
    """The log-probs of `response_logprobs`, and the entropy [R] in nats at each token (without gradient)."""
    hidden = hidden_states(model, groups, shared=shared)
    return logprobs_from(model, hidden, groups, temperature=temperature)


def logprobs_from(
    model: Any, hidden: Hidden, groups: Sequence[Group], *, temperature: float = 1.0, entropy: bool = True
) -> tuple[list[list[torch.Tensor]], list[list[torch.Tensor]]]:
    """`response_statistics` from hidden states at hand, so that one forward pass can serve policy and critic."""
    flat = [index for group in hidden.predictors for index in group]
    lengths = [len(index) for index in flat]
    targets = [token for group in groups for response in group.responses for token in response]
    device = hidden.states.device
    values, entropies = token_statistics(
        unwrap(model),
        hidden.states[torch.cat(flat)],
        torch.tensor(targets, device=device),
        temperature,
        entropy=entropy,
    )
    counts = [len(group.responses) for group in groups]
    return _regroup(list(values.split(lengths)), counts), _regroup(list(entropies.split(lengths)), counts)


def end_hidden(model: Any, groups: Sequence[Group], *, shared: bool = True) -> list[torch.Tensor]:
    """Hidden states [K, d] at the last token of each response, the end of turn, where reward models are read."""
    hidden = hidden_states(model, groups, shared=shared)
    return [hidden.states[torch.stack([index[-1] for index in group])] for group in hidden.tokens]


def token_batches(groups: Sequence[Group], batch_tokens: int) -> list[list[int]]:
    """Indices of `groups` in batches of at most `batch_tokens` tokens, longest first; a longer group stands alone.

    Sorting by length keeps plain rows free of padding and makes the largest batch the first, so that memory runs out at
    once or not at all.
    """
    order = sorted(range(len(groups)), key=lambda index: (-groups[index].tokens, index))
    batches: list[list[int]] = []
    filled = batch_tokens + 1
    for index in order:
        if filled + groups[index].tokens > batch_tokens:
            batches.append([])
            filled = 0
        batches[-1].append(index)
        filled += groups[index].tokens
    return batches


def unwrap(model: Any) -> Any:
    """The transformers model inside an adapted one. Adapters live in its layers, so they stay in effect."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def backbone(model: Any) -> Any:
    """The transformer below the head of a language model or classifier."""
    return unwrap(model).base_model


def _packed(base: Any, groups: Sequence[Group]) -> Hidden:
    ids: list[int] = []
    positions: list[int] = []
    layout: list[tuple[int, int, tuple[int, ...]]] = []
    tokens: list[list[torch.Tensor]] = []
    predictors: list[list[torch.Tensor]] = []
    device = base.get_input_embeddings().weight.device
    for group in groups:
        start, length = len(ids), len(group.prompt)
        layout.append((start, length, tuple(len(response) for response in group.responses)))
        ids += group.prompt
        positions += range(length)
        tokens.append([])
        predictors.append([])
        for response in group.responses:
            own = torch.arange(len(ids), len(ids) + len(response), device=device)
            tokens[-1].append(own)
            predictors[-1].append(torch.cat([own.new_tensor([start + length - 1]), own[:-1]]))
            ids += response
            positions += range(length, length + len(response))
    output = base(
        input_ids=torch.tensor([ids], device=device),
        position_ids=torch.tensor([positions], device=device),
        # Branch attention makes its own masks. A 4-D mask is passed through untouched, so none is built in vain.
        attention_mask=torch.zeros(1, 1, 1, 1, dtype=torch.bool, device=device),
        use_cache=False,
        branches=Branches(tuple(layout)),
    )
    return Hidden(output.last_hidden_state[0], tokens, predictors)


def _rows(base: Any, groups: Sequence[Group]) -> Hidden:
    rows = [group.prompt + response for group in groups for response in group.responses]
    width = max(len(row) for row in rows)
    device = base.get_input_embeddings().weight.device
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(row)
    lengths = torch.tensor([len(row) for row in rows])
    mask = (torch.arange(width)[None, :] < lengths[:, None]).to(device)
    output = base(input_ids=ids.to(device), attention_mask=mask, use_cache=False)
    states = output.last_hidden_state
    tokens: list[list[torch.Tensor]] = []
    predictors: list[list[torch.Tensor]] = []
    number = 0
    for group in groups:
        tokens.append([])
        predictors.append([])
        for response in group.responses:
            first = number * width + len(group.prompt)
            own = torch.arange(first, first + len(response), device=device)
            tokens[-1].append(own)
            predictors[-1].append(own - 1)
            number += 1
    return Hidden(states.reshape(-1, states.shape[-1]), tokens, predictors)


def _regroup(flat: list[torch.Tensor], counts: list[int]) -> list[list[torch.Tensor]]:
    items = iter(flat)
    return [[next(items) for _ in range(count)] for count in counts]
