"""What annotators are told about their own work: pace, qualification, and the guidelines they worked under."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from statistics import median

from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from accounts.models import User
from annotate.gold.selectors import qualification_asked
from annotate.projects.models import Guidelines, Membership, Project
from annotate.ranking import selectors
from annotate.ranking.limits import first_said, today_began
from annotate.ranking.models import Judgement
from annotate.review.models import Adjudication

DAYS = 7
WIDTH, HEIGHT, GAP = 16, 40, 4  # of a bar of the chart, in SVG units


@dataclass(frozen=True, slots=True)
class Bar:
    """A day of the chart: where its bar stands in SVG units, and what it says."""

    day: date
    count: int
    x: int
    y: int
    height: int


@dataclass(frozen=True, slots=True)
class Pace:
    """Median active seconds of a judgement, today and over the last days; None where none was timed. counts: judgements
    a day, today last."""

    today: float | None = None
    typical: float | None = None
    counts: Sequence[int] = field(default_factory=lambda: [0] * DAYS)

    @property
    def total(self) -> int:
        return sum(self.counts)

    @property
    def width(self) -> int:
        return DAYS * WIDTH + (DAYS - 1) * GAP

    @property
    def height(self) -> int:
        return HEIGHT

    @property
    def bar_width(self) -> int:
        return WIDTH

    @property
    def bars(self) -> list[Bar]:
        """One a day; a day without work keeps a line of one unit, so that it is seen to be there."""
        most, today = max(self.counts, default=0) or 1, timezone.localdate()
        bars = []
        for at, count in enumerate(self.counts):
            height = max(1, round(HEIGHT * count / most))
            day = today - timedelta(days=len(self.counts) - 1 - at)
            bars.append(Bar(day, count, at * (WIDTH + GAP), HEIGHT - height, height))
        return bars


def paces(annotator: User) -> dict[int, Pace]:
    """{project id: the annotator's pace in it} over the last days, in one query. A revision counts on the day of what
    it revises."""
    began = today_began() - timedelta(days=DAYS - 1)
    rows = Judgement.objects.filter(annotator=annotator, is_current=True, created_at__gte=began).order_by()
    rows = rows.annotate(first=first_said())
    today = timezone.localdate()
    counts: dict[int, list[int]] = {}
    seconds: dict[int, list[tuple[bool, float]]] = {}
    for project, at, active in rows.values_list("comparison__project", "first", "seconds_active"):
        age = (today - timezone.localdate(at)).days
        if 0 <= age < DAYS:
            counts.setdefault(project, [0] * DAYS)[DAYS - 1 - age] += 1
            if active is not None:
                seconds.setdefault(project, []).append((age == 0, active))
    return {
        project: Pace(
            today=_median([value for is_today, value in seconds.get(project, ()) if is_today]),
            typical=_median([value for _, value in seconds.get(project, ())]),
            counts=days,
        )
        for project, days in counts.items()
    }


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None


@dataclass(frozen=True, slots=True)
class Qualification:
    """How far somebody is: `done` of `asked` comparisons judged; state as in Membership; score once it was made."""

    state: str
    done: int
    asked: int
    score: float | None
    threshold: float


def qualification_of(annotator: User, project: Project) -> Qualification | None:
    """The annotator's qualification; None where none is asked of them."""
    if not project.must_qualify:
        return None
    membership = Membership.objects.filter(user=annotator, project=project).first()
    if membership is None:
        return None
    asked = qualification_asked(project)
    done = Judgement.objects.filter(annotator=annotator, is_current=True, comparison__in=asked).count()
    return Qualification(
        membership.qualification,
        done,
        asked.count(),
        membership.qualification_score,
        project.qualification_threshold,
    )


def history_revisable(annotator: User) -> QuerySet[Judgement]:
    """The annotator's judgements, newest first, each knowing whether a reviewer has decided its comparison."""
    decided = Adjudication.objects.filter(comparison=OuterRef("comparison"), is_current=True)
    return (
        selectors.history(annotator)
        .annotate(is_decided=Exists(decided))
        .prefetch_related("comparison__project__attributes")
    )


def guidelines_last_used(annotator: User, project: Project) -> Guidelines | None:
    """The version under which the annotator judged last."""
    latest = (
        Judgement.objects.filter(annotator=annotator, comparison__project=project, guidelines__isnull=False)
        .select_related("guidelines")
        .order_by("-pk")
        .first()
    )
    return latest.guidelines if latest else None
