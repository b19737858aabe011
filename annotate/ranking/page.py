"""The ranking page's view of an assignment: letters for responses, rendered text, and what was placed before.

Neither a generator's name nor a response's id reaches the page: ids count upwards in the order in which things were
generated, and an attentive annotator would learn to read them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.http import QueryDict
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.safestring import SafeString

from annotate.generation.models import Response
from annotate.projects.models import Dimension, Project
from annotate.ranking.answer import Answer, dense
from annotate.ranking.models import Assignment, Judgement
from annotate.ranking.rules import answer_of
from annotate.ranking.sanitise import render_markdown, render_plain
from annotate.ranking.selectors import letters
from annotate.ranking.services import judgement_current
from annotate.ranking.vocabulary import PROMPT_FLAGS, RESPONSE_FLAGS, SKIP_REASONS


@dataclass(frozen=True, slots=True)
class Turn:
    role: str
    html: SafeString


@dataclass(frozen=True, slots=True)
class Choice:
    """A dimension of one card, for the page without JavaScript."""

    name: str
    label: str
    rank: int | None


@dataclass(frozen=True, slots=True)
class Card:
    letter: str
    html: SafeString
    words: int
    choices: list[Choice]


@dataclass(frozen=True, slots=True)
class Item:
    assignment: Assignment
    project: Project
    dimensions: list[Dimension]
    turns: list[Turn]
    cards: list[Card]
    judgement: Judgement | None
    given: dict[str, Any]

    @property
    def ranks(self) -> range:
        return range(1, len(self.cards) + 1)

    @property
    def all_bad(self) -> list[str]:
        return self.given["all_bad"]

    @property
    def prompt_flags(self) -> list[tuple[str, str | Promise, bool]]:
        return [(key, label, f"{key}:" in self._flagged) for key, label in PROMPT_FLAGS.items()]

    @property
    def response_flags(self) -> list[tuple[str, str | Promise, list[tuple[str, str, bool]]]]:
        """[(key, label, [(letter, value, is set)])]"""
        return [
            (key, label, [(c.letter, f"{key}:{c.letter}", f"{key}:{c.letter}" in self._flagged) for c in self.cards])
            for key, label in RESPONSE_FLAGS.items()
        ]

    @property
    def _flagged(self) -> set[str]:
        return {f"{flag['flag']}:{flag.get('response', '')}" for flag in self.given["flags"]}

    @property
    def skip_reasons(self) -> Mapping[str, str | Promise]:
        return SKIP_REASONS

    @property
    def url(self) -> str:
        return reverse("annotate:assignment", args=[self.assignment.pk])

    @property
    def json(self) -> str:
        """What ranking.js needs to know."""
        data = {
            "id": self.assignment.pk,
            "url": self.url,
            "keys": [card.letter for card in self.cards],
            "dimensions": [{"key": d.key, "label": d.label, "question": d.question} for d in self.dimensions],
            "given": self.given,
            "revises": self.judgement.pk if self.judgement else None,
            "draftUrl": reverse("annotate:assignment-draft", args=[self.assignment.pk]),
            "submitUrl": reverse("annotate:assignment-submit", args=[self.assignment.pk]),
            "skipUrl": reverse("annotate:assignment-skip", args=[self.assignment.pk]),
            "aheadUrl": reverse("annotate:assignment-ahead", args=[self.assignment.pk]),
            "nextUrl": reverse("annotate:next", args=[self.project.slug]),
            "undoUrl": reverse("annotate:undo", args=[self.project.slug]),
        }
        return json.dumps(data)


def item_build(
    assignment: Assignment, *, given: Mapping[str, Any] | None = None, texts: Mapping[int, str] | None = None
) -> Item:
    """`given` (in letters) is what a refused form said; else the draft, else the judgement, else nothing is placed.

    texts: {response id: text} of an assignment that is only a preview, and in no database.
    """
    comparison = assignment.comparison
    project = comparison.project
    dimensions = list(project.dimensions.all())
    judgement = None if texts is not None else judgement_current(assignment)
    if given is None:
        given = to_letters(assignment, assignment.draft or _judged(judgement))
    given = dict(Answer().json()) | {"seconds_active": None, "step": ""} | dict(given)
    if texts is None:
        texts = dict(Response.objects.filter(pk__in=assignment.display_order).values_list("pk", "text"))
    cards = [
        Card(letter, render_markdown(texts[pk]), len(texts[pk].split()), _choices(dimensions, given, letter))
        for pk, letter in zip(assignment.display_order, letters(assignment.display_order).values(), strict=True)
    ]
    turns = [Turn(turn["role"], _turn_html(turn)) for turn in comparison.prompt.messages]
    return Item(assignment, project, dimensions, turns, cards, judgement, given)


def _judged(judgement: Judgement | None) -> dict[str, Any]:
    if judgement is None:
        return {}
    return answer_of(judgement).json() | {"seconds_active": judgement.seconds_active}


def _choices(dimensions: list[Dimension], given: Mapping[str, Any], letter: str) -> list[Choice]:
    ranks = given["rankings"]
    return [Choice(f"rank-{d.key}-{letter}", d.label, ranks.get(d.key, {}).get(letter)) for d in dimensions]


def _turn_html(turn: Mapping[str, str]) -> SafeString:
    return render_markdown(turn["content"]) if turn["role"] == "assistant" else render_plain(turn["content"])


# letters and ids ----------------------------------------------------------------------------------------------------


def to_letters(assignment: Assignment, answer: Mapping[str, Any]) -> dict[str, Any]:
    """An answer in response ids, spelt in the letters of the page."""
    return _spell(answer, letters(assignment.display_order))


def to_ids(assignment: Assignment, answer: Mapping[str, Any]) -> dict[str, Any]:
    """An answer in letters, spelt in response ids. Unknown letters stay, for the service to refuse."""
    return _spell(answer, {letter: pk for pk, letter in letters(assignment.display_order).items()})


def _spell(answer: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    result = dict(answer)
    for part in ("rankings", "strengths"):
        if isinstance(answer.get(part), Mapping):
            result[part] = {
                dimension: {names.get(str(key), key): value for key, value in row.items()}
                if isinstance(row, Mapping)
                else row
                for dimension, row in answer[part].items()
            }
    if isinstance(answer.get("flags"), list):
        result["flags"] = [
            flag | {"response": names.get(str(flag["response"]), flag["response"])}
            if isinstance(flag, dict) and flag.get("response") is not None
            else flag
            for flag in answer["flags"]
        ]
    return result


def form_read(form: QueryDict) -> dict[str, Any]:
    """The answer of the page without JavaScript, in letters, as it was chosen."""
    rankings: dict[str, dict[str, int]] = {}
    for name, value in form.items():
        if name.startswith("rank-") and str(value).isdigit():
            dimension, _, letter = name.removeprefix("rank-").rpartition("-")
            rankings.setdefault(dimension, {})[letter] = int(str(value))
    flags = []
    for value in form.getlist("flag"):
        key, _, letter = str(value).partition(":")
        flags.append({"flag": key} | ({"response": letter} if letter else {}))
    return {
        "rankings": rankings,
        "all_bad": form.getlist("all_bad"),
        "flags": flags,
        "rationale": form.get("rationale", ""),
    }


def gaps_closed(given: Mapping[str, Any]) -> dict[str, Any]:
    """A person who chose 1 and 3 meant 1 and 2."""
    return dict(given) | {"rankings": {d: dense(ranks) for d, ranks in given["rankings"].items()}}
