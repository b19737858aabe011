"""Reading about projects."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models import Aggregate, Count, IntegerField, Min, OuterRef, Q, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from annotate.projects.models import Guidelines, Membership, Project, Prompt


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a project is.

    needed: judgements that its comparisons ask for. done: those they have; a closed comparison has all it needs. Gold
    is not counted.
    """

    prompts: int
    responses: int
    comparisons: int
    closed: int
    needed: int
    done: int
    judgements: int
    annotators: int
    versions: int

    @property
    def share(self) -> float | None:
        return self.done / self.needed if self.needed else None


def projects_with_progress() -> QuerySet[Project]:
    """All projects with the counts their list shows: one subquery a figure, so that joins do not multiply rows."""
    from annotate.models import Comparison, DatasetVersion, Judgement

    # Gold is work for nobody's dataset: it is neither needed nor done.
    work = Comparison.objects.filter(purpose=Comparison.Purpose.WORK)
    open_judgements = Judgement.objects.filter(is_current=True, comparison__is_closed=False)
    return Project.objects.annotate(
        prompt_count=_per_project(Prompt.objects, "project", Count("pk")),
        comparison_count=_per_project(work, "project", Count("pk")),
        needed=_per_project(work, "project", Sum("overlap")),
        done=_per_project(work.filter(is_closed=True), "project", Sum("overlap"))
        + _per_project(open_judgements, "comparison__project", Count("pk")),
        member_count=_per_project(Membership.objects.filter(is_active=True), "project", Count("pk")),
        version_count=_per_project(DatasetVersion.objects, "project", Count("pk")),
    ).order_by("-id")


def _per_project(rows: Any, path: str, figure: Aggregate) -> Coalesce:
    counted = rows.filter(**{path: OuterRef("pk")}).order_by().values(path).annotate(figure=figure).values("figure")
    return Coalesce(Subquery(counted, output_field=IntegerField()), Value(0))


def project_progress(project: Project) -> Progress:
    from annotate.models import Comparison, DatasetVersion, Judgement, Response

    work = Comparison.Purpose.WORK
    comparisons = Comparison.objects.filter(project=project, purpose=work).aggregate(
        total=Count("pk"),
        closed=Count("pk", filter=Q(is_closed=True)),
        needed=Coalesce(Sum("overlap"), 0),
        finished=Coalesce(Sum("overlap", filter=Q(is_closed=True)), 0),
    )
    current = Judgement.objects.filter(comparison__project=project, comparison__purpose=work, is_current=True)
    judgements = current.aggregate(total=Count("pk"), open=Count("pk", filter=Q(comparison__is_closed=False)))
    return Progress(
        prompts=Prompt.objects.filter(project=project).count(),
        responses=Response.objects.filter(prompt__project=project).count(),
        comparisons=comparisons["total"],
        closed=comparisons["closed"],
        needed=comparisons["needed"],
        done=comparisons["finished"] + judgements["open"],
        judgements=judgements["total"],
        annotators=project.memberships.filter(is_active=True).count(),
        versions=DatasetVersion.objects.filter(project=project).count(),
    )


def guideline_versions(project: Project) -> QuerySet[Guidelines]:
    """Versions of the guidelines, latest first, with who wrote them and how many judgements were made under them."""
    from annotate.models import Judgement

    made = Judgement.objects.filter(guidelines=OuterRef("pk"), is_current=True).order_by().values("guidelines")
    counted = Subquery(made.annotate(count=Count("pk")).values("count"), output_field=IntegerField())
    return project.guideline_versions.select_related("created_by").annotate(judged=Coalesce(counted, Value(0)))


@dataclass(frozen=True, slots=True)
class Pace:
    """week: judgements of the last seven days. per_day: from them; None where there are too few to say. days: how many
    the rest takes at that pace; None where that is unknown, or nothing is left."""

    week: int
    per_day: float | None
    days: float | None

    @property
    def hours(self) -> int | None:
        return None if self.days is None else max(1, round(24 * self.days))


FEW = 10  # judgements, or less than a day of work, tell nothing about the next days


def project_pace(project: Project, progress: Progress) -> Pace:
    """How fast judgements come, and how long the rest takes if they go on coming like that."""
    from annotate.models import Comparison, Judgement

    now = timezone.now()
    week = Judgement.objects.filter(
        comparison__project=project,
        comparison__purpose=Comparison.Purpose.WORK,
        is_current=True,
        created_at__gte=now - timedelta(days=7),
    ).exclude(source=Judgement.Source.IMPORT)
    found = week.aggregate(count=Count("pk"), first=Min("created_at"))
    if found["count"] < FEW or now - found["first"] < timedelta(days=1):
        return Pace(found["count"], None, None)
    per_day = found["count"] / ((now - found["first"]) / timedelta(days=1))
    left = progress.needed - progress.done
    return Pace(found["count"], per_day, left / per_day if left > 0 else None)


@dataclass(frozen=True, slots=True)
class PromptPage:
    prompts: list[Prompt]
    older: int | None
    newer: int | None


def prompts_page(project: Project, *, after: int = 0, before: int = 0, tag: str = "", size: int = 50) -> PromptPage:
    """Prompts in order of id, from a key on: the hundredth page costs what the first one costs."""
    rows = Prompt.objects.filter(project=project)
    if tag:
        rows = rows.filter(tags__contains=[tag])
    if before:
        found = list(rows.filter(pk__lt=before).order_by("-pk")[: size + 1])
        more, found = len(found) > size, found[:size][::-1]
        return PromptPage(found, found[0].pk if more else None, before - 1 if found else None)
    found = list(rows.filter(pk__gt=after).order_by("pk")[: size + 1])
    more, found = len(found) > size, found[:size]
    return PromptPage(found, found[0].pk if after and found else None, found[-1].pk if more else None)


def prompt_tags(project: Project, limit: int = 30) -> list[tuple[str, int]]:
    """The project's most frequent tags and how many prompts have each."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tag, count(*) FROM annotate_prompt, unnest(tags) AS tag WHERE project_id = %s "
            "GROUP BY tag ORDER BY count(*) DESC, tag LIMIT %s",
            [project.pk, limit],
        )
        return cursor.fetchall()
