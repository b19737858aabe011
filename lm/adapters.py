"""What a training changes of a model: adapters, several hats on one frozen base, or some of its own weights.

The adapter being trained is called `policy`. The reference it is compared with is the base with adapters off, or, when
training starts from an adapter, a frozen copy of it called `reference`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from peft import (
    IA3Config,
    LoraConfig,
    PeftModel,
    PrefixTuningConfig,
    PromptEncoderConfig,
    PromptTuningConfig,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from safetensors.torch import save_file
from torch import nn

from lm.config import LOW_RANK, VIRTUAL, AdapterSettings, LoraSettings
from lm.virtual import VirtualTokens

POLICY, REFERENCE = "policy", "reference"

_ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
# The configuration flags by which transformers' models know of biases, and the part of the layer they are about.
_BIASES = (("attention_bias", "self_attn"), ("mlp_bias", "mlp"))


def is_adapted(model: Any) -> bool:
    """Whether `model` carries PEFT adapters."""
    return isinstance(model, PeftModel)


def add_adapter(model: Any, settings: AdapterSettings, name: str = POLICY, *, seed: int | None = None) -> Any:
    """Leave trainable in `model` what `settings.method` trains, and nothing else; return the model to train.

    With an adapter (LoRA, DoRA, QLoRA, IA3, prefix, prompt, P-tuning) that is a PEFT model over the frozen `model`,
    with a further adapter if it is one already; otherwise (BitFit, head, full) `model` itself. LoRA, DoRA and IA3
    start as the identity. `seed` decides the start, the global generator untouched. Virtual tokens come into effect by
    `wear_virtual_tokens`. Raises ValueError if the method does not fit the model.
    """
    if not is_adapted(model):
        _check_layers(model, settings.frozen_layers)
        if settings.method in ("bitfit", "head", "full"):
            return _freeze(model, settings)
    config = _peft_config(model, settings)
    with torch.random.fork_rng(enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        if is_adapted(model):
            model.add_adapter(name, config)
            model.set_adapter(name)
            return model
        return get_peft_model(model, config, adapter_name=name)


def add_lora(model: Any, settings: LoraSettings, name: str = POLICY, *, seed: int | None = None) -> Any:
    """`add_adapter` with a LoRA of these settings."""
    return add_adapter(model, AdapterSettings(lora=settings), name, seed=seed)


def wear_virtual_tokens(adapted: Any, name: str = POLICY) -> VirtualTokens:
    """Bring virtual tokens (prefix, prompt, P-tuning) into effect for every prompt that begins with their `ids`."""
    config = adapted.peft_config[name]
    encoder = adapted.prompt_encoder[name]
    numbers = torch.arange(config.num_virtual_tokens, device=next(encoder.parameters()).device)[None]
    backbone = adapted.get_base_model().base_model
    return VirtualTokens(
        backbone, config.num_virtual_tokens, lambda: encoder(numbers)[0], prefix=isinstance(config, PrefixTuningConfig)
    )


def merge_adapter(adapted: Any, name: str | None = None) -> None:
    """Fold an adapter (the active one, or `name`) into the layers it adapts, in place, and remove all adapters.

    A base in 4 bits becomes an ordinary one first: folding into 4 bits would round the adapter away.
    """
    base = adapted.get_base_model()
    if getattr(base, "is_loaded_in_4bit", False):
        _merge_into_four_bits(base, name or adapted.active_adapter)
    elif adapted.active_peft_config.is_prompt_learning:
        raise ValueError("Virtual tokens are not weights, so they cannot be merged.")
    else:
        adapted.merge_and_unload(adapter_names=[name] if name else None)


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


def save_adapter(
    model: Any, directory: Path, name: str = POLICY, *, more: Mapping[str, torch.Tensor] | None = None, **changes: Any
) -> None:
    """Write one adapter as a PEFT directory, with `more` tensors, and `changes` made to its configuration.

    PEFT's own saving would put it in a subfolder of its name.
    """
    directory.mkdir(parents=True, exist_ok=True)
    state = get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
    tensors = {key: value.detach().to("cpu").contiguous() for key, value in {**state, **(more or {})}.items()}
    save_file(tensors, directory / "adapter_model.safetensors", metadata={"format": "pt"})
    config = model.peft_config[name]
    changes = {"inference_mode": True, **changes}
    before = {key: getattr(config, key) for key in changes}
    try:
        for key, value in changes.items():
            setattr(config, key, value)
        config.save_pretrained(str(directory))
    finally:
        for key, value in before.items():
            setattr(config, key, value)


def trainable(model: Any) -> dict[str, torch.nn.Parameter]:
    """The parameters that training changes, by name, each once."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


# what each method is ------------------------------------------------------------------------------------------------


def _peft_config(model: Any, settings: AdapterSettings) -> Any:
    if settings.method in VIRTUAL:
        kind: Any = {"prefix": PrefixTuningConfig, "prompt": PromptTuningConfig, "ptuning": PromptEncoderConfig}
        more = {"encoder_hidden_size": model.config.hidden_size} if settings.method == "ptuning" else {}
        return kind[settings.method](num_virtual_tokens=settings.virtual_tokens, task_type="CAUSAL_LM", **more)
    base = model.get_base_model() if is_adapted(model) else model
    kept = _lowest_layers(base, settings.frozen_layers)
    if settings.method == "ia3":
        return IA3Config(task_type="CAUSAL_LM", exclude_modules=kept)
    if settings.method not in LOW_RANK:
        raise ValueError(f"{settings.method} is no adapter.")
    lora = settings.lora
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # PEFT divides it by the rank; a fraction is fine
        lora_dropout=lora.dropout,
        use_dora=settings.method == "dora",
        target_modules=lora.targets if lora.targets == "all-linear" else _ATTENTION,
        exclude_modules=kept,
        task_type="CAUSAL_LM",
    )


def _freeze(model: Any, settings: AdapterSettings) -> Any:
    """Train some of the model's own weights: all, its biases, or none."""
    if settings.method == "bitfit":
        _give_biases(model)
    base = model.base_model
    lowest = {id(p) for layer in _layers(base)[1][: settings.frozen_layers] for p in layer.parameters()}
    if settings.frozen_layers:
        lowest |= {id(parameter) for parameter in base.get_input_embeddings().parameters()}
    for name, parameter in model.named_parameters():
        wanted = settings.method == "full" or (settings.method == "bitfit" and name.endswith(".bias"))
        parameter.requires_grad_(wanted and id(parameter) not in lowest)
    if settings.method == "bitfit" and not trainable(base):
        raise ValueError(f"A {model.config.model_type} has no biases for bitfit to train. Choose ia3 or lora.")
    return model


def _give_biases(model: Any) -> None:
    """Biases of zero where the architecture allows for biases and this model has none, as Llamas have not.

    BitFit (Ben Zaken et al. 2021) was made for models with biases. The configuration says of the new ones, so plain
    transformers loads them.
    """
    for flag, part in _BIASES:
        if getattr(model.config, flag, None) is not False:
            continue
        setattr(model.config, flag, True)
        for name, module in model.base_model.named_modules():
            if isinstance(module, nn.Linear) and module.bias is None and f".{part}." in f".{name}.":
                module.bias = nn.Parameter(module.weight.new_zeros(module.out_features))


def _layers(backbone: Any) -> tuple[str, list[nn.Module]]:
    """The transformer's blocks, its longest module list, and that list's own name."""
    lists = [(name, list(module)) for name, module in backbone.named_modules() if isinstance(module, nn.ModuleList)]
    name, blocks = max(lists, key=lambda each: len(each[1]), default=("", []))
    return name.rpartition(".")[2], blocks


def _check_layers(model: Any, frozen: int) -> None:
    count = len(_layers(model.base_model)[1])
    if frozen > count:
        raise ValueError(f"The model has {count} layers, so {frozen} cannot be frozen. Lower frozen_layers.")


def _lowest_layers(model: Any, count: int) -> str | None:
    """A pattern of the names of all modules in the lowest `count` layers, as PEFT matches them."""
    if not count:
        return None
    name, _ = _layers(model.base_model)
    return rf"(.*\.)?{name}\.({'|'.join(map(str, range(count)))})\..*"


def _merge_into_four_bits(base: Any, name: str) -> None:
    """Replace every 4-bit layer by an ordinary one: W dequantised, plus the adapter's change where it has one."""
    import bitsandbytes as bnb
    from peft.tuners.lora import LoraLayer

    def plain(layer: Any, change: torch.Tensor | None) -> nn.Linear:
        weight = bnb.functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)
        if change is not None:
            weight = (weight.float() + change.float()).to(weight.dtype)
        made = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
        made.weight = nn.Parameter(weight, requires_grad=False)
        made.bias = layer.bias
        return made

    for parent in list(base.modules()):
        for child, module in list(parent.named_children()):
            if isinstance(module, LoraLayer):
                layer: Any = module
                change = layer.get_delta_weight(name) if name in layer.lora_A else None
                setattr(parent, child, plain(layer.get_base_layer(), change))
            elif isinstance(module, bnb.nn.Linear4bit) and not isinstance(parent, LoraLayer):
                setattr(parent, child, plain(module, None))
    for mark in ("is_loaded_in_4bit", "is_quantized"):
        setattr(base, mark, False)
    base.hf_quantizer = None
    if hasattr(base.config, "quantization_config"):
        del base.config.quantization_config
