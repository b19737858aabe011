"""What waits for a reviewer, and who may review it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import (
    Count,
    Exists,
    F,
    IntegerField,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    TextField,
    Value,
)
from django.db.models.functions import Cast, Coalesce
from django.http import Http404
from django.shortcuts import get_object_or_404

from accounts.models import User
from annotate.projects.models import Membership, Project
from annotate.ranking.models import Assignment, Comparison, Judgement
from annotate.review.conflict import Conflict, conflict_of
from annotate.review.models import Adjudication, Withdrawal

Said = tuple[dict[str, dict[str, int]], list[str]]  # the rankings and all_bad of a judgement
DECISION = Adjudication.objects.filter(comparison=OuterRef("pk"), is_current=True)


# who may --------------------------------------------------------------------------------------------------------------


def may_review(user: User, project: Project) -> bool:
    """Admins everywhere, reviewers in their projects while they are not paused there."""
    return user.is_staff or _reviewing(user).filter(project=project).exists()


def _reviewing(user: User) -> QuerySet[Membership]:
    return Membership.objects.filter(user=user, role=Membership.Role.REVIEWER, is_active=True)


def project_for_review(user: User, slug: str) -> Project:
    """404 unless the user may review it: for everybody else there is nothing here."""
    project = get_object_or_404(Project, slug=slug)
    if not may_review(user, project):
        raise Http404
    return project


def comparison_for_review(user: User, pk: int) -> Comparison:
    """What a reviewer may read: work that has its judgements or is decided, and is none of their own.

    Gold is not for review, since its answer is known. Reviewers annotate too: so they must neither read what others
    said before they have judged, nor learn here which of their own was gold. Until it is decided, theirs is as absent
    as gold is. Admins see everything.
    """
    rows = Comparison.objects.select_related("project", "prompt").filter(purpose=Comparison.Purpose.WORK)
    if not user.is_staff:
        rows = rows.filter(~_held_by(user)).filter(Exists(DECISION) | (Q(is_closed=True) & ~_judged_by(user)))
    comparison = get_object_or_404(rows, pk=pk)
    if not may_review(user, comparison.project):
        raise Http404
    return comparison


def has_judged(user: User, comparison: Comparison) -> bool:
    """Whether the user said anything about it, counting or not."""
    return Judgement.objects.filter(comparison=comparison, annotator=user).exists()


# the queue ------------------------------------------------------------------------------------------------------------


def waiting() -> QuerySet[Comparison]:
    """Comparisons of all projects that wait for a reviewer: closed, contested enough, not decided."""
    return Comparison.objects.filter(
        ~Exists(DECISION),
        purpose=Comparison.Purpose.WORK,
        is_closed=True,
        disagreement__gt=0,
        disagreement__gte=F("project__adjudicate_above"),
    )


def review_queue(project: Project, user: User) -> QuerySet[Comparison]:
    """What this user can decide in a project, the most contested first. Reviewers do not decide on their own work."""
    rows = waiting().filter(project=project).order_by("-disagreement", "id")
    return rows if user.is_staff else rows.filter(~_judged_by(user), ~_held_by(user))


def decided(project: Project) -> QuerySet[Comparison]:
    """What has been decided, the latest first."""
    latest = Adjudication.objects.filter(comparison=OuterRef("pk"), is_current=True).values("pk")[:1]
    return (
        Comparison.objects.filter(Exists(DECISION), project=project)
        .annotate(decision=Subquery(latest, output_field=IntegerField()))
        .order_by("-decision")
    )


def _judged_by(user: User) -> Exists:
    return Exists(Judgement.objects.filter(comparison=OuterRef("pk"), annotator=user))


def _held_by(user: User) -> Exists:
    """Whether the user may still judge it: it is on their desk, or was there when their lease lapsed."""
    seen = Q(state=Assignment.State.ACTIVE) | Q(state=Assignment.State.RELEASED, started_at__isnull=False)
    return Exists(Assignment.objects.filter(seen, comparison=OuterRef("pk"), annotator=user))


def narrowed(rows: QuerySet[Comparison], *, round: int | None = None, text: str = "") -> QuerySet[Comparison]:
    """Comparisons of one round, and of prompts that say `text`."""
    if round is not None:
        rows = rows.filter(round=round)
    if text:
        rows = rows.alias(said=Cast("prompt__messages", TextField())).filter(said__icontains=text)
    return rows


@dataclass(frozen=True, slots=True)
class Line:
    """One comparison in a list of the queue. conflicts: [(label of a dimension, what is contested there)]."""

    comparison: Comparison
    judgements: int
    conflicts: list[tuple[str, Conflict]]


def queue_lines(project: Project, comparisons: Iterable[Comparison]) -> list[Line]:
    """What a list shows of comparisons, in two queries however many there are."""
    comparisons = list(comparisons)
    given: dict[int, list[Said]] = {comparison.pk: [] for comparison in comparisons}
    judgements = Judgement.objects.filter(comparison__in=list(given), is_current=True).order_by("pk")
    for pk, rankings, all_bad in judgements.values_list("comparison", "rankings", "all_bad"):
        given[pk].append((rankings, all_bad))
    dimensions = [(dimension.key, dimension.label) for dimension in project.dimensions.all()]
    return [
        Line(comparison, len(given[comparison.pk]), _conflicts(given[comparison.pk], dimensions))
        for comparison in comparisons
    ]


def _conflicts(given: list[Said], dimensions: list[tuple[str, str]]) -> list[tuple[str, Conflict]]:
    found = []
    for key, label in dimensions:
        rankings = [rankings.get(key, {}) for rankings, _ in given]
        responses = sorted({pk for ranks in rankings for pk in ranks})
        found.append((label, conflict_of(rankings, responses, [key in all_bad for _, all_bad in given])))
    return found


@dataclass(frozen=True, slots=True)
class Progress:
    """waiting: for this user. own: waiting too, but the user judged or holds them, so another reviewer has to."""

    waiting: int
    decided: int
    own: int = 0

    @property
    def total(self) -> int:
        return self.waiting + self.own + self.decided


def review_progress(project: Project, user: User) -> Progress:
    left = waiting().filter(project=project)
    own = 0 if user.is_staff else left.filter(_judged_by(user) | _held_by(user)).count()
    done = Adjudication.objects.filter(comparison__project=project, is_current=True).count()
    return Progress(left.count() - own, done, own)


@dataclass(frozen=True, slots=True)
class ReviewCount:
    project: Project
    waiting: int


def review_counts(user: User) -> list[ReviewCount]:
    """The projects that this user reviews, and how much waits there for them; one query. Empty for annotators."""
    left = (
        waiting()
        .filter(~_judged_by(user), ~_held_by(user), project=OuterRef("pk"))
        .order_by()
        .values("project")
        .annotate(count=Count("pk"))
        .values("count")
    )
    projects = (
        Project.objects.filter(pk__in=_reviewing(user).values("project"))
        .annotate(waiting=Coalesce(Subquery(left, output_field=IntegerField()), Value(0)))
        .order_by("name")
    )
    return [ReviewCount(project, project.waiting) for project in projects]


# withdrawals ----------------------------------------------------------------------------------------------------------


def withdrawals(project: Project) -> QuerySet[Withdrawal]:
    return Withdrawal.objects.filter(project=project).select_related("annotator", "by").order_by("-pk")


def withdrawn(user: User, project: Project) -> bool:
    """Whether work of this person in this project is withdrawn now."""
    return Withdrawal.objects.filter(project=project, annotator=user, restored_at=None).exists()
