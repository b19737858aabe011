"""Virtual tokens: trained vectors that stand before the prompt, as if they were words of it.

They get ids behind the vocabulary, so to whoever packs, counts and shares prompts they are tokens like others. Prompt
tuning (Lester et al. 2021) and P-tuning (Liu et al. 2021) give them an embedding; prefix tuning (Li & Liang 2021)
gives them a key and a value in every layer, set in place of what the layer computes. The result is PEFT's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lm.attention import can_branch, use_branch_attention


class VirtualTokens:
    """`count` virtual tokens on a transformer `backbone`, in effect from now until `detach`.

    `table()` gives what is trained: embeddings [count, d], or for a prefix [count, layers * 2 * H_kv * D], each
    layer's key and value in turn. Raises ValueError if a prefix is asked of a model whose attention is its own.
    """

    def __init__(self, backbone: Any, count: int, table: Callable[[], Tensor], *, prefix: bool) -> None:
        self._table = table
        words = backbone.get_input_embeddings()
        self._first = int(words.num_embeddings)
        self.ids = list(range(self._first, self._first + count))
        self._handles = [words.register_forward_pre_hook(self._read)]
        self._layers: list[Any] = []
        if not prefix:
            self._handles.append(words.register_forward_hook(self._embed))
            return
        if not can_branch(backbone):
            self.detach()
            raise ValueError(
                f"Prefix tuning needs attention that can be replaced, and that of {backbone.config.model_type} cannot. "
                "Choose prompt or lora."
            )
        use_branch_attention(backbone)
        self._layers = [module for module in backbone.modules() if hasattr(module, "layer_idx")]
        for module in self._layers:
            module.virtual = functools.partial(self._replace, int(module.layer_idx))

    def detach(self) -> None:
        """Leave the backbone as it was."""
        for handle in self._handles:
            handle.remove()
        for module in self._layers:
            del module.virtual

    def _read(self, module: torch.nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Note where virtual tokens are in ids [B, T], and hide them from the table of words."""
        ids = args[0]
        self._here = ids >= self._first
        self._slots = (ids - self._first).clamp(min=0)
        return (ids.clamp(max=self._first - 1),)

    def _embed(self, module: torch.nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        rows = self._table().to(output.dtype)
        return torch.where(self._here[..., None], rows[self._slots], output)

    def _replace(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values [B, H_kv, T, D] of a layer with those of virtual tokens set to the trained ones."""
        heads, width = key.shape[1], key.shape[3]
        table = self._table().to(key.dtype).view(len(self.ids), -1, heads, width)
        here = self._here[:, None, :, None]
        own_key, own_value = (table[self._slots, 2 * layer + part].transpose(1, 2) for part in (0, 1))
        return torch.where(here, own_key, key), torch.where(here, own_value, value)
