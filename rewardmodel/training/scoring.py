"""Scores of a saved reward model: for the trainer's own evaluation, for PPO, and for anyone with a directory."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from lm.loading import pick_device
from lm.prefix import Group
from rewardmodel.training.data import closed
from rewardmodel.training.model import RewardNet
from rewardmodel.training.saving import load_net
from runs.child import UserError

CARD = "reward.json"

Conversation = tuple[Sequence[Mapping[str, str]], Sequence[str]]
"""Messages, and responses to them."""

# What `stream` holds at one time. Many batches, so that conversations of like length find each other.
WINDOW_BATCHES, WINDOW_CONVERSATIONS = 32, 2048


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Encoding:
    """A conversation as tokens, and what was cut to fit the lengths that the model was trained with."""

    group: Group
    prompt_cut: bool
    responses_cut: tuple[bool, ...]


@dataclass(frozen=True)
class Scored:
    """What a model says of one conversation's K responses.

    members: K rows of one list a member of the ensemble of one score a dimension. lengths: of the responses as scored,
    in tokens with the one that ends the turn, so that 1 is an empty response.
    """

    members: list[list[list[float]]]
    prompt_cut: bool
    responses_cut: tuple[bool, ...]
    lengths: tuple[int, ...] = ()

    @property
    def scores(self) -> list[list[float]]:
        """K rows of one score a dimension: the mean over the members."""
        return [[statistics.fmean(column) for column in zip(*rows, strict=True)] for rows in self.members]

    @property
    def disagreement(self) -> list[list[float]]:
        """K rows of the members' standard deviation a dimension; 0 for a model that is alone."""
        return [[statistics.pstdev(column) for column in zip(*rows, strict=True)] for rows in self.members]


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
        self, conversations: Sequence[Conversation], *, batch_tokens: int = 8192, stop: Callable[[], bool] = _never
    ) -> list[list[list[float]]]:
        """Score the responses to each (messages, responses): for each, K rows of one score a dimension.

        The scores of an ensemble are the mean over its members. Texts are cut to the lengths that the model was trained
        with. Once `stop()` is true, InterruptedError.
        """
        return self.score_groups([self.group(*each) for each in conversations], batch_tokens=batch_tokens, stop=stop)

    def member_scores(
        self, conversations: Sequence[Conversation], *, batch_tokens: int = 8192, stop: Callable[[], bool] = _never
    ) -> list[list[list[list[float]]]]:
        """As `scores`, by member: for each conversation, K rows of one list a member of one score a dimension."""
        groups = [self.group(*each) for each in conversations]
        return self.member_score_groups(groups, batch_tokens=batch_tokens, stop=stop)

    def rewards(
        self, conversations: Sequence[Conversation], *, batch_tokens: int = 8192, stop: Callable[[], bool] = _never
    ) -> list[list[list[float]]]:
        """As `scores`, shifted so that the responses of the training dataset have mean 0."""
        scores = self.scores(conversations, batch_tokens=batch_tokens, stop=stop)
        return [[[s - m for s, m in zip(row, self.shift, strict=True)] for row in rows] for rows in scores]

    def stream(
        self, conversations: Iterable[Conversation], *, batch_tokens: int = 8192, stop: Callable[[], bool] = _never
    ) -> Iterator[Scored]:
        """Score any number of conversations, in their order, holding only so many of them at one time."""
        window: list[Encoding] = []
        tokens = 0
        for each in conversations:
            window.append(self.encode(*each))
            tokens += window[-1].group.tokens
            if tokens >= WINDOW_BATCHES * batch_tokens or len(window) >= WINDOW_CONVERSATIONS:
                yield from self._scored(window, batch_tokens, stop)
                window, tokens = [], 0
        yield from self._scored(window, batch_tokens, stop)

    def encode(self, messages: Sequence[Mapping[str, str]], responses: Sequence[str]) -> Encoding:
        """Token ids of a prompt and its responses, by the rule that the model was trained with.

        What is too long is cut: a prompt loses its oldest turns, a response its end. Raises ValueError where nothing of
        the prompt fits.
        """
        prompt, cut = self.net.chat.fit(list(messages), int(self.card["max_prompt_tokens"]))
        return self.with_responses(prompt, cut, responses)

    def with_responses(self, prompt: list[int], prompt_cut: bool, responses: Sequence[str]) -> Encoding:
        """As `encode`, for a prompt that is ids already."""
        chat, longest = self.net.chat, int(self.card["max_response_tokens"])
        whole = [chat.response_ids(text) for text in responses]
        kept = [closed(ids, longest, chat.end_id) for ids in whole]
        return Encoding(
            Group(prompt, kept), prompt_cut, tuple(len(a) > len(b) for a, b in zip(whole, kept, strict=True))
        )

    def group(self, messages: Sequence[Mapping[str, str]], responses: Sequence[str]) -> Group:
        """The token ids of `encode` alone."""
        return self.encode(messages, responses).group

    def score_groups(
        self, groups: Sequence[Group], *, batch_tokens: int = 8192, stop: Callable[[], bool] = _never
    ) -> list[list[list[float]]]:
        """As `scores`, for token ids. Every response must end with the end-of-turn token."""
        found = self.member_score_groups(groups, batch_tokens=batch_tokens, stop=stop)
        return [[[statistics.fmean(column) for column in zip(*rows, strict=True)] for rows in each] for each in found]

    @torch.no_grad()
    def member_score_groups(
        self, groups: Sequence[Group], *, batch_tokens: int = 8192, stop: Callable[[], bool] = _never
    ) -> list[list[list[list[float]]]]:
        """As `member_scores`, for token ids.

        A group of more than `batch_tokens` is scored in pieces, each with the prompt, so memory is bounded by the
        longest single sequence.
        """
        pieces = [(index, piece) for index, group in enumerate(groups) for piece in _pieces(group, batch_tokens)]
        scored: list[Tensor] = [torch.empty(0)] * len(pieces)
        self.net.classifier.eval()
        for batch in self.net.batches([piece for _, piece in pieces], batch_tokens):
            if stop():
                raise InterruptedError("Scoring was asked to stop.")
            for place, scores in zip(batch, self.net.member_scores([pieces[i][1] for i in batch]), strict=True):
                scored[place] = scores
        found: list[list[list[list[float]]]] = [[] for _ in groups]
        for (index, _), scores in zip(pieces, scored, strict=True):
            found[index] += scores.tolist()
        return found

    def _scored(self, window: Sequence[Encoding], batch_tokens: int, stop: Callable[[], bool]) -> Iterator[Scored]:
        groups = [encoding.group for encoding in window]
        found = self.member_score_groups(groups, batch_tokens=batch_tokens, stop=stop)
        for encoding, members in zip(window, found, strict=True):
            lengths = tuple(map(len, encoding.group.responses))
            yield Scored(members, encoding.prompt_cut, encoding.responses_cut, lengths)


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
        net = load_net(folder, card, pick_device(device))
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise UserError(f"The reward model in {folder} cannot be loaded: {error}") from error
    found = net.classifier.config.num_labels
    if found != len(dimensions):
        raise UserError(
            f"The reward model in {folder} has {found} scores, but {CARD} names {len(dimensions)} dimensions."
        )
    return Scorer(net, card)


def _pieces(group: Group, batch_tokens: int) -> list[Group]:
    """The group, or as many as it takes for none to have more than `batch_tokens` unless it has one response."""
    if group.tokens <= batch_tokens:
        return [group]
    pieces: list[list[list[int]]] = []
    filled = batch_tokens
    for response in group.responses:
        if not pieces or filled + len(response) > batch_tokens:
            pieces.append([])
            filled = len(group.prompt)
        pieces[-1].append(response)
        filled += len(response)
    return [Group(group.prompt, responses) for responses in pieces]
