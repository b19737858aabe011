"""What annotators and admins see of the work: queues, counts, history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, product
from string import ascii_uppercase

from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.http import Http404
from django.shortcuts import get_object_or_404

from accounts.models import User
from annotate.gold.selectors import gold_expected, gold_unseen, qualification_exists, qualification_open
from annotate.projects.models import Membership, Project
from annotate.ranking.engine import is_qualifying, open_count
from annotate.ranking.limits import Allowance, allowance, begun_today
from annotate.ranking.models import Assignment, Comparison, Judgement
from annotate.ranking.places import held
from annotate.ranking.questions import with_questions
from annotate.ranking.rows import columns, fetch_joined

LARGEST_ID = 2**63 - 1
MANY = 1000  # queues longer than this are not counted to the end


@dataclass(frozen=True, slots=True)
class Queue:
    """One project as its annotator sees it.

    left: None when there are more than MANY. qualifying: these comparisons decide whether there will be more.
    why: the reason why nothing is handed out (see `why_nothing`), None while something is. limits: None without any.
    """

    project: Project
    left: int | None
    done: int
    today: int
    on_desk: bool
    qualifying: bool = False
    why: str | None = None
    limits: Allowance | None = None

    @property
    def many(self) -> int:
        return MANY

    @property
    def total(self) -> int | None:
        return None if self.left is None else self.done + self.left


def queues(annotator: User) -> list[Queue]:
    memberships = (
        Membership.objects.filter(user=annotator, is_active=True).select_related("project").order_by("project__name")
    )
    done = {
        row["comparison__project"]: row
        for row in Judgement.objects.filter(annotator=annotator, is_current=True)
        .order_by()
        .values("comparison__project")
        .annotate(done=Count("id"), today=Count("id", filter=begun_today()))
    }
    return [_queue(annotator, membership, done.get(membership.project_id, {})) for membership in memberships]


def _queue(annotator: User, membership: Membership, done: dict[str, int]) -> Queue:
    project = membership.project
    qualifying = is_qualifying(membership, project)
    limits = allowance(membership, project)
    desk = sum(
        (purpose == Comparison.Purpose.QUALIFICATION) is qualifying
        for purpose in held(annotator, project).values_list("comparison__purpose", flat=True)
    )
    if qualifying:
        failed = membership.qualification == Membership.Qualification.FAILED
        left: int | None = 0 if failed else len(qualification_open(annotator, project)) + desk
    else:
        left = _left(annotator, project, desk, limits)
    why = _why(membership, limits) or (None if left or left is None else "done")
    capped = limits if limits.left is not None else None
    return Queue(
        project, left, done.get("done", 0), done.get("today", 0), desk > 0 and why is None, qualifying, why, capped
    )


def _left(annotator: User, project: Project, desk: int, limits: Allowance) -> int | None:
    """What is still to come: open comparisons with the gold between them, so that the figure gives nothing away."""
    waiting = open_count(annotator, project, most=MANY + 1)
    if waiting > MANY:
        return limits.left if limits.left is not None and limits.left <= MANY else None
    if project.gold_rate and waiting:
        last = Assignment.objects.filter(annotator=annotator).order_by("-number").values_list("number", flat=True)
        unseen = len(gold_unseen(annotator, project))
        number = (last.first() or 0) + 1
        waiting += gold_expected(annotator.pk, number, project.gold_rate, work=waiting, unseen=unseen)
    left = waiting + desk
    return left if limits.left is None else min(left, limits.left)


def why_nothing(annotator: User, project: Project) -> str:
    """Why nothing is handed out to somebody: a key for the page, which has the sentence.

    not_member; paused; failed (did not qualify); unqualified_no_gold (must qualify, but there is nothing to qualify
    with yet); total_limit; daily_limit; done (nothing is left).
    """
    membership = Membership.objects.filter(user=annotator, project=project, is_active=True).first()
    if membership is None:
        return "not_member"
    membership.project = project
    return _why(membership, allowance(membership, project)) or "done"


def _why(membership: Membership, limits: Allowance) -> str | None:
    project = membership.project
    if project.is_paused:
        return "paused"
    if is_qualifying(membership, project):
        if membership.qualification == Membership.Qualification.FAILED:
            return "failed"
        return None if qualification_exists(project) else "unqualified_no_gold"
    return limits.reached


def done_today(annotator: User, project: Project) -> int:
    mine = Judgement.objects.filter(annotator=annotator, comparison__project=project, is_current=True)
    return mine.filter(begun_today()).count()


def project_for(annotator: User, slug: str) -> Project:
    """A project the annotator belongs to; anybody else's does not exist for them."""
    return get_object_or_404(Project, slug=slug, memberships__user=annotator, memberships__is_active=True)


OWN = f"""
    SELECT {columns(Assignment, "a")}, {columns(Comparison, "c")}, {columns(Project, "p")}
    FROM annotate_assignment a
    JOIN annotate_comparison c ON c.id = a.comparison_id
    JOIN annotate_project p ON p.id = c.project_id
    WHERE a.id = %s AND a.annotator_id = %s AND (a.state = 'active' OR EXISTS (
        SELECT FROM annotate_membership m WHERE m.project_id = c.project_id AND m.user_id = a.annotator_id))
"""  # noqa: S608


def own_assignment(annotator: User, pk: int) -> Assignment:
    """One's own assignment with all that is asked in its project; anybody else's does not exist, and in a project that
    one is not in any more, only what one holds."""
    if pk > LARGEST_ID or (found := fetch_joined(OWN, [pk, annotator.pk], Assignment, Comparison, Project)) is None:
        raise Http404
    assignment, comparison, project = found
    comparison.project = with_questions(project)
    assignment.comparison, assignment.annotator = comparison, annotator
    return assignment


def own_assignments(annotator: User) -> QuerySet[Assignment]:
    """What `own_assignment` finds."""
    here = Membership.objects.filter(project=OuterRef("comparison__project"), user=annotator)
    return Assignment.objects.filter(
        Q(state=Assignment.State.ACTIVE) | Exists(here), annotator=annotator
    ).select_related("annotator", "comparison__project", "comparison__prompt")


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
    """The annotator's own judgements that count or were withdrawn, newest first."""
    return (
        Judgement.objects.filter(Q(is_current=True) | Q(withdrawal__isnull=False), annotator=annotator)
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
    """{response id: the letter it had on the annotator's page}; after Z come AA, AB, ..."""
    names = chain(ascii_uppercase, map("".join, product(ascii_uppercase, repeat=2)))
    return {str(response): name for response, name in zip(display_order, names, strict=False)}


def comparison_judgements(comparison: Comparison) -> QuerySet[Judgement]:
    """Every judgement of a comparison, superseded ones too; for admins."""
    return comparison.judgements.select_related("annotator", "assignment", "supersedes").order_by("annotator_id", "id")
