"""A project's comparisons: which, in what order, a page at a time, however many there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from annotate.projects.models import Project
from annotate.ranking.models import Comparison, Judgement
from annotate.review.models import Adjudication

Purpose = Comparison.Purpose
STATES = {
    "": "all",
    "open": "open, next first",
    "closed": "closed",
    "contested": "contested, worst first",
    "decided": "decided by a reviewer",
    "gold": "gold and qualification",
}
# What a state is sorted by before the id; indexes exist for these.
ORDERS = {"open": "priority", "contested": "disagreement"}
LARGEST = 2**31


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which comparisons. Empty: all of the project."""

    state: str = ""
    round: int | None = None
    tag: str = ""

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Wanted:
        """From query parameters; what makes no sense is not asked for."""
        state, turn = str(given.get("state", "")), str(given.get("round", ""))
        return cls(
            state=state if state in STATES else "",
            round=int(turn) if turn.isdecimal() and len(turn) < 6 else None,
            tag=str(given.get("tag", "")).replace("\x00", "")[:60],
        )

    def json(self) -> dict[str, Any]:
        given = {"state": self.state, "round": self.round, "tag": self.tag}
        return {name: value for name, value in given.items() if value not in ("", None)}

    @property
    def query(self) -> str:
        return urlencode(self.json())


def comparisons_matching(project: Project, wanted: Wanted) -> QuerySet[Comparison]:
    """In no particular order."""
    rows = Comparison.objects.filter(project=project).order_by()
    if wanted.state == "open":
        rows = rows.filter(is_closed=False)
    elif wanted.state == "closed":
        rows = rows.filter(is_closed=True, purpose=Purpose.WORK)
    elif wanted.state == "contested":
        rows = rows.filter(disagreement__gt=0, disagreement__gte=project.adjudicate_above, purpose=Purpose.WORK)
    elif wanted.state == "decided":
        rows = rows.filter(Exists(Adjudication.objects.filter(comparison=OuterRef("pk"), is_current=True)))
    elif wanted.state == "gold":
        rows = rows.exclude(purpose=Purpose.WORK)
    if wanted.round is not None:
        rows = rows.filter(round=wanted.round)
    if wanted.tag:
        rows = rows.filter(prompt__tags__contains=[wanted.tag])
    return rows


@dataclass(frozen=True, slots=True)
class Line:
    comparison: Comparison
    judgements: int
    is_decided: bool


@dataclass(frozen=True, slots=True)
class ComparisonPage:
    """older, newer: where the pages before and after begin, as `before` and `after` take it."""

    lines: list[Line]
    older: str | None
    newer: str | None


def comparisons_page(
    project: Project, wanted: Wanted, *, after: str = "", before: str = "", size: int = 50
) -> ComparisonPage:
    """Comparisons from a key on: the hundredth page costs what the first one costs.

    A key is `id`, or `value:id` in an order that begins with something else. One that is none is the beginning.
    """
    order = ORDERS.get(wanted.state)
    rows = comparisons_matching(project, wanted).select_related("prompt", "gold")
    back, start = bool(before), _key(before or after, order)
    if start is None:
        back = False
    else:
        rows = rows.filter(_beyond(order, *start, back=back))
    direction = ["-pk" if back else "pk"]
    if order:
        direction.insert(0, order if back else f"-{order}")
    found = list(rows.order_by(*direction)[: size + 1])
    more, found = len(found) > size, found[:size]
    if back:
        found.reverse()
    has_older, has_newer = (more, bool(found)) if back else (start is not None and bool(found), more)
    return ComparisonPage(
        _lines(found),
        _spell(found[0], order) if has_older else None,
        _spell(found[-1], order) if has_newer else None,
    )


def _key(text: str, order: str | None) -> tuple[float, int] | None:
    value, colon, pk = text.rpartition(":")
    if not (pk.isdecimal() and len(pk) < 19) or bool(colon) != bool(order):
        return None
    try:
        number = float(value) if order else 0.0
    except ValueError:
        return None
    return (number, int(pk)) if abs(number) < LARGEST else None  # NaN is not less than anything


def _spell(comparison: Comparison, order: str | None) -> str:
    return f"{getattr(comparison, order)!r}:{comparison.pk}" if order else str(comparison.pk)


def _beyond(order: str | None, value: float, pk: int, *, back: bool) -> Q:
    """What comes after (value, pk), highest value first, then lowest id; or before it.

    The bound on the value alone says nothing new, but it is what an index can start from.
    """
    further = Q(pk__lt=pk) if back else Q(pk__gt=pk)
    if order is None:
        return further
    strict, loose = ("gt", "gte") if back else ("lt", "lte")
    beyond = Q(**{f"{order}__{strict}": value}) | (Q(**{order: value}) & further)
    return Q(**{f"{order}__{loose}": value}) & beyond


def _lines(comparisons: list[Comparison]) -> list[Line]:
    ids = [comparison.pk for comparison in comparisons]
    current = Judgement.objects.filter(comparison__in=ids, is_current=True).order_by()
    counts = dict(current.values_list("comparison").annotate(Count("pk")))
    decided = set(
        Adjudication.objects.filter(comparison__in=ids, is_current=True).values_list("comparison_id", flat=True)
    )
    return [Line(row, counts.get(row.pk, 0), row.pk in decided) for row in comparisons]


def project_rounds(project: Project) -> list[int]:
    """Rounds that have comparisons, one index look-up each: there are few, and many comparisons in each."""
    rounds: list[int] = []
    rows = Comparison.objects.filter(project=project).order_by("round").values_list("round", flat=True)
    found = rows.first()
    while found is not None and len(rounds) < 200:
        rounds.append(found)
        found = rows.filter(round__gt=found).first()
    return rounds
