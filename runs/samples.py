"""The samples of a run: the same prompts answered again and again, and how the answers change."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import pairwise
from typing import Any

from runs.models import Run, RunEvent

NEWEST = 4  # of samples that do not come again
PROMPTS = 32
DIFFERENT = 800  # words; of longer texts no difference is marked


@dataclass(frozen=True)
class Words:
    """A stretch of a text; `changed` if the other text does not have it."""

    text: str
    changed: bool


@dataclass(frozen=True)
class Said:
    """One answer. `facts` is what else was recorded of it."""

    step: int
    words: list[Words]
    reward: float | None
    change: float | None  # of the reward, since the first answer
    facts: list[tuple[str, Any]]


@dataclass(frozen=True)
class Answers:
    """A prompt with its first answer and the one at the chosen step, the same where there is only one."""

    prompt: str
    first: Said
    chosen: Said


@dataclass(frozen=True)
class Timeline:
    """The answers at one of the steps that were shown, and the way to the others."""

    answers: list[Answers]
    steps: list[int]
    step: int
    newest: bool  # whether this is the last step so far, which moves on with the run

    @property
    def place(self) -> int:
        return self.steps.index(self.step) + 1

    @property
    def earlier(self) -> int | None:
        return max((step for step in self.steps if step < self.step), default=None)

    @property
    def later(self) -> int | None:
        return min((step for step in self.steps if step > self.step), default=None)


def timeline(run: Run, step: int | None = None) -> Timeline | None:
    """Answers to prompts that come again, at `step` or the last one before it; None if there are no such samples."""
    events = RunEvent.objects.filter(
        run_id=run.pk, type=RunEvent.Type.SAMPLE, step__isnull=False, data__has_keys=["prompt_id", "response"]
    )
    steps = list(events.order_by("step").values_list("step", flat=True).distinct())
    if not steps:
        return None
    chosen = steps[-1] if step is None else max((each for each in steps if each <= step), default=steps[0])
    rows = events.filter(step__in=[steps[0], chosen]).order_by("id").values_list("step", "data")
    said: dict[str, dict[int, dict[str, Any]]] = {}
    for at, data in rows[: 2 * PROMPTS]:
        said.setdefault(str(data["prompt_id"]), {})[at] = data
    answers = [_answers(by_step, steps[0], chosen) for by_step in said.values() if {steps[0], chosen} <= by_step.keys()]
    return Timeline(answers, steps, chosen, newest=chosen == steps[-1])


def newest(run: Run) -> list[RunEvent]:
    """The newest samples of a run whose prompts do not come again, newest first."""
    return list(RunEvent.objects.filter(run_id=run.pk, type=RunEvent.Type.SAMPLE).order_by("-id")[:NEWEST])


def _answers(by_step: dict[int, dict[str, Any]], first: int, chosen: int) -> Answers:
    before, after = by_step[first], by_step[chosen]
    old, new = differences(str(before["response"]), str(after["response"]))
    return Answers(
        prompt=str(after.get("prompt", "")),
        first=_said(first, before, old, None),
        chosen=_said(chosen, after, new, _reward(before) if first != chosen else None),
    )


def _said(step: int, data: dict[str, Any], words: list[Words], reward_before: float | None) -> Said:
    reward = _reward(data)
    change = reward - reward_before if reward is not None and reward_before is not None else None
    facts = [(name, value) for name, value in data.items() if name == "tokens"]
    facts += [("finished", "ended by itself" if data["finished"] else "cut at the limit")] if "finished" in data else []
    return Said(step, words, reward, change, facts)


def _reward(data: dict[str, Any]) -> float | None:
    value = data.get("reward")
    return float(value) if isinstance(value, int | float) else None


@lru_cache(maxsize=256)
def differences(before: str, after: str) -> tuple[list[Words], list[Words]]:
    """Both texts in stretches, those that the other text lacks marked; word by word."""
    if before == after:
        return [Words(before, False)], [Words(after, False)]
    old, new = (re.findall(r"\s*\w+|\s*[^\w\s]|\s+", text) for text in (before, after))
    if max(len(old), len(new)) > DIFFERENT:
        return [Words(before, False)], [Words(after, False)]
    same = [block for block in SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks() if block.size]
    return (
        _stretches(old, [(block.a, block.a + block.size) for block in same]),
        _stretches(new, [(block.b, block.b + block.size) for block in same]),
    )


def _stretches(words: list[str], same: list[tuple[int, int]]) -> list[Words]:
    """`words` joined, cut at the borders of what is the same."""
    cuts = sorted({0, len(words), *(place for pair in same for place in pair)})
    starts = {start for start, _ in same}
    return [
        Words("".join(words[start:end]), not any(begin <= start < stop for begin, stop in same))
        for start, end in pairwise(cuts)
        if start in starts or end > start
    ]
