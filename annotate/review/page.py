"""The review page's view of a comparison: letters for responses, numbers for annotators, and where they differ.

Annotators are numbered anew for each comparison, in an order that follows from nothing they did, so that a reviewer
cannot learn who is who; times stay away for the same reason. Generators are for admins only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.http import QueryDict
from django.utils.crypto import salted_hmac
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from accounts.models import User
from annotate.generation.models import Response
from annotate.pairs import dense
from annotate.projects.models import Dimension
from annotate.quality.consensus import consensus
from annotate.ranking.engine import display_order
from annotate.ranking.form import rows_read
from annotate.ranking.models import Comparison, Judgement
from annotate.ranking.rules import rules_of
from annotate.ranking.sanitise import render_markdown, render_plain
from annotate.ranking.selectors import letters, standing
from annotate.review.conflict import Conflict, conflict_of
from annotate.review.models import Adjudication


@dataclass(frozen=True, slots=True)
class Choice:
    """A dimension of one card: the form field and what is chosen."""

    name: str
    dimension: str
    label: str
    rank: int | None


@dataclass(frozen=True, slots=True)
class Card:
    letter: str
    html: SafeString
    generator: str
    choices: list[Choice]


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one annotator said, in the reviewer's letters. words: [(their letter, the reviewer's)] where they differ.

    token: names this judgement in a form, and not another one that the annotator put in its place meanwhile.
    """

    number: int
    token: str
    judgement: Judgement
    standings: list[tuple[str, str]]
    flags: list[str]
    words: list[tuple[str, str]]
    edit: tuple[str, SafeString] | None


@dataclass(frozen=True, slots=True)
class Row:
    """One response in a matrix: its rank by each annotator, and the letters its order is contested with."""

    letter: str
    cells: list[int | None]
    against: list[str]


@dataclass(frozen=True, slots=True)
class Matrix:
    dimension: Dimension
    conflict: Conflict
    rows: list[Row]
    all_bad: list[bool]
    suggestions: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Review:
    comparison: Comparison
    turns: list[tuple[str, SafeString]]
    cards: list[Card]
    dimensions: list[Dimension]
    opinions: list[Opinion]
    matrices: list[Matrix]
    decision: Adjudication | None
    earlier: int
    given: dict[str, Any] = field(default_factory=dict)

    @property
    def ranks(self) -> range:
        return range(1, len(self.cards) + 1)

    @property
    def suggests(self) -> bool:
        return any(matrix.suggestions for matrix in self.matrices)


def letters_for(comparison: Comparison, reviewer: User) -> dict[str, str]:
    """{response id: letter}: a shuffle of the reviewer's own, for the order of positions gives generators away."""
    ids = comparison.members.order_by("position").values_list("response_id", flat=True)
    return letters(display_order(comparison.pk, reviewer.pk, ids))


def numbered(comparison: Comparison) -> dict[int, Judgement]:
    """The judgements that count by their annotators' numbers; the same on every visit."""
    rows = comparison.judgements.filter(is_current=True).select_related("annotator", "edit")

    def key(judgement: Judgement) -> str:
        return salted_hmac("annotate.review", f"{comparison.pk}:{judgement.annotator_id}").hexdigest()

    return dict(enumerate(sorted(rows, key=key), start=1))


def token_of(judgement: Judgement) -> str:
    return salted_hmac("annotate.review.take", str(judgement.pk)).hexdigest()[:16]


def review_build(comparison: Comparison, reviewer: User, *, given: Mapping[str, Any] | None = None) -> Review:
    """`given` (in response ids) is what a refused form said; else the decision there is, else nothing is placed."""
    names = letters_for(comparison, reviewer)
    rules = rules_of(comparison.project)
    dimensions = list(comparison.project.dimensions.all())
    judgements = numbered(comparison)
    decisions = list(comparison.adjudications.select_related("reviewer").order_by("-pk"))
    decision = next((each for each in decisions if each.is_current), None)
    if given is None:
        given = decision_fields(decision) if decision else {"rankings": {}, "all_bad": [], "rationale": ""}
    labels = {"": rules.prompt_flags, "response": rules.response_flags}
    return Review(
        comparison=comparison,
        turns=[
            (t["role"], render_markdown(t["content"]) if t["role"] == "assistant" else render_plain(t["content"]))
            for t in comparison.prompt.messages
        ],
        cards=_cards(names, dimensions, given, reviewer),
        dimensions=dimensions,
        opinions=[_opinion(number, judgement, names, dimensions, labels) for number, judgement in judgements.items()],
        matrices=[_matrix(dimension, judgements, names) for dimension in dimensions],
        decision=decision,
        earlier=len(decisions) - bool(decision),
        given=dict(given),
    )


def decision_fields(decision: Adjudication) -> dict[str, Any]:
    return {"rankings": decision.rankings, "all_bad": decision.all_bad, "rationale": decision.rationale}


def _cards(
    names: Mapping[str, str], dimensions: list[Dimension], given: Mapping[str, Any], reviewer: User
) -> list[Card]:
    found = Response.objects.select_related("generator").in_bulk([int(pk) for pk in names])
    rankings = given["rankings"]
    return [
        Card(
            letter,
            render_markdown(found[int(pk)].text),
            found[int(pk)].generator.name if reviewer.is_staff else "",
            [Choice(f"rank-{d.key}-{letter}", d.key, d.label, rankings.get(d.key, {}).get(pk)) for d in dimensions],
        )
        for pk, letter in names.items()
    ]


def _opinion(
    number: int,
    judgement: Judgement,
    names: Mapping[str, str],
    dimensions: list[Dimension],
    labels: Mapping[str, Mapping[str, str]],
) -> Opinion:
    theirs = letters(judgement.display_order)
    edit = judgement.edit
    return Opinion(
        number,
        token_of(judgement),
        judgement,
        [(d.label, standing(judgement.rankings.get(d.key, {}), dict(names))) for d in dimensions],
        [_flag(flag, names, labels) for flag in judgement.flags],
        [(theirs[pk], names[pk]) for pk in names if pk in theirs and theirs[pk] != names[pk]],
        (names.get(str(edit.edited_from_id), "?"), render_markdown(edit.text)) if edit else None,
    )


def _flag(flag: Mapping[str, Any], names: Mapping[str, str], labels: Mapping[str, Mapping[str, str]]) -> str:
    key, response = str(flag["flag"]), flag.get("response")
    if response is None:
        return labels[""].get(key, key)
    return f"{names.get(str(response), '?')}: {labels['response'].get(key, key)}"


def _matrix(dimension: Dimension, judgements: Mapping[int, Judgement], names: Mapping[str, str]) -> Matrix:
    given = [judgement.rankings.get(dimension.key, {}) for judgement in judgements.values()]
    all_bad = [dimension.key in judgement.all_bad for judgement in judgements.values()]
    conflict = conflict_of(given, list(names), all_bad)
    rows = [
        Row(letter, [ranks.get(pk) for ranks in given], [names[other] for other in conflict.against(pk)])
        for pk, letter in names.items()
    ]
    return Matrix(dimension, conflict, rows, all_bad, _suggestions(given, names))


def _suggestions(given: list[dict[str, int]], names: Mapping[str, str]) -> list[tuple[str, str]]:
    """[(how it is counted, the order)] of what the judgements add up to, all of them weighing the same."""
    aligned = [[ranks.get(pk) for pk in names] for ranks in given if len(ranks) > 1]
    if len(aligned) < 2:
        return []
    found = []
    for method, label in (("borda", _("Borda count")), ("majority", _("majority of pairs"))):
        ranks = zip(names, consensus(aligned, method=method).ranks, strict=True)
        found.append((label, standing({pk: rank for pk, rank in ranks if rank is not None}, dict(names))))
    return found


# the form -------------------------------------------------------------------------------------------------------------


def form_read(form: QueryDict, names: Mapping[str, str]) -> dict[str, Any]:
    """The decision of the form, in response ids; gaps between ranks are closed: who chose 1 and 3 meant 1 and 2."""
    ids = {letter: pk for pk, letter in names.items()}
    return {
        "rankings": {
            dimension: dense({ids.get(letter, letter): rank for letter, rank in row.items()})
            for dimension, row in rows_read(form, "rank").items()
        },
        "all_bad": form.getlist("all_bad"),
        "rationale": form.get("rationale", ""),
    }
