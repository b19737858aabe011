"""Branch attention: many prompts, each with several responses, packed in one row without padding.

Every token of the row attends to what it would see if its response were alone with its prompt: prompt tokens to the
prompt before them, response tokens to the whole prompt and to their own response before them. Registered with
transformers under one name, it serves every architecture that hands its attention to that interface (Llama, Qwen,
Mistral, Gemma, ...), adapters and gradient checkpointing included. Without a layout it is the ordinary SDPA attention.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask
from transformers.modeling_utils import AttentionInterface

from lm.cache import PrefixCache

NAME = "plumbline_branches"


@dataclass(frozen=True)
class Branches:
    """Where the groups of a packed row lie: (prompt start, prompt length, response lengths), responses right behind.

    `keep(layer, key, value)`, if given, receives every layer's keys and values [1, H_kv, T, D].
    """

    groups: tuple[tuple[int, int, tuple[int, ...]], ...]
    keep: Callable[[int, torch.Tensor, torch.Tensor], None] | None = None
    _masks: dict[tuple[int, int, torch.dtype], torch.Tensor] = field(default_factory=dict, compare=False, repr=False)

    def mask(self, count: int, length: int, like: torch.Tensor) -> torch.Tensor:
        """Additive mask [count, length + count] of a response behind its prompt, made once for all layers."""
        key = (count, length, like.dtype)
        if key not in self._masks:
            hidden = torch.ones(count, length + count, dtype=torch.bool, device=like.device).triu(length + 1)
            self._masks[key] = torch.zeros(hidden.shape, dtype=like.dtype, device=like.device).masked_fill_(
                hidden, float("-inf")
            )
        return self._masks[key]


def branch_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    branches: Branches | PrefixCache | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention over a packed row: query [1, H, T, D], key and value [1, H_kv, T, D] -> [1, T, H, D].

    `branches` is the layout of prompts and responses, or, while sampling, the cache that each token continues.
    """
    if (virtual := getattr(module, "virtual", None)) is not None:  # lm.virtual: a trained prefix
        key, value = virtual(key, value)
    if branches is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **kwargs)
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    layer: Any = getattr(module, "layer_idx", 0)
    if isinstance(branches, PrefixCache):
        return branches.attend(layer, query, key, value, scaling), None
    if branches.keep is not None:
        branches.keep(layer, key, value)
    repeats = query.shape[1] // key.shape[1]
    if repeats > 1:
        key, value = (key.repeat_interleave(repeats, dim=1), value.repeat_interleave(repeats, dim=1))
    # One split of the row: every slice of its own would cost a whole row of zeros in the backward pass.
    lengths = [count for _, length, responses in branches.groups for count in (length, *responses)]
    pieces = zip(query.split(lengths, dim=2), key.split(lengths, dim=2), value.split(lengths, dim=2), strict=True)
    parts: list[torch.Tensor] = []
    for _, length, responses in branches.groups:
        prompt_query, prompt_key, prompt_value = next(pieces)
        parts.append(
            scaled_dot_product_attention(
                prompt_query, prompt_key, prompt_value, dropout_p=dropout, is_causal=True, scale=scaling
            )
        )
        for count in responses:
            own_query, own_key, own_value = next(pieces)
            parts.append(
                scaled_dot_product_attention(
                    own_query,
                    torch.cat([prompt_key, own_key], dim=2),
                    torch.cat([prompt_value, own_value], dim=2),
                    attn_mask=branches.mask(count, length, query),
                    dropout_p=dropout,
                    scale=scaling,
                )
            )
    return torch.cat(parts, dim=2).transpose(1, 2).contiguous(), None


def can_branch(model: Any) -> bool:
    """Whether `model` lets its attention be replaced, and every layer attends to the whole past."""
    config = model.config
    windowed = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
    layers = set(getattr(config, "layer_types", None) or ["full_attention"])
    capped = getattr(config, "attn_logit_softcapping", None)
    return bool(model._supports_attention_backend and not windowed and layers == {"full_attention"} and not capped)


def use_branch_attention(model: Any) -> None:
    """Switch `model` to branch attention. Without a layout it computes what `sdpa` does, so it can stay."""
    if model.config._attn_implementation != NAME:
        model.set_attn_implementation(NAME)


AttentionInterface.register(NAME, branch_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
