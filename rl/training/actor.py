"""The policy being trained, the reference it is held to, and the critic: several hats on one frozen base.

With LoRA the policy is an adapter, the reference the same base without it (or, where training starts from an adapter, a
frozen copy of that), and the critic another adapter under a value head: the memory of about one model. With full
training the policy has weights of its own, and reference and critic share a second, frozen copy of the start.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lm.adapters import POLICY, add_lora, freeze_reference, is_adapted, reference, trainable
from lm.chat import Chat
from lm.loading import load_policy, pick_device, pick_dtype, resolve_model, save_model
from lm.prefix import unwrap
from rl.training.card import card, last_samples
from rl.training.config import PolicySettings, PPOConfig
from rl.training.critic import CRITIC, Critic
from runs.child import EVENTS, RunDir, UserError, write_json

CARD, README = "policy.json", "README.md"
FORMAT = "plumbline-policy/1"


class Actor:
    """A policy and its reference. `model` is always in evaluation mode unless a trainer switches it."""

    def __init__(
        self, model: Any, chat: Chat, base: str, dtype: torch.dtype, batch_tokens: int, frozen: Any = None
    ) -> None:
        self.model = model
        self.chat = chat
        self.base = base
        self.dtype = dtype
        self.batch_tokens = batch_tokens
        self._frozen = frozen
        self._recomputes = False
        self.parameters: dict[str, nn.Parameter] = trainable(model)

    @property
    def device(self) -> torch.device:
        return self.model.device

    @contextlib.contextmanager
    def reference(self) -> Iterator[Any]:
        """Within, the model to ask for the reference's log-probs.

        A fully trained policy loaded without `keep_reference` is its own reference, until its first step.
        """
        if is_adapted(self.model):
            with reference(self.model) as model:
                yield model
        elif self._frozen is None:
            yield self.model
        elif is_adapted(self._frozen):
            with self._frozen.disable_adapter():
                yield self._frozen
        else:
            yield self._frozen

    def add_critic(self, config: PPOConfig) -> Critic:
        """A critic that starts as the base under a value head of zeros, so that its first values are 0."""
        host = self.model if is_adapted(self.model) else self._frozen
        host = add_lora(host, config.lora, name=CRITIC, seed=config.seed + 1)
        critic = Critic(host, self.autocast)
        if host is self.model or is_adapted(self.model):
            self.model.set_adapter(POLICY)
        else:
            self._frozen = host
        return critic

    def autocast(self) -> torch.autocast:
        """The arithmetic of training and of sampling alike, so that both give a token the same probability."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.dtype == torch.bfloat16)

    def recompute(self, on: bool) -> None:
        """Whether a backward pass in training mode computes each layer again instead of keeping it (Chen et al. 2016).

        For a comparison that is longer than the memory budget and cannot be cut in two.
        """
        if on != self._recomputes:
            self._recomputes = on
            base = unwrap(self.model)
            if on:
                base.activation_checkpointing_enable({"use_reentrant": False})
            else:
                base.activation_checkpointing_disable()

    def memory(self) -> dict[str, int]:
        """Bytes of weights by who needs them: the base once for all hats, the policy's own, a separate reference."""
        own = {id(parameter) for parameter in self.parameters.values()}
        shared = [value for value in self.model.parameters() if id(value) not in own]
        return {
            "base": _bytes(value for value in shared),
            "policy": _bytes(self.parameters.values()),
            "reference": _bytes(self._frozen.parameters()) if self._frozen is not None else 0,
        }

    def save(self, directory: Path) -> None:
        """Write what plain transformers or PEFT loads: an adapter over its named base, or a whole model."""
        if is_adapted(self.model):
            self.model.peft_config[POLICY].base_model_name_or_path = self.base
        else:
            self.model.to(self.dtype)
        save_model(self.model, self.chat, directory)


def load_actor(
    config: PolicySettings, inputs: Mapping[str, Any], *, device: str = "auto", keep_reference: bool = False
) -> Actor:
    """Load inputs {"model", "adapter", "models_dir"} ready to train.

    Full training keeps float32 weights, for AdamW's small steps are lost in bfloat16's rounding; `keep_reference` then
    loads a frozen copy of the start. Raises UserError if the model or the adapter does not load.
    """
    name, adapter, models_dir = inputs["model"], inputs.get("adapter"), inputs.get("models_dir")
    dtype = pick_dtype(config.dtype, pick_device(device))
    # Kept activations of a 135M model take about 3 MB a token; without gradients about four times as many tokens fit.
    budget = config.batch_tokens or (16_384 if pick_device(device).type == "cuda" else 512)
    wanted = "float32" if config.method == "full" else config.dtype

    def load() -> tuple[Any, Chat]:
        return load_policy(name, adapter=adapter, models_dir=models_dir, device=device, dtype=wanted)

    try:
        base = resolve_model(name, models_dir)
        model, chat = load()
        if config.method == "lora":
            for parameter_name, parameter in model.named_parameters():
                parameter.requires_grad_(adapter is not None and f".{POLICY}." in parameter_name)
            if adapter is None:
                model = add_lora(model, config.lora, seed=config.seed)
            else:
                freeze_reference(model)
            return Actor(model, chat, base, dtype, budget)
        model = _whole(model, adapter)
        model.requires_grad_(True)
        frozen = None
        if keep_reference:
            frozen = _whole(load()[0], adapter).requires_grad_(False)
    except ValueError as error:
        raise UserError(str(error)) from error
    return Actor(model, chat, base, dtype, budget, frozen)


def write_policy(run: RunDir, actor: Actor, config: PolicySettings, **more: Any) -> None:
    """Fill `run.output` with the policy and its card."""
    run.output.mkdir(parents=True, exist_ok=True)
    actor.save(run.output)
    about = {
        "format": FORMAT,
        "algorithm": config.model_dump()["algorithm"],
        "method": config.method,
        "base_model": str(run.inputs["model"]),
        "base_adapter": run.inputs.get("adapter"),
        "config": json.loads(config.model_dump_json()),
        "versions": {name: version(name) for name in ("torch", "transformers", "peft")},
    }
    write_json(run.output / CARD, {**about, **more})


def write_card(run: RunDir, result: Mapping[str, Any]) -> None:
    """Put README.md beside the policy in `run.output`, from its card, its run's `result` and its last samples."""
    policy = json.loads((run.output / CARD).read_text(encoding="utf-8"))
    known: dict[str, Any] = {name: run.inputs[name] for name in ("title", "lineage") if name in run.inputs}
    text = card({**policy, **known}, result, samples=last_samples(run.path / EVENTS))
    (run.output / README).write_text(text, encoding="utf-8")


def _whole(model: Any, adapter: Any) -> Any:
    """A model without adapters: what an adapter adds is folded in."""
    return model if adapter is None else model.merge_and_unload()


def _bytes(parameters: Iterable[torch.Tensor]) -> int:
    return sum(value.numel() * value.element_size() for value in parameters)
