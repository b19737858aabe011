"""One model of an adapter and its base, for servers and formats that know no adapters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig

from lm.adapters import merge_adapter
from lm.loading import load_policy, resolve_model, save_model
from rl.training.actor import CARD, write_card
from rl.training.settings.merging import MergeConfig
from runs.child import RunDir, UserError, write_json


def merge(run: RunDir, config: MergeConfig) -> None:
    """Fold inputs["adapter"] into inputs["model"] and leave a whole `AutoModelForCausalLM` in `run.output`.

    inputs["result"], the figures of the training that made the adapter, go into the card.
    """
    adapter = run.inputs.get("adapter")
    if not adapter:
        raise UserError("There is no adapter to merge: the policy is a whole model already.")
    run.progress(0, 2, "loading the model")
    merge_policy(str(run.inputs["model"]), adapter, run.output, run.inputs.get("models_dir"), config.dtype)
    run.progress(1, 2, "describing it")
    write_card(run, run.inputs.get("result") or {})
    run.result(weights=sum(file.stat().st_size for file in run.output.glob("*.safetensors")))
    run.progress(2, 2)


def merge_policy(
    model: str, adapter: str | Path, target: Path, models_dir: str | None = None, dtype: str = "base"
) -> None:
    """Write `model` with `adapter` folded into its layers to `target`: weights, tokenizer and policy.json.

    The sum is made in float32 and then stored as `dtype`. Raises UserError if the two do not load or do not fit.
    """
    try:
        loaded, chat = load_policy(model, adapter=adapter, models_dir=models_dir, device="cpu", dtype="float32")
        stored = AutoConfig.from_pretrained(resolve_model(model, models_dir)).dtype or torch.float32
    except ValueError as error:
        raise UserError(str(error)) from error
    adapted: Any = loaded
    whole = adapted.get_base_model()
    merge_adapter(adapted)
    nn.Module.to(whole, stored if dtype == "base" else getattr(torch, dtype))
    save_model(whole, chat, target)
    card = Path(adapter) / CARD
    about = json.loads(card.read_text(encoding="utf-8")) if card.is_file() else {"config": {}, "algorithm": "unknown"}
    write_json(target / CARD, {**about, "base_model": about.get("base_model", model), "method": "merged"})
