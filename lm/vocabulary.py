"""From hidden states to log-probs through the vocabulary matrix, in chunks, so that no full table of logits exists.

SmolLM2's vocabulary has 49,152 words: logits of 2,000 tokens alone would be 400 MB, and backward needs them thrice.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

CHUNK = 256


def logits_of(model: Any, states: torch.Tensor) -> torch.Tensor:
    """Logits [T, V] in at least float32 from last hidden states [T, d], with the model's own scaling and capping."""
    config = model.config
    logits = model.get_output_embeddings()(states)
    if logits.dtype in (torch.bfloat16, torch.float16):
        logits = logits.float()
    if getattr(config, "logits_scaling", None):
        logits = logits / config.logits_scaling
    if getattr(config, "logit_scale", None):
        logits = logits * config.logit_scale
    if getattr(config, "final_logit_softcapping", None):
        logits = torch.tanh(logits / config.final_logit_softcapping) * config.final_logit_softcapping
    return logits


def token_statistics(
    model: Any, states: torch.Tensor, targets: torch.Tensor, temperature: float = 1.0, *, entropy: bool = True
) -> tuple[torch.Tensor, torch.Tensor]:
    """log softmax(logits / temperature)[target] [T], and the entropy [T] of that softmax in nats (zeros if not wanted).

    Gradients flow to `states`, and to the head if it is trained, through the log-probs, not through the entropy. No
    chunk's logits are kept for the backward pass: with a frozen head the derivative by the states is worked out
    on the way forward, otherwise the chunk is computed again.
    """
    values: list[torch.Tensor] = []
    entropies: list[torch.Tensor] = []
    for first in range(0, len(targets), CHUNK):
        part, wanted = states[first : first + CHUNK], targets[first : first + CHUNK]
        if not torch.is_grad_enabled():
            value, spread = _chunk(model, part, wanted, temperature, entropy)
        elif _is_frozen_product(model):
            head = model.get_output_embeddings().weight
            value, spread = _FrozenHead.apply(part, head, wanted, temperature, entropy)
        else:
            value, spread = checkpoint(_chunk, model, part, wanted, temperature, entropy, use_reentrant=False)
        values.append(value)
        entropies.append(spread)
    return torch.cat(values), torch.cat(entropies)


def _chunk(
    model: Any, states: torch.Tensor, targets: torch.Tensor, temperature: float, entropy: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    logits = logits_of(model, states) / temperature
    normaliser = logits.logsumexp(dim=-1)
    value = logits.gather(1, targets[:, None])[:, 0] - normaliser
    if not entropy:
        return value, torch.zeros_like(value, requires_grad=False)
    with torch.no_grad():
        shares = (logits.detach() - normaliser.detach()[:, None]).exp_()
        spread = normaliser.detach() - (shares * logits.detach()).sum(dim=-1)
    return value, spread


def _is_frozen_product(model: Any) -> bool:
    """Whether the logits are states @ W^T and nothing else, with a W that is not trained."""
    head, config = model.get_output_embeddings(), model.config
    changed = any(getattr(config, name, None) for name in ("logits_scaling", "logit_scale", "final_logit_softcapping"))
    return type(head) is torch.nn.Linear and head.bias is None and not head.weight.requires_grad and not changed


class _FrozenHead(torch.autograd.Function):
    """log p = z_y - log sum exp z with z = h W^T / T, whose derivative is d(log p)/dh = (W_y - p W) / T.

    Each token's derivative needs no other token's, so it is made while the probabilities p are at hand.
    """

    @staticmethod
    def forward(
        ctx: Any, states: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, temperature: float, entropy: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        logits = states @ weight.t()
        if logits.dtype in (torch.bfloat16, torch.float16):
            logits = logits.float()
        logits = logits / temperature
        normaliser = logits.logsumexp(dim=-1)
        value = logits.gather(1, targets[:, None])[:, 0] - normaliser
        shares = (logits - normaliser[:, None]).exp_()
        spread = normaliser - (shares * logits).sum(dim=-1) if entropy else torch.zeros_like(value)
        ctx.save_for_backward((weight[targets] - shares.to(weight.dtype) @ weight) / temperature)
        ctx.mark_non_differentiable(spread)
        return value, spread

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (derivative,) = ctx.saved_tensors
        return (gradients[0][:, None] * derivative).to(derivative.dtype), None, None, None, None
