"""Reading about projects."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models import Count, IntegerField, Min, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from annotate.projects.models import Guidelines, Membership, Project, Prompt


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a project is.

    needed: judgements that its comparisons ask for; a closed one asks for no more than it has. done: those that are
    there, not counting late ones beside them. Gold is not counted.
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


@dataclass(frozen=True, slots=True)
class Work:
    """Of the comparisons of work of a project, as in `Progress`."""

    comparisons: int = 0
    closed: int = 0
    needed: int = 0
    done: int = 0
    judgements: int = 0


# A place is filled by a current judgement whose author sits on one, or that was imported (`places.FILLS`). Counted are
# all, from an index that has all it takes, and then the late ones, which are few and sit nowhere, are taken off.
WORK = """
    SELECT c.project_id, count(*), count(*) FILTER (WHERE c.is_closed),
        sum(CASE WHEN c.is_closed THEN least(c.overlap, filled.n) ELSE c.overlap END),
        sum(least(c.overlap, filled.n)), sum(filled.total)
    FROM annotate_comparison c
    LEFT JOIN (
        SELECT j.comparison_id, count(*)::int AS n FROM annotate_judgement j
        JOIN annotate_comparison k ON k.id = j.comparison_id
        WHERE j.is_current AND k.project_id = ANY(%(projects)s) GROUP BY 1
    ) given ON given.comparison_id = c.id
    LEFT JOIN (
        SELECT a.comparison_id, count(*)::int AS n FROM annotate_assignment a
        JOIN annotate_judgement j ON j.assignment_id = a.id AND j.is_current
        WHERE a.slot IS NULL GROUP BY 1
    ) late ON late.comparison_id = c.id
    CROSS JOIN LATERAL (
        SELECT coalesce(given.n, 0) - coalesce(late.n, 0) AS n, coalesce(given.n, 0) AS total
    ) filled
    WHERE c.project_id = ANY(%(projects)s) AND c.purpose = 'work'
    GROUP BY c.project_id
"""


def work_counts(projects: Iterable[int]) -> dict[int, Work]:
    """{project id: how far its work is}, in one query; projects without comparisons are absent."""
    with connection.cursor() as cursor:
        cursor.execute(WORK, {"projects": list(projects)})
        return {project: Work(*figures) for project, *figures in cursor.fetchall()}


def projects_with_progress(limit: int | None = None) -> list[Project]:
    """The newest projects with the counts their list shows; two queries, however many there are."""
    from annotate.models import DatasetVersion

    projects = list(
        Project.objects.annotate(
            prompt_count=_per_project(Prompt.objects),
            member_count=_per_project(Membership.objects.filter(is_active=True)),
            version_count=_per_project(DatasetVersion.objects),
        ).order_by("-id")[:limit]
    )
    work = work_counts(project.pk for project in projects)
    for project in projects:
        found = work.get(project.pk, Work())
        project.comparison_count, project.needed, project.done = found.comparisons, found.needed, found.done
    return projects


def _per_project(rows: Any) -> Coalesce:
    """How many there are: one subquery a figure, so that joins do not multiply rows."""
    counted = rows.filter(project=OuterRef("pk")).order_by().values("project").annotate(figure=Count("pk"))
    return Coalesce(Subquery(counted.values("figure"), output_field=IntegerField()), Value(0))


def project_progress(project: Project) -> Progress:
    from annotate.models import DatasetVersion, Response

    return Progress(
        **asdict(work_counts([project.pk]).get(project.pk, Work())),
        prompts=Prompt.objects.filter(project=project).count(),
        responses=Response.objects.filter(prompt__project=project).count(),
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
