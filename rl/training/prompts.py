"""Prompts for a policy to answer: read, cut to fit, and dealt out by step."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lm.chat import Chat
from runs.child import UserError


@dataclass(frozen=True)
class Prompt:
    """A conversation that waits for an answer, and its ids. `answer` is the right one, where there is one."""

    id: str
    messages: list[dict[str, str]]
    ids: list[int]
    cut: bool = False
    answer: str | None = None

    @property
    def question(self) -> str:
        """The last turn, for people to recognise the prompt by."""
        return self.messages[-1]["content"]


Asked = tuple[str, list[dict[str, str]], str | None]


def read_prompts(path: str | Path) -> list[Asked]:
    """(id, messages, answer) of every line {"id", "messages"} with or without "answer".

    Raises UserError naming the line, or if there is none.
    """
    found = []
    for number, line in read_lines(path):
        if not is_conversation(line.get("messages")):
            raise UserError(
                f"{Path(path).name}, line {number}: a prompt needs messages, a list of turns with role and content "
                "that ends with a user's."
            )
        answer = line.get("answer")
        if isinstance(answer, bool) or not isinstance(answer, str | int | float | None):
            raise UserError(f"{Path(path).name}, line {number}: an answer is a text or a number.")
        found.append((str(line.get("id", number)), line["messages"], None if answer is None else str(answer)))
    if not found:
        raise UserError("There are no prompts to train on. Import prompts, or choose a dataset with a train split.")
    return found


def encode_prompts(prompts: Sequence[Asked], chat: Chat, max_tokens: int) -> list[Prompt]:
    """Ids of every prompt; one that is too long loses its oldest turns, and `cut` says so."""
    encoded = []
    for name, messages, answer in prompts:
        try:
            ids, cut = chat.fit(messages, max_tokens)
        except ValueError as error:
            raise UserError(f"Prompt {name}: {error} Raise the longest prompt.") from error
        encoded.append(Prompt(name, messages, ids, cut, answer))
    return encoded


def deal(count: int, step: int, size: int, seed: int) -> list[int]:
    """Which of `count` prompts step `step` gets: shuffled afresh each epoch, a function of seed and step alone."""
    orders: dict[int, list[int]] = {}
    dealt = []
    for position in range(step * size, (step + 1) * size):
        epoch, index = divmod(position, count)
        if epoch not in orders:
            orders[epoch] = list(range(count))
            random.Random(f"{seed}/{epoch}").shuffle(orders[epoch])  # noqa: S311
        dealt.append(orders[epoch][index])
    return dealt


def held_out(prompts: Sequence[Prompt], most: int, seed: int) -> tuple[list[Prompt], list[Prompt]]:
    """(to train on, to measure on): at most `most` and a quarter of the prompts are kept out of training.

    Equal conversations stay together. Which ones is a function of the seed and their text, so that a prompt more or
    less moves no other.
    """
    keys = {prompt.id: _key(prompt, seed) for prompt in prompts}
    distinct = sorted(set(keys.values()))
    chosen = set(distinct[: min(most, len(distinct) // 4)])
    kept = [prompt for prompt in prompts if keys[prompt.id] in chosen]
    return [prompt for prompt in prompts if keys[prompt.id] not in chosen], kept


def _key(prompt: Prompt, seed: int) -> str:
    text = json.dumps(prompt.messages, sort_keys=True)
    return hashlib.sha256(f"{seed}\n{text}".encode()).hexdigest()


def fitting_prompt_tokens(model: Any, longest_prompt: int, longest_response: int) -> int:
    """The prompt length that leaves the model's context room for a response. Raises UserError if there is none."""
    context = getattr(model.config, "max_position_embeddings", None)
    if context is None:
        return longest_prompt
    if context - longest_response < 8:
        raise UserError(
            f"The model reads {context} tokens, and responses of {longest_response} leave no room for a prompt. "
            "Shorten the longest response."
        )
    return min(longest_prompt, context - longest_response)


def read_lines(path: str | Path) -> list[tuple[int, dict[str, Any]]]:
    """(number, object) of every line of a JSONL file. Raises UserError naming the file and the line."""
    found = []
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    for number, line in enumerate(text.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise UserError(f"{Path(path).name}, line {number} is not JSON: {error}.") from None
        if not isinstance(value, dict):
            raise UserError(f"{Path(path).name}, line {number} is not a JSON object.")
        found.append((number, value))
    return found


def is_conversation(turns: Any) -> bool:
    """Whether `turns` is a list of {role, content} that ends with a user turn."""
    whole = isinstance(turns, list) and all(
        isinstance(turn, dict) and isinstance(turn.get("role"), str) and isinstance(turn.get("content"), str)
        for turn in turns
    )
    return bool(whole and turns) and turns[-1]["role"] == "user"
