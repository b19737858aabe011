"""Low-rank adapters: several hats on one frozen base.

The adapter being trained is called `policy`. The reference it is compared with is the base with adapters off, or, when
training starts from an adapter, a frozen copy of it called `reference`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import save_file

from lm.config import LoraSettings

POLICY, REFERENCE = "policy", "reference"

_ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]


def is_adapted(model: Any) -> bool:
    """Whether `model` carries PEFT adapters."""
    return isinstance(model, PeftModel)


def add_lora(model: Any, settings: LoraSettings, name: str = POLICY, *, seed: int | None = None) -> Any:
    """Freeze `model`, add a trainable LoRA adapter called `name`, and return the PEFT model.

    A new adapter is the identity (its B is zero). With `seed` its A is drawn from it, the global generator untouched.
    """
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]  # PEFT divides it by the rank; a fraction is fine
        lora_dropout=settings.dropout,
        target_modules=settings.targets if settings.targets == "all-linear" else _ATTENTION,
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        if is_adapted(model):
            model.add_adapter(name, config)
            model.set_adapter(name)
            return model
        return get_peft_model(model, config, adapter_name=name)


def freeze_reference(model: Any) -> None:
    """Keep the policy adapter of this moment as the frozen adapter `reference`."""
    model.add_adapter(REFERENCE, model.peft_config[POLICY])
    set_peft_model_state_dict(model, get_peft_model_state_dict(model, adapter_name=POLICY), adapter_name=REFERENCE)
    model.set_requires_grad(REFERENCE, requires_grad=False)
    model.set_adapter(POLICY)


@contextlib.contextmanager
def reference(model: Any) -> Iterator[Any]:
    """Within, `model` is the reference policy: its `reference` adapter if it has one, else the base alone."""
    if REFERENCE not in model.peft_config:
        with model.disable_adapter():
            yield model
        return
    model.set_adapter(REFERENCE, inference_mode=True)
    try:
        yield model
    finally:
        model.set_adapter(POLICY)


def save_adapter(model: Any, directory: Path, name: str = POLICY) -> None:
    """Write one adapter as a PEFT directory. PEFT's own saving would put it in a subfolder of its name."""
    directory.mkdir(parents=True, exist_ok=True)
    state = get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
    tensors = {key: value.detach().to("cpu").contiguous() for key, value in state.items()}
    save_file(tensors, directory / "adapter_model.safetensors", metadata={"format": "pt"})
    config = model.peft_config[name]
    training_mode = config.inference_mode
    config.inference_mode = True
    try:
        config.save_pretrained(str(directory))
    finally:
        config.inference_mode = training_mode


def trainable(model: Any) -> dict[str, torch.nn.Parameter]:
    """The parameters that training changes, by name, each once."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
