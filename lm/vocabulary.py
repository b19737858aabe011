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
    model: Any, states: torch.Tensor, targets: torch.Tensor, temperature: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """log softmax(logits / temperature)[target] [T], and the entropy [T] of that softmax in nats.

    Gradients flow to `states` and to the head through the log-probs, not through the entropy. Chunks are recomputed in
    the backward pass instead of being kept.
    """
    values: list[torch.Tensor] = []
    entropies: list[torch.Tensor] = []
    for first in range(0, len(targets), CHUNK):
        part, wanted = states[first : first + CHUNK], targets[first : first + CHUNK]
        if torch.is_grad_enabled():
            value, entropy = checkpoint(_chunk, model, part, wanted, temperature, use_reentrant=False)
        else:
            value, entropy = _chunk(model, part, wanted, temperature)
        values.append(value)
        entropies.append(entropy)
    return torch.cat(values), torch.cat(entropies)


def _chunk(
    model: Any, states: torch.Tensor, targets: torch.Tensor, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    logits = logits_of(model, states) / temperature
    normaliser = logits.logsumexp(dim=-1)
    value = logits.gather(1, targets[:, None])[:, 0] - normaliser
    with torch.no_grad():
        table = logits.detach() - normaliser.detach()[:, None]
        entropy = -(table.exp() * table).sum(dim=-1)
    return value, entropy
