"""Scores of a saved reward model: for the trainer's own evaluation, for PPO, and for anyone with a directory."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from lm.chat import Chat
from lm.loading import pick_device
from lm.prefix import Group, token_batches
from rewardmodel.training.data import closed
from rewardmodel.training.model import RewardNet
from runs.child import UserError

CARD = "reward.json"


@dataclass(frozen=True)
class Scorer:
    """A saved reward model, ready to score.

    A *score* is the classifier's logit, the number that plain transformers gives. A *reward* is the score minus
    `shift`, the mean score over the responses of the training dataset: the score head has no bias to keep it in, and
    preferences do not depend on it, so it lives in reward.json.
    """

    net: RewardNet
    card: dict[str, Any]

    @property
    def dimensions(self) -> tuple[str, ...]:
        return self.net.dimensions

    @property
    def shift(self) -> list[float]:
        """What a score is above a reward, one number a dimension."""
        return [float(self.card["shift"][dimension]) for dimension in self.dimensions]

    @property
    def members(self) -> int:
        """Models in the ensemble; 1 for a plain model."""
        return self.net.members

    def scores(
        self,
        conversations: Sequence[tuple[Sequence[Mapping[str, str]], Sequence[str]]],
        *,
        batch_tokens: int = 8192,
        stop: Callable[[], bool] = lambda: False,
    ) -> list[list[list[float]]]:
        """Score the responses to each (messages, responses): for each, K rows of one score a dimension.

        The scores of an ensemble are the mean over its members. Texts are cut to the lengths that the model was trained
        with. Once `stop()` is true, InterruptedError.
        """
        return self.score_groups([self.group(*each) for each in conversations], batch_tokens=batch_tokens, stop=stop)

    def member_scores(
        self,
        conversations: Sequence[tuple[Sequence[Mapping[str, str]], Sequence[str]]],
        *,
        batch_tokens: int = 8192,
        stop: Callable[[], bool] = lambda: False,
    ) -> list[list[list[list[float]]]]:
        """As `scores`, by member: for each conversation, K rows of one list a member of one score a dimension."""
        groups = [self.group(*each) for each in conversations]
        return [values.tolist() for values in self._member_scores(groups, batch_tokens, stop)]

    def rewards(
        self,
        conversations: Sequence[tuple[Sequence[Mapping[str, str]], Sequence[str]]],
        *,
        batch_tokens: int = 8192,
        stop: Callable[[], bool] = lambda: False,
    ) -> list[list[list[float]]]:
        """As `scores`, shifted so that the responses of the training dataset have mean 0."""
        scores = self.scores(conversations, batch_tokens=batch_tokens, stop=stop)
        return [[[s - m for s, m in zip(row, self.shift, strict=True)] for row in rows] for rows in scores]

    def group(self, messages: Sequence[Mapping[str, str]], responses: Sequence[str]) -> Group:
        """Token ids of a prompt and its responses, by the rule that the model was trained with."""
        chat, longest = self.net.chat, int(self.card["max_response_tokens"])
        prompt, _ = chat.fit(list(messages), int(self.card["max_prompt_tokens"]))
        return Group(prompt, [closed(chat.response_ids(text), longest, chat.end_id) for text in responses])

    def score_groups(
        self, groups: Sequence[Group], *, batch_tokens: int = 8192, stop: Callable[[], bool] = lambda: False
    ) -> list[list[list[float]]]:
        """As `scores`, for token ids. Every response must end with the end-of-turn token."""
        return [values.mean(dim=1).tolist() for values in self._member_scores(groups, batch_tokens, stop)]

    @torch.no_grad()
    def _member_scores(self, groups: Sequence[Group], batch_tokens: int, stop: Callable[[], bool]) -> list[Tensor]:
        """Scores [K, members, dimensions] of each group."""
        found = [torch.empty(0)] * len(groups)
        self.net.classifier.eval()
        for batch in token_batches(groups, batch_tokens):
            if stop():
                raise InterruptedError("Scoring was asked to stop.")
            for index, scores in zip(batch, self.net.member_scores([groups[i] for i in batch]), strict=True):
                found[index] = scores
        return found


def load_scorer(directory: str | Path, *, device: str = "auto") -> Scorer:
    """Load a saved reward model in the number format it was saved in. Raises UserError if it is not one."""
    folder = Path(directory)
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        dimensions = list(card["dimensions"])
        card["shift"], card["max_prompt_tokens"], card["max_response_tokens"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder} is not a reward model: its {CARD} cannot be read ({error}).") from error
    try:
        classifier = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype="auto", trust_remote_code=False, use_safetensors=True
        )
        chat = Chat(AutoTokenizer.from_pretrained(folder, trust_remote_code=False))
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"The reward model in {folder} cannot be loaded: {error}") from error
    if classifier.config.num_labels != len(dimensions):
        raise UserError(
            f"The reward model in {folder} has {classifier.config.num_labels} scores, but {CARD} names "
            f"{len(dimensions)} dimensions."
        )
    return Scorer(RewardNet(classifier.to(pick_device(device)).eval(), chat, dimensions), card)
