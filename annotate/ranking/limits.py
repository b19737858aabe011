"""How much one person may judge, and on which day a judgement counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from annotate.projects.models import Membership, Project
from annotate.ranking.models import Comparison, Judgement


@dataclass(frozen=True, slots=True)
class Allowance:
    """Limits of one person in one project, and what is used of them. None: there is no such limit.

    Hidden gold counts like work, or a limit would tell them apart; what is judged to qualify does not count.
    """

    daily_limit: int | None
    total_limit: int | None
    today: int = 0
    total: int = 0

    @property
    def left(self) -> int | None:
        """How many more may be judged today; None: as many as there are."""
        rooms = [limit - used for limit, used in self._pairs if limit is not None]
        return max(0, min(rooms)) if rooms else None

    @property
    def reached(self) -> str | None:
        """Which limit is reached: total_limit, daily_limit or None."""
        if self.total_limit is not None and self.total >= self.total_limit:
            return "total_limit"
        return "daily_limit" if self.daily_limit is not None and self.today >= self.daily_limit else None

    @property
    def _pairs(self) -> tuple[tuple[int | None, int], ...]:
        return (self.daily_limit, self.today), (self.total_limit, self.total)


def allowance(membership: Membership, project: Project) -> Allowance:
    """Counted from the judgements that count, each on the day of its first version; one query, none without limits."""
    daily = project.daily_limit
    total = project.total_limit if membership.total_limit is None else membership.total_limit
    if daily is None and total is None:
        return Allowance(None, None)
    counted = (
        Judgement.objects.filter(annotator=membership.user_id, comparison__project=project, is_current=True)
        .exclude(comparison__purpose=Comparison.Purpose.QUALIFICATION)
        .aggregate(total=Count("pk"), today=Count("pk", filter=begun_today()))
    )
    return Allowance(daily, total, counted["today"], counted["total"])


def today_began() -> datetime:
    """Midnight of the platform's time zone."""
    return timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)


def begun_today() -> Q:
    """Judgements of today; a revision of what was judged before today is work of that day."""
    before = _of_the_same().filter(created_at__lt=today_began())
    return Q(created_at__gte=today_began()) & ~Q(Exists(before))


def first_said() -> Subquery:
    """When the author of a judgement first said something about its comparison."""
    return Subquery(_of_the_same().order_by("created_at").values("created_at")[:1])


def _of_the_same() -> QuerySet[Judgement]:
    return Judgement.objects.filter(comparison=OuterRef("comparison"), annotator=OuterRef("annotator"))
