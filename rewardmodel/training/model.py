"""A reward model: a causal language model's backbone under one bias-free linear score a dimension.

The network is transformers' own sequence classifier, so what is saved loads there without code of ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from lm.adapters import add_lora
from lm.chat import Chat
from lm.loading import fix_token_ids, load_policy, pick_device, pick_dtype
from lm.prefix import Group, end_hidden
from rewardmodel.training.config import RewardConfig
from runs.child import UserError

ADAPTER = "reward"


class RewardNet:
    """A sequence classifier with its chat and the names of its scores."""

    def __init__(self, classifier: PreTrainedModel, chat: Chat, dimensions: Sequence[str], adapted: Any = None) -> None:
        self.classifier = classifier
        self.chat = chat
        self.dimensions = tuple(dimensions)
        self._adapted = adapted
        self._recomputes = False

    @property
    def members(self) -> int:
        """Models in the ensemble; 1 for a plain model."""
        return 1

    def member_scores(self, groups: Sequence[Group], *, shared: bool = True) -> list[Tensor]:
        """Scores [K, members, dimensions] of each group's responses."""
        return [values[:, None] for values in self.scores(groups, shared=shared)]

    def scores(self, groups: Sequence[Group], *, shared: bool = True) -> list[Tensor]:
        """Scores [K, dimensions] of each group's responses, float32, from one forward of all groups.

        A score is the classifier's logit at the end-of-turn token that closes the response.
        """
        score: Any = self.classifier.score
        hidden = end_hidden(self.classifier, list(groups), shared=shared)
        return [score(states.to(score.weight.dtype)).float() for states in hidden]

    def recompute(self, on: bool) -> None:
        """Whether a backward pass computes each layer's activations again instead of keeping them (Chen et al. 2016).

        Kept activations of a 135M model take about 3 MB a token, and a comparison cannot be cut in two.
        """
        if on == self._recomputes:
            return
        self._recomputes = on
        if on:
            self.classifier.activation_checkpointing_enable({"use_reentrant": False})
        else:
            self.classifier.activation_checkpointing_disable()

    def merge(self, dtype: torch.dtype) -> None:
        """Fold a LoRA adapter into the weights it adapts, and bring every weight to `dtype`."""
        if self._adapted is not None:
            self._adapted.merge_and_unload()  # replaces the layers in place, so the classifier has the merged ones
            self._adapted = None
        nn.Module.to(self.classifier, dtype)

    def save(self, directory: str | Path) -> None:
        """Write a directory that AutoModelForSequenceClassification and AutoTokenizer load."""
        fix_token_ids(self.classifier, self.chat)
        self.classifier.save_pretrained(directory)
        self.chat.save(directory)


def new_reward_net(
    config: RewardConfig,
    dimensions: Sequence[str],
    model: str,
    *,
    adapter: str | None = None,
    models_dir: str | Path | None = None,
    device: str = "auto",
) -> RewardNet:
    """A reward model that starts from a policy and is ready to train, its score head drawn from N(0, 1/(d + 1)).

    `adapter`, a LoRA of the policy, is merged first. Full training keeps float32 weights, for AdamW's small steps are
    lost in bfloat16's rounding. Raises UserError if the model cannot carry a score.
    """
    if config.method not in ("lora", "full"):
        raise UserError(f"The method {config.method} is not there yet. Choose lora or full.")
    where = pick_device(device)
    dtype = "float32" if config.method == "full" else config.dtype
    try:
        policy, chat = load_policy(model, adapter=adapter, models_dir=models_dir, device=device, dtype=dtype)
        if adapter is not None:
            policy = policy.merge_and_unload()  # type: ignore[operator]
    except ValueError as error:
        raise UserError(str(error)) from error
    for parameter in policy.parameters():
        parameter.requires_grad_(config.method == "full")
    adapted = None
    if config.method == "lora":
        adapted = add_lora(policy, config.lora, name=ADAPTER, seed=config.seed)
    classifier = _classifier_over(policy, dimensions, model)
    generator = torch.Generator().manual_seed(config.seed)
    width: int = classifier.score.in_features
    drawn = torch.randn(len(dimensions), width, generator=generator) * (width + 1) ** -0.5
    classifier.score = nn.Linear(width, len(dimensions), bias=False, device=where, dtype=torch.float32)
    with torch.no_grad():
        classifier.score.weight.copy_(drawn)
    fix_token_ids(classifier, chat)
    return RewardNet(classifier, chat, dimensions, adapted)


def batch_tokens(config: RewardConfig, device: str = "auto") -> int:
    """Tokens of one training forward. Without gradients about four times as many fit."""
    return config.batch_tokens or (16384 if pick_device(device).type == "cuda" else 512)


def saved_dtype(config: RewardConfig, device: str = "auto") -> torch.dtype:
    """The number format of the saved weights, which is also that of the arithmetic while training."""
    return pick_dtype(config.dtype, pick_device(device))


def _classifier_over(policy: Any, dimensions: Sequence[str], name: str) -> Any:
    """transformers' classifier of the policy's architecture, around the policy's own backbone: no weight is copied."""
    config = policy.config
    config.num_labels = len(dimensions)
    config.id2label = dict(enumerate(dimensions))
    config.label2id = {dimension: index for index, dimension in enumerate(dimensions)}
    try:
        with torch.device("meta"):
            classifier: Any = AutoModelForSequenceClassification.from_config(config)
        setattr(classifier, classifier.base_model_prefix, getattr(policy, policy.base_model_prefix))
        empty = [key for key, value in classifier.named_parameters() if value.is_meta and key != "score.weight"]
    except (ValueError, AttributeError) as error:
        raise UserError(f"{name} cannot become a reward model: {error}") from error
    if empty or not isinstance(getattr(classifier, "score", None), nn.Linear):
        raise UserError(
            f"{name} cannot become a reward model: transformers has no classifier with one linear score for its "
            f"architecture, {config.model_type}. Choose a decoder-only model such as a Llama, Qwen or Mistral."
        )
    return classifier
