"""What annotators and admins see of the work: queues, counts, history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from string import ascii_uppercase

from django.db.models import Count, Q, QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone

from accounts.models import User
from annotate.projects.models import Project
from annotate.ranking.engine import held, open_for
from annotate.ranking.models import Assignment, Comparison, Judgement

MANY = 1000  # queues longer than this are not counted to the end


@dataclass(frozen=True, slots=True)
class Queue:
    """One project as its annotator sees it. `left` is None when there are more than MANY."""

    project: Project
    left: int | None
    done: int
    today: int
    on_desk: bool

    @property
    def many(self) -> int:
        return MANY

    @property
    def total(self) -> int | None:
        return None if self.left is None else self.done + self.left


def today_began() -> datetime:
    return timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)


def queues(annotator: User) -> list[Queue]:
    projects = Project.objects.filter(memberships__user=annotator, memberships__is_active=True).order_by("name")
    done = {
        row["comparison__project"]: row
        for row in Judgement.objects.filter(annotator=annotator, is_current=True)
        .order_by()
        .values("comparison__project")
        .annotate(done=Count("id"), today=Count("id", filter=Q(created_at__gte=today_began())))
    }
    return [_queue(annotator, project, done.get(project.pk, {})) for project in projects]


def _queue(annotator: User, project: Project, done: dict[str, int]) -> Queue:
    desk = held(annotator, project).count()
    waiting = open_for(annotator, project).order_by()[: MANY + 1].count()
    left = None if waiting > MANY else waiting + desk
    return Queue(project, left, done.get("done", 0), done.get("today", 0), desk > 0)


def done_today(annotator: User, project: Project) -> int:
    return Judgement.objects.filter(
        annotator=annotator, comparison__project=project, is_current=True, created_at__gte=today_began()
    ).count()


def project_for(annotator: User, slug: str) -> Project:
    """A project the annotator belongs to; anybody else's does not exist for them."""
    return get_object_or_404(Project, slug=slug, memberships__user=annotator, memberships__is_active=True)


def own_assignments(annotator: User) -> QuerySet[Assignment]:
    return Assignment.objects.filter(annotator=annotator).select_related(
        "annotator", "comparison__project", "comparison__prompt"
    )


def last_submitted(annotator: User, project: Project) -> Assignment | None:
    judgement = (
        Judgement.objects.filter(
            annotator=annotator, comparison__project=project, is_current=True, assignment__isnull=False
        )
        .order_by("-id")
        .select_related("assignment")
        .first()
    )
    return judgement.assignment if judgement else None


def history(annotator: User) -> QuerySet[Judgement]:
    """The annotator's own judgements that count, newest first."""
    return (
        Judgement.objects.filter(annotator=annotator, is_current=True)
        .select_related("comparison__project", "comparison__prompt", "assignment")
        .prefetch_related("comparison__project__dimensions")
        .order_by("-id")
    )


def standing(ranks: dict[str, int], names: dict[str, str]) -> str:
    """A ranking in one line, `B > A = D`, with what was not placed left out."""
    groups: dict[int, list[str]] = {}
    for response, rank in ranks.items():
        groups.setdefault(rank, []).append(names.get(response, "?"))
    return " > ".join(" = ".join(sorted(groups[rank])) for rank in sorted(groups))


def letters(display_order: Sequence[int]) -> dict[str, str]:
    """{response id: the letter it had on the annotator's page}."""
    return {str(response): ascii_uppercase[place] for place, response in enumerate(display_order)}


def comparison_judgements(comparison: Comparison) -> QuerySet[Judgement]:
    """Every judgement of a comparison, superseded ones too; for admins."""
    return comparison.judgements.select_related("annotator", "assignment", "supersedes").order_by("annotator_id", "id")
