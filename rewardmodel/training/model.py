"""A reward model: a causal language model's backbone under one bias-free linear score a dimension.

The network is transformers' own sequence classifier, so what is saved loads there without code of ours. While it is
trained, its score layer holds a row for every member of an ensemble and every part of the score:
[members, parts, dimensions]. What is saved is described in `rewardmodel.training.saving`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from lm.adapters import add_adapter, is_adapted, trainable, wear_virtual_tokens
from lm.chat import Chat
from lm.config import VIRTUAL
from lm.loading import fix_token_ids, load_policy, pick_device, pick_dtype
from lm.prefix import Group, end_hidden, token_batches
from lm.virtual import VirtualTokens
from rewardmodel.training.config import RewardConfig
from runs.child import UserError

ADAPTER = "reward"


class RewardNet:
    """A sequence classifier with its chat and the names of its scores.

    An ensemble is `heads` rows over one adapter, or one row over each of `adapters`; a *stream* is what takes a forward
    of its own: one, or one an adapter. A member's score has `parts`: its quality and, while ODIN trains, what length
    explains.
    """

    def __init__(
        self,
        classifier: PreTrainedModel,
        chat: Chat,
        dimensions: Sequence[str],
        *,
        heads: int = 1,
        parts: int = 1,
        adapted: Any = None,
        adapters: Sequence[str] = (),
        virtual: VirtualTokens | None = None,
    ) -> None:
        self.classifier = classifier
        self.chat = chat
        self.dimensions = tuple(dimensions)
        self.heads, self.parts = heads, parts
        self.adapted, self.adapters = adapted, tuple(adapters)
        self.virtual = virtual
        self._recomputes = False
        self._worn = 0

    @property
    def streams(self) -> int:
        """Forwards that one batch needs for all members."""
        return max(1, len(self.adapters))

    @property
    def members(self) -> int:
        """Models in the ensemble; 1 for a plain model."""
        return self.heads * self.streams

    def scores(self, groups: Sequence[Group], *, shared: bool = True) -> list[Tensor]:
        """Scores [K, dimensions] of each group's responses: the mean over the members."""
        return [values.mean(dim=1) for values in self.member_scores(groups, shared=shared)]

    def member_scores(self, groups: Sequence[Group], *, shared: bool = True) -> list[Tensor]:
        """Scores [K, members, dimensions] of each group's responses, float32."""
        found = [self.outputs(groups, stream, shared=shared) for stream in range(self.streams)]
        return [torch.cat([values[:, :, 0] for values in streams], dim=1) for streams in zip(*found, strict=True)]

    def outputs(self, groups: Sequence[Group], stream: int = 0, *, shared: bool = True) -> list[Tensor]:
        """All that a stream's forward of `groups` says of each response: [K, heads, parts, dimensions], float32.

        A score is the classifier's logit at the end-of-turn token that closes the response.
        """
        self._wear(stream)
        hidden = end_hidden(self.classifier, self.lengthened(groups), shared=shared)
        weight = self.rows(stream).flatten(0, 2)
        shape = (self.heads, self.parts, len(self.dimensions))
        return [linear(states.to(weight.dtype), weight).float().unflatten(-1, shape) for states in hidden]

    def rows(self, stream: int) -> Tensor:
        """The stream's part of the score layer: [heads, parts, dimensions, d]."""
        score: Any = self.classifier.score
        weight = score.weight.view(self.members, self.parts, len(self.dimensions), -1)
        return weight[stream * self.heads : (stream + 1) * self.heads]

    def lengthened(self, groups: Sequence[Group]) -> list[Group]:
        """The groups with virtual tokens, if there are any, before each prompt."""
        if self.virtual is None:
            return list(groups)
        return [Group([*self.virtual.ids, *group.prompt], group.responses) for group in groups]

    def batches(self, groups: Sequence[Group], budget: int) -> list[list[int]]:
        """Indices of `groups` in batches of at most `budget` tokens, virtual ones counted."""
        return token_batches(self.lengthened(groups), budget)

    def tokens(self, groups: Sequence[Group]) -> int:
        """Tokens of one forward of `groups`."""
        return sum(group.tokens for group in self.lengthened(groups))

    # training -------------------------------------------------------------------------------------------------------

    def trainable(self) -> dict[str, nn.Parameter]:
        """Everything that training changes, of all members, by name."""
        found = trainable(self.classifier)
        if self.virtual is not None and is_adapted(self.adapted):
            found |= {f"virtual.{name}": value for name, value in trainable(self.adapted.prompt_encoder).items()}
        return found

    def gradients(self, stream: int) -> list[Tensor]:
        """The gradients of one stream, whose members are trained as if alone: their length is clipped by itself."""
        if self.streams == 1:
            return [value.grad for value in self.trainable().values() if value.grad is not None]
        mark = f".{self.adapters[stream]}."
        found = [
            value.grad for name, value in self.trainable().items() if mark in f"{name}." and value.grad is not None
        ]
        score: Any = self.classifier.score
        if score.weight.grad is not None:
            found.append(score.weight.grad.view(self.streams, -1)[stream])
        return found

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

    def _wear(self, stream: int) -> None:
        """Bring the adapter of `stream` into effect. PEFT freezes the others, which go on being trained here."""
        if stream == self._worn or len(self.adapters) < 2:
            return
        before = {name: value.requires_grad for name, value in self.classifier.named_parameters()}
        self.adapted.set_adapter(self.adapters[stream])
        for name, value in self.classifier.named_parameters():
            value.requires_grad_(before[name])
        self._worn = stream


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

    `adapter`, a LoRA of the policy, is merged first. Training of the model's own weights keeps them in float32, for
    AdamW's small steps are lost in bfloat16's rounding. Raises UserError if model and method do not fit.
    """
    where = pick_device(device)
    own = config.method in ("full", "bitfit")
    try:
        policy, chat = load_policy(
            model,
            adapter=adapter,
            models_dir=models_dir,
            device=device,
            dtype="float32" if own else config.dtype,
            four_bits=config.method == "qlora",
            template=config.chat_template,
        )
        if adapter is not None:
            policy = policy.merge_and_unload()  # type: ignore[operator]
        policy.requires_grad_(False)
        apart = config.ensemble if config.ensemble_of == "adapters" else 1
        names = [ADAPTER, *(f"{ADAPTER}{number}" for number in range(2, apart + 1))]
        adapted: Any = policy
        for number, name in enumerate(names):
            adapted = add_adapter(adapted, config, name, seed=member_seed(config.seed, number))
        virtual = wear_virtual_tokens(adapted, ADAPTER) if config.method in VIRTUAL else None
    except ValueError as error:
        raise UserError(str(error)) from error
    classifier = classifier_over(policy, dimensions, model)
    if apart > 1:
        adapted.set_adapter(ADAPTER)
        for name, value in classifier.named_parameters():
            value.requires_grad_(any(f".{own}." in f"{name}." for own in names))
    net = RewardNet(
        classifier,
        chat,
        dimensions,
        heads=config.ensemble // apart,
        parts=2 if config.length_control == "odin" else 1,
        adapted=adapted if is_adapted(adapted) else None,
        adapters=names if apart > 1 else (),
        virtual=virtual,
    )
    _draw_heads(net, config.seed, where)
    fix_token_ids(classifier, chat)
    return net


def member_seed(seed: int, member: int) -> int:
    """The seed of an ensemble's member; the first one's is that of a model trained alone."""
    return seed + 7919 * member


def batch_tokens(config: RewardConfig, device: str = "auto") -> int:
    """Tokens of one training forward. Without gradients about four times as many fit."""
    return config.batch_tokens or (16384 if pick_device(device).type == "cuda" else 512)


def saved_dtype(config: RewardConfig, device: str = "auto") -> torch.dtype:
    """The number format of the saved weights, which is also that of the arithmetic while training."""
    return pick_dtype(config.dtype, pick_device(device))


def _draw_heads(net: RewardNet, seed: int, where: torch.device) -> None:
    """Give the score layer its rows, each member's drawn by a seed of its own."""
    classifier: Any = net.classifier
    width: int = classifier.score.in_features
    drawn = []
    for member in range(net.members):
        generator = torch.Generator().manual_seed(member_seed(seed, member))
        drawn.append(torch.randn(net.parts * len(net.dimensions), width, generator=generator) * (width + 1) ** -0.5)
    rows = net.members * net.parts * len(net.dimensions)
    classifier.score = nn.Linear(width, rows, bias=False, device=where, dtype=torch.float32)
    with torch.no_grad():
        classifier.score.weight.copy_(torch.cat(drawn))


def classifier_over(policy: Any, dimensions: Sequence[str], name: str) -> Any:
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
