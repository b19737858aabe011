"""People: who they are, where they work, what they did, and how well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Case, Count, Max, Q, QuerySet, Value, When

from accounts.models import User
from annotate.projects.models import Membership, Project
from annotate.quality.models import QualityReport
from annotate.quality.words import FLAGS
from annotate.ranking.models import Judgement

ROLES = {
    "": "everybody",
    "admin": "admins",
    "reviewer": "reviewers",
    "annotator": "annotators",
    "none": "in no project",
}
STATES = {
    "": "everybody",
    "active": "at work",
    "paused": "paused",
    "reviewer": "reviewers",
    "open": "not yet qualified",
    "failed": "not qualified",
}


@dataclass(frozen=True, slots=True)
class Work:
    """What somebody did. judgements: that count. last: when the latest of them was made."""

    judgements: int = 0
    last: datetime | None = None


def users_found(*, text: str = "", role: str = "") -> QuerySet[User]:
    """Everybody by name, people before simulated annotators and imports; `text` is part of a name or address."""
    humans_first = Case(When(kind=User.Kind.HUMAN, then=Value(0)), default=Value(1))
    users = _named(User.objects.all(), text, "").order_by(humans_first, "username")
    if role == "admin":
        return users.filter(is_staff=True)
    if role == "reviewer":
        return users.filter(memberships__role=Membership.Role.REVIEWER, memberships__is_active=True).distinct()
    if role == "annotator":
        return users.filter(is_staff=False)
    return users.filter(memberships=None) if role == "none" else users


def members_found(project: Project, *, text: str = "", state: str = "") -> QuerySet[Membership]:
    """The people of a project by name."""
    rows = _named(project.memberships.select_related("user"), text, "user__").order_by("user__username")
    if state in ("active", "paused"):
        return rows.filter(is_active=state == "active")
    if state == "reviewer":
        return rows.filter(role=Membership.Role.REVIEWER)
    return rows.filter(qualification=state) if state in ("open", "failed") else rows


def _named(rows: Any, text: str, path: str) -> Any:
    text = text.replace("\x00", "").strip()[:100]
    if not text:
        return rows
    return rows.filter(Q(**{f"{path}username__icontains": text}) | Q(**{f"{path}email__icontains": text}))


def work_of(users: Sequence[int], project: Project | None = None) -> dict[int, Work]:
    """{user id: what they did}, in one query; those who did nothing are absent."""
    rows = Judgement.objects.filter(annotator__in=users, is_current=True).order_by()
    if project is not None:
        rows = rows.filter(comparison__project=project)
    return {
        row["annotator"]: Work(row["count"], row["last"])
        for row in rows.values("annotator").annotate(count=Count("pk"), last=Max("created_at"))
    }


def quality_of_people(project: Project) -> tuple[dict[int, dict[str, Any]], datetime | None]:
    """({user id: what the latest quality report says of their work}, when it was computed)."""
    report = QualityReport.objects.filter(project=project).first()
    if report is None:
        return {}, None
    groups = report.data.get("groups", {}).values()
    people = {int(key): person for group in groups for key, person in group["annotators"].items()}
    for person in people.values():
        person["flag_labels"] = [FLAGS[flag].label if flag in FLAGS else flag for flag in person.get("flags", ())]
    return people, report.computed_at


def qualification_rates(project: Project) -> dict[str, int]:
    """How many of a project's people passed, failed, or have not finished qualifying."""
    rows = project.memberships.order_by()
    counts = dict(rows.values_list("qualification").annotate(Count("pk")))
    return {state: counts.get(state, 0) for state in Membership.Qualification.values}
