"""The critic: an adapter on the policy's base, under a linear value head."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lm.adapters import POLICY, trainable
from lm.prefix import Group, backbone, hidden_states
from rl.training.rewards import Rewards

CRITIC = "critic"
# A difference between two sets of weights counts as of the adapter's rank if so little of it is left over.
_LEFT_OVER = 1e-3


class Critic:
    """A LoRA adapter called `critic` and a linear value head, the head in float32 and starting from zeros.

    The value of a token is that of the state before it: the head reads the hidden state that predicts the token.
    """

    def __init__(self, host: Any, autocast: Any) -> None:
        self.host = host
        self.autocast = autocast
        self.head = nn.Linear(host.config.hidden_size, 1, device=host.device, dtype=torch.float32)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        host.set_adapter(CRITIC)
        self.parameters: dict[str, nn.Parameter] = trainable(host) | {
            f"value_head.{name}": parameter for name, parameter in self.head.named_parameters()
        }

    @contextlib.contextmanager
    def worn(self) -> Iterator[None]:
        """Within, the base carries the critic's adapter. A backward pass must end before the policy's returns."""
        others = [name for name in self.host.peft_config if name == POLICY]
        self.host.set_adapter(CRITIC)
        try:
            yield
        finally:
            if others:
                self.host.set_adapter(POLICY)

    def values(self, groups: Sequence[Group]) -> list[list[Tensor]]:
        """Value [R] before every token of every response. Call it inside `worn`."""
        with self.autocast():
            hidden = hidden_states(self.host, groups)
        return [[self.head(hidden.states[rows].float())[:, 0] for rows in responses] for responses in hidden.predictors]

    @torch.no_grad()
    def adopt(self, rewards: Rewards) -> str:
        """Start from the reward model, as InstructGPT does; returns why that cannot be, or "" if it is done.

        Where the reward model is the base plus a change of low rank in layers that the adapter reaches, that change is
        taken apart into the adapter's two matrices (a truncated singular value decomposition, which is exact for a
        change of the adapter's rank), and the head becomes the weighted scores less their shift. Memory stays that of
        one base.
        """
        classifier: Any = rewards.scorer.net.classifier
        theirs = dict(backbone(classifier).named_parameters())
        layers = _adapted_layers(self.host)
        mine = _base_parameters(self.host)
        if {name: value.shape for name, value in theirs.items()} != {name: value.shape for name, value in mine.items()}:
            return "the reward model is of another architecture"
        changes: dict[str, tuple[Tensor, Tensor]] = {}
        for name, value in theirs.items():
            change = value.float() - mine[name].to(value.device).float()
            if not bool(change.abs().max() > 1e-7):
                continue
            layer = name.removesuffix(".weight")
            if layer not in layers:
                return f"the reward model changed {name}, which no adapter reaches"
            rank = layers[layer].r[CRITIC]
            left, values, right = torch.linalg.svd(change, full_matrices=False)
            if float(values[rank:].square().sum()) > _LEFT_OVER**2 * float(values.square().sum()):
                return f"the reward model's change of {name} is of a higher rank than {rank}"
            root = values[:rank].sqrt()
            changes[layer] = (left[:, :rank] * root, root[:, None] * right[:rank])
        for layer, (out, into) in changes.items():
            module = layers[layer]
            module.lora_A[CRITIC].weight.copy_(into)
            module.lora_B[CRITIC].weight.copy_(out / module.scaling[CRITIC])
        weights = torch.tensor(rewards.weights, device=self.head.weight.device)
        score = classifier.score.weight.to(weights.device).float()
        self.head.weight.copy_((weights @ score)[None])
        shift = torch.tensor(rewards.scorer.shift, device=weights.device)
        self.head.bias.fill_(-float(weights @ shift))
        return ""


def _adapted_layers(host: Any) -> dict[str, Any]:
    """The layers that carry the critic's adapter, by their name in the plain backbone."""
    return {name: module for name, module in backbone(host).named_modules() if CRITIC in getattr(module, "lora_A", {})}


def _base_parameters(host: Any) -> dict[str, Tensor]:
    """The frozen base's own parameters, by their names without adapters."""
    return {
        name.replace(".base_layer.", "."): value
        for name, value in backbone(host).named_parameters()
        if ".lora_" not in name
    }
