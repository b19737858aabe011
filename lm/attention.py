"""Branch attention: many prompts, each with several responses, packed in one row without padding.

Every token of the row attends to what it would see if its response were alone with its prompt: prompt tokens to the
prompt before them, response tokens to the whole prompt and to their own response before them. Registered with
transformers under one name, it serves every architecture that hands its attention to that interface (Llama, Qwen,
Mistral, Gemma, ...), adapters and gradient checkpointing included. Without a layout it is the ordinary SDPA attention.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask
from transformers.modeling_utils import AttentionInterface

from lm.cache import PrefixCache

NAME = "plumbline_branches"

# Responses go through one product together up to this many tokens. The CPU's kernel works on 32 queries at a time, so
# that many cost what one costs; beyond, what is computed only to be masked costs more than a product of its own.
BUNDLE = 32


@dataclass(frozen=True)
class Branches:
    """Where the groups of a packed row lie: (prompt start, prompt length, response lengths), responses right behind.

    `keep(layer, key, value)`, if given, receives every layer's keys and values [1, H_kv, T, D].
    """

    groups: tuple[tuple[int, int, tuple[int, ...]], ...]
    keep: Callable[[int, torch.Tensor, torch.Tensor], None] | None = None
    _masks: dict[tuple[tuple[int, ...], int, torch.dtype], torch.Tensor] = field(
        default_factory=dict, compare=False, repr=False
    )

    @functools.cached_property
    def bundles(self) -> list[list[tuple[int, ...]]]:
        """Each group's response lengths, by what goes through one product."""
        return [bundled(responses) for _, _, responses in self.groups]

    def mask(self, counts: tuple[int, ...], length: int, like: torch.Tensor) -> torch.Tensor:
        """Additive mask [sum of counts, length + sum of counts] of responses behind their prompt, made once for all
        layers: each sees the prompt, and of the responses itself up to here."""
        key = (counts, length, like.dtype)
        if key not in self._masks:
            own = [torch.ones(count, count, dtype=torch.bool, device=like.device).tril() for count in counts]
            seen = torch.cat([own[0].new_ones(sum(counts), length), torch.block_diag(*own)], dim=1)
            self._masks[key] = torch.zeros(seen.shape, dtype=like.dtype, device=like.device).masked_fill_(
                ~seen, float("-inf")
            )
        return self._masks[key]


def bundled(lengths: Sequence[int]) -> list[tuple[int, ...]]:
    """Lengths of responses in order, cut into bundles of at most BUNDLE tokens; a longer response stands alone."""
    bundles: list[tuple[int, ...]] = []
    for length in lengths:
        if bundles and sum(bundles[-1]) + length <= BUNDLE:
            bundles[-1] = (*bundles[-1], length)
        else:
            bundles.append((length,))
    return bundles


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
    grouped = query.shape[1] != key.shape[1]
    if grouped and query.device.type != "cpu":  # with a mask, CUDA's fused kernels know no grouped heads; the CPU's do
        repeats = query.shape[1] // key.shape[1]
        key, value = (key.repeat_interleave(repeats, dim=1), value.repeat_interleave(repeats, dim=1))
        grouped = False
    attend = functools.partial(scaled_dot_product_attention, dropout_p=dropout, scale=scaling, enable_gqa=grouped)
    # One split of the row: every slice of its own would cost a whole row of zeros in the backward pass.
    lengths = [
        sum(counts)
        for (_, length, _), bundles in zip(branches.groups, branches.bundles, strict=True)
        for counts in ((length,), *bundles)
    ]
    pieces = zip(query.split(lengths, dim=2), key.split(lengths, dim=2), value.split(lengths, dim=2), strict=True)
    parts: list[torch.Tensor] = []
    for (_, length, _), bundles in zip(branches.groups, branches.bundles, strict=True):
        prompt_query, prompt_key, prompt_value = next(pieces)
        parts.append(attend(prompt_query, prompt_key, prompt_value, is_causal=True))
        for counts in bundles:
            own_query, own_key, own_value = next(pieces)
            own_key, own_value = torch.cat([prompt_key, own_key], dim=2), torch.cat([prompt_value, own_value], dim=2)
            parts.append(attend(own_query, own_key, own_value, attn_mask=branches.mask(counts, length, query)))
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
