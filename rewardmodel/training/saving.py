"""A reward model as a directory, and back.

    config.json, model.safetensors, ...   what AutoModelForSequenceClassification loads: the plain score
    README.md                             the model card, see `rewardmodel.training.card`
    reward.json                           dimensions, shift, and under `ensemble` and `adapter` how the score is made
    members/heads.safetensors             an ensemble's score rows, `heads` [members, dimensions, d]
    members/base.safetensors              the layers without adapter, if members differ in their adapter
    members/1/, members/2/, ...           those adapters, in PEFT's format
    adapter/                              virtual tokens, in PEFT's format, over this directory's own model

The plain score of an ensemble of heads is the ensemble's: heads are linear, so the mean head gives the mean score. The
plain score of an ensemble of adapters is its first member's. That of a model with virtual tokens is the score without
them, of no use: `PeftModel.from_pretrained(model, DIR + "/adapter")` puts them before the prompt.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from lm.adapters import merge_adapter, save_adapter
from lm.chat import Chat
from lm.loading import fix_token_ids
from lm.virtual import VirtualTokens
from rewardmodel.training.model import ADAPTER, RewardNet

MEMBERS, HEADS, BASE, VIRTUAL_DIR = "members", "heads.safetensors", "base.safetensors", "adapter"


def save_net(net: RewardNet, directory: str | Path, dtype: torch.dtype) -> dict[str, Any]:
    """Write a trained net, its weights as `dtype`, and return what reward.json says of ensemble and adapter.

    The net is of no use afterwards: adapters are folded into its layers, and its head is the plain one.
    """
    target = Path(directory)
    target.mkdir(parents=True, exist_ok=True)
    classifier: Any = net.classifier
    rows = classifier.score.weight.detach().view(net.members, net.parts, len(net.dimensions), -1)[:, 0].to(dtype)
    more: dict[str, Any] = {}
    if net.members > 1:
        more["ensemble"] = {"members": net.members, "of": "adapters" if net.adapters else "heads"}
        (target / MEMBERS).mkdir(exist_ok=True)
        save_file({"heads": rows.cpu().contiguous()}, target / MEMBERS / HEADS)
    plain = rows[0] if net.adapters else rows.float().mean(dim=0).to(dtype)
    if net.virtual is not None:
        # PEFT's classifiers bring their score layer along, and look for it in the adapter.
        score = {"base_model.score.weight": plain}
        about = {"task_type": "SEQ_CLS", "base_model_name_or_path": ".."}
        save_adapter(net.adapted, target / VIRTUAL_DIR, ADAPTER, more=score, **about)
        net.virtual.detach()
        more["adapter"] = {"directory": VIRTUAL_DIR, "virtual_tokens": len(net.virtual.ids)}
    elif net.adapters:
        _save_members(net, target / MEMBERS, dtype)
        merge_adapter(net.adapted, net.adapters[0])
    elif net.adapted is not None:
        merge_adapter(net.adapted)
    classifier.score = nn.Linear(plain.shape[1], plain.shape[0], bias=False, device=plain.device, dtype=dtype)
    with torch.no_grad():
        classifier.score.weight.copy_(plain)
    nn.Module.to(classifier, dtype)
    fix_token_ids(classifier, net.chat)
    classifier.save_pretrained(target)
    net.chat.save(target)
    for file in target.rglob("*.safetensors"):
        file.chmod(0o644)  # safetensors makes its files private, and web and worker may be different users
    return {**more, "plain_score": _plain_score(net)}


def load_net(directory: str | Path, card: dict[str, Any], device: torch.device) -> RewardNet:
    """The net of a saved directory. Raises what transformers, PEFT and the file system raise."""
    folder = Path(directory)
    classifier: Any = AutoModelForSequenceClassification.from_pretrained(
        folder, dtype="auto", trust_remote_code=False, use_safetensors=True
    )
    classifier.to(device)
    chat = Chat(AutoTokenizer.from_pretrained(folder, trust_remote_code=False))
    ensemble, adapter = card.get("ensemble"), card.get("adapter")
    names: tuple[str, ...] = ()
    adapted: Any = None
    virtual: VirtualTokens | None = None
    if ensemble:
        rows = load_file(folder / MEMBERS / HEADS)["heads"]
        classifier.score = nn.Linear(rows.shape[-1], rows.shape[0] * rows.shape[1], bias=False, dtype=rows.dtype)
        with torch.no_grad():
            classifier.score.weight.copy_(rows.flatten(0, 1))
        classifier.score.to(device)
        if ensemble["of"] == "adapters":
            names = tuple(f"{ADAPTER}{number}" for number in range(1, int(ensemble["members"]) + 1))
            adapted = _load_members(classifier, folder / MEMBERS, names)
    if adapter:
        virtual = _load_virtual(classifier, folder / adapter["directory"])
    classifier.requires_grad_(False)
    heads = 1 if names or not ensemble else int(ensemble["members"])
    return RewardNet(
        classifier.eval(), chat, card["dimensions"], heads=heads, adapted=adapted, adapters=names, virtual=virtual
    )


def _plain_score(net: RewardNet) -> str:
    if net.virtual is not None:
        return f"without the virtual tokens, which plain PEFT adds from {VIRTUAL_DIR}/"
    if net.adapters:
        return "the first member's; the score is the mean over the members"
    return "the score"


def _save_members(net: RewardNet, target: Path, dtype: torch.dtype) -> None:
    for number, name in enumerate(net.adapters, start=1):
        save_adapter(net.adapted, target / str(number), name, task_type=None, base_model_name_or_path=None)
    marks = [f".{name}" for name in net.adapters]
    layers = {
        name.replace(".base_layer.", "."): value.detach().to("cpu", dtype, copy=True).contiguous()
        for name, value in net.classifier.state_dict().items()
        if not any(mark in name for mark in marks) and not name.startswith("score.")
    }
    save_file(layers, target / BASE, metadata={"format": "pt"})


def _load_members(classifier: Any, folder: Path, names: tuple[str, ...]) -> Any:
    layers = load_file(folder / BASE)
    wrong = set(layers) ^ {name for name in classifier.state_dict() if not name.startswith("score.")}
    if wrong:
        raise ValueError(f"{folder / BASE} is of another model: it differs in {', '.join(sorted(wrong)[:5])}.")
    classifier.load_state_dict(layers, strict=False)
    adapted: Any = PeftModel.from_pretrained(classifier, folder / "1", adapter_name=names[0])
    for number, name in enumerate(names[1:], start=2):
        adapted.load_adapter(folder / str(number), adapter_name=name)
    adapted.set_adapter(names[0])
    return adapted


def _load_virtual(classifier: Any, folder: Path) -> VirtualTokens:
    settings = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    table = load_file(folder / "adapter_model.safetensors")["prompt_embeddings"]
    table = table.to(classifier.device)
    return VirtualTokens(
        classifier.base_model, len(table), lambda: table, prefix=settings["peft_type"] == "PREFIX_TUNING"
    )
