"""The ranking page's view of an assignment: letters for responses, rendered text, and what was said before.

Neither a generator's name nor a response's id reaches the page.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from django.db import connection
from django.templatetags.static import static
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.safestring import SafeString

from annotate.generation.models import Response
from annotate.gold.selectors import qualification_place
from annotate.projects.models import Membership, Project
from annotate.ranking.answer import Answer, Asked, Rules
from annotate.ranking.letters import to_letters
from annotate.ranking.models import Assignment, Comparison, Judgement
from annotate.ranking.presets import in_language
from annotate.ranking.rules import answer_of, rules_of
from annotate.ranking.sanitise import render_markdown, render_plain
from annotate.ranking.selectors import letters
from annotate.ranking.services import judgement_current, settled_why
from annotate.ranking.vocabulary import SKIP_REASONS, STRENGTHS


@dataclass(frozen=True, slots=True)
class Turn:
    role: str
    html: SafeString


@dataclass(frozen=True, slots=True)
class Question:
    """A dimension, in the reader's language."""

    key: str
    label: str
    question: str


@dataclass(frozen=True, slots=True)
class Row:
    """Points of one card on one scale; `name` is the form field's."""

    asked: Asked
    name: str
    chosen: int | None

    @property
    def points(self) -> range:
        return range(1, self.asked.points + 1)


@dataclass(frozen=True, slots=True)
class Choice:
    """A dimension of one card, for the page without JavaScript."""

    name: str
    label: str
    rank: int | None


@dataclass(frozen=True, slots=True)
class Card:
    """A response. `source` is its text as it was written, only where it may be edited."""

    letter: str
    html: SafeString
    source: str | None
    ranks: list[Choice]
    ratings: list[Row]
    attributes: list[Row]


@dataclass(frozen=True, slots=True)
class GuidelinesLink:
    number: int
    changed: bool  # since the annotator's last judgement in the project


@dataclass(frozen=True, slots=True)
class Qualification:
    place: int
    count: int


@dataclass(frozen=True, slots=True)
class Item:
    assignment: Assignment
    project: Project
    rules: Rules
    dimensions: list[Question]
    turns: list[Turn]
    cards: list[Card]
    judgement: Judgement | None
    settled: str  # why the judgement cannot be changed any more
    given: dict[str, Any]
    draft_at: int  # when the draft that is shown was written, in ms since 1970; 0 without one
    guidelines: GuidelinesLink | None
    qualification: Qualification | None

    @property
    def task(self) -> str:
        return self.rules.task_for(len(self.cards))

    @property
    def keys(self) -> list[str]:
        return [card.letter for card in self.cards]

    @property
    def ranks(self) -> range:
        return range(1, len(self.cards) + 1)

    @property
    def points(self) -> range:
        return range(1, self.rules.points + 1)

    @property
    def all_bad(self) -> list[str]:
        return self.given["all_bad"]

    @property
    def prompt_flags(self) -> list[tuple[str, str, bool]]:
        return [(key, label, f"{key}:" in self._flagged) for key, label in self.rules.prompt_flags.items()]

    @property
    def response_flags(self) -> list[tuple[str, str, list[tuple[str, str, bool]]]]:
        """[(key, label, [(letter, value, is set)])]"""
        return [
            (key, label, [(c.letter, f"{key}:{c.letter}", f"{key}:{c.letter}" in self._flagged) for c in self.cards])
            for key, label in self.rules.response_flags.items()
        ]

    @property
    def _flagged(self) -> set[str]:
        return {f"{flag['flag']}:{flag.get('response', '')}" for flag in self.given["flags"]}

    @property
    def verdicts(self) -> list[tuple[Question, str, int]]:
        """[(dimension, its letter, tie, bad or nothing, the strength)], for the page without JavaScript."""
        return [(dimension, *self._verdict(dimension.key)) for dimension in self.dimensions]

    def _verdict(self, dimension: str) -> tuple[str, int]:
        if dimension in self.given["all_bad"]:
            return "bad", 0
        ranks = self.given["rankings"].get(dimension, {})
        first = [letter for letter, rank in ranks.items() if rank == 1]
        if self.task == "pairwise" and len(first) == 2:
            return "tie", 0
        verdict = first[0] if len(first) == 1 else ""
        return verdict, self.given["strengths"].get(dimension, {}).get(verdict, 0)

    @property
    def strengths(self) -> Mapping[int, str | Promise]:
        return STRENGTHS

    @property
    def skip_reasons(self) -> Mapping[str, str | Promise]:
        return SKIP_REASONS

    @property
    def edit(self) -> dict[str, str] | None:
        return self.given["edit"]

    @property
    def url(self) -> str:
        return reverse("annotate:assignment", args=[self.assignment.pk])

    @property
    def json(self) -> str:
        """What ranking.js needs to know."""
        pk, slug = self.assignment.pk, self.project.slug
        data = {
            "id": pk,
            "url": self.url,
            "task": self.task,
            "keys": self.keys,
            "dimensions": [asdict(dimension) for dimension in self.dimensions],
            "strength": self.rules.strength_asked,
            "rationale": self.rules.rationale,
            "edit": self.rules.edit,
            "points": self.rules.points,
            "attributes": [asdict(asked) for asked in self.rules.attributes],
            "guidelines": self.guidelines.number if self.guidelines else None,
            "given": self.given,
            "draftAt": self.draft_at,
            "revises": self.judgement.pk if self.judgement else None,
            "settled": self.settled,
            "draftUrl": reverse("annotate:assignment-draft", args=[pk]),
            "submitUrl": reverse("annotate:assignment-submit", args=[pk]),
            "skipUrl": reverse("annotate:assignment-skip", args=[pk]),
            "aheadUrl": reverse("annotate:assignment-ahead", args=[pk]),
            "nextUrl": reverse("annotate:next", args=[slug]),
            "undoUrl": reverse("annotate:undo", args=[slug]),
            "guidelinesUrl": reverse("annotate:guidelines-text", args=[slug]),
        }
        return json.dumps(data)


def item_build(
    assignment: Assignment, *, given: Mapping[str, Any] | None = None, texts: Mapping[int, str] | None = None
) -> Item:
    """`given` (in letters) is what a refused form said; else the draft, else the judgement, else nothing is placed.

    What cannot be changed any more is shown as it was submitted, whatever was begun since.
    texts: {response id: text} of an assignment that is only a preview, and in no database.
    """
    comparison = assignment.comparison
    project = comparison.project
    rules = rules_of(project)
    judgement = None if texts is not None else judgement_current(assignment)
    settled = settled_of(comparison, judgement)
    draft = {} if settled else assignment.draft
    if given is None or settled:
        given = to_letters(assignment, draft or _judged(judgement))
    given = dict(Answer().json()) | {"seconds_active": None, "step": ""} | dict(given)
    if texts is None:
        texts = dict(Response.objects.filter(pk__in=assignment.display_order).values_list("pk", "text"))
    return Item(
        assignment=assignment,
        project=project,
        rules=rules,
        dimensions=[Question(d.key, in_language(d.label), in_language(d.question)) for d in project.dimensions.all()],
        turns=[Turn(turn["role"], _turn_html(turn)) for turn in comparison.prompt.messages],
        cards=_cards(rules, ((letter, texts[pk]) for pk, letter in _in_order(assignment)), given),
        judgement=judgement,
        settled=settled,
        given=given,
        draft_at=(draft.get("at") or int(assignment.updated_at.timestamp() * 1000)) if draft else 0,
        guidelines=_guidelines(project, assignment),
        qualification=_qualification(assignment),
    )


def page_version() -> str:
    """The script's address. Its hashed name changes with any module, so an open page can see that it is old."""
    return static("js/ranking.js")


def _in_order(assignment: Assignment) -> Iterable[tuple[int, str]]:
    return zip(assignment.display_order, letters(assignment.display_order).values(), strict=True)


def _cards(rules: Rules, responses: Iterable[tuple[str, str]], given: Mapping[str, Any]) -> list[Card]:
    return [
        Card(
            letter,
            render_markdown(text),
            text if rules.edit else None,
            [
                Choice(f"rank-{key}-{letter}", label, given["rankings"].get(key, {}).get(letter))
                for key, label in rules.dimensions.items()
            ],
            _rows([asked for key, asked in rules.scales.items() if key in rules.dimensions], letter, given),
            _rows(rules.attributes, letter, given),
        )
        for letter, text in responses
    ]


def _rows(scales: Iterable[Asked], letter: str, given: Mapping[str, Any]) -> list[Row]:
    ratings = given["ratings"]
    return [Row(asked, f"points-{asked.key}-{letter}", ratings.get(asked.key, {}).get(letter)) for asked in scales]


def _judged(judgement: Judgement | None) -> dict[str, Any]:
    if judgement is None:
        return {}
    return answer_of(judgement).json() | {"seconds_active": judgement.seconds_active}


def _turn_html(turn: Mapping[str, str]) -> SafeString:
    return render_markdown(turn["content"]) if turn["role"] == "assistant" else render_plain(turn["content"])


# The latest version, and the one under which the annotator judged last. In SQL, because every item asks for it.
GUIDELINES = """
    SELECT latest.number, (
        SELECT used.number FROM annotate_judgement j
        JOIN annotate_comparison c ON c.id = j.comparison_id
        JOIN annotate_guidelines used ON used.id = j.guidelines_id
        WHERE j.annotator_id = %(annotator)s AND c.project_id = %(project)s ORDER BY j.id DESC LIMIT 1)
    FROM annotate_guidelines latest WHERE latest.project_id = %(project)s ORDER BY latest.number DESC LIMIT 1
"""


def settled_of(comparison: Comparison, judgement: Judgement | None) -> str:
    """Why the judgement cannot be changed any more, as a sentence; nothing if it can, or if there is none."""
    if judgement is None:
        return ""
    membership = None
    if comparison.purpose == Comparison.Purpose.QUALIFICATION:
        membership = Membership.objects.filter(project=comparison.project, user_id=judgement.annotator_id).first()
    return settled_why(comparison, judgement, membership)


def _guidelines(project: Project, assignment: Assignment) -> GuidelinesLink | None:
    if not project.guidelines:
        return None
    with connection.cursor() as cursor:
        cursor.execute(GUIDELINES, {"project": project.pk, "annotator": assignment.annotator_id})
        found = cursor.fetchone()
    if found is None:
        return None
    number, last = found
    return GuidelinesLink(number, last not in (None, number))


def _qualification(assignment: Assignment) -> Qualification | None:
    comparison = assignment.comparison
    if comparison.purpose != Comparison.Purpose.QUALIFICATION:
        return None
    return Qualification(*qualification_place(assignment))
