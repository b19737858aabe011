"""Reading the audit trail."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.apps import apps
from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast

from accounts.models import AuditEntry, User

PAGE = 100


@dataclass(frozen=True, slots=True)
class Scope:
    """Where an entry belongs, in words. `url` is empty where the place has no page (any more)."""

    key: str
    label: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Entries, the newest first. older: the key to ask for as `before`, None at the end."""

    entries: list[AuditEntry]
    older: int | None


def audit_entries(*, person: int | None = None, scope: str = "", action: str = "", text: str = "") -> QuerySet:
    """Entries, the newest first. action: one action, or the noun that several begin with; text: anywhere in it."""
    rows = AuditEntry.objects.select_related("actor").order_by("-id")
    if person is not None:
        rows = rows.filter(actor=person)
    if scope:
        rows = rows.filter(scope=scope)
    if action:
        rows = rows.filter(Q(action=action) | Q(action__startswith=f"{action}."))
    if text:
        rows = rows.alias(written=Cast("details", TextField())).filter(
            Q(subject__icontains=text) | Q(action__icontains=text) | Q(written__icontains=text)
        )
    return rows


def audit_page(rows: QuerySet, *, before: int = 0, size: int = PAGE) -> AuditPage:
    """A page from a key on, so that the hundredth costs what the first one costs."""
    found = list((rows.filter(pk__lt=before) if before else rows)[: size + 1])
    return AuditPage(found[:size], found[size - 1].pk if len(found) > size else None)


def audit_actions() -> list[str]:
    """Every action there is an entry of."""
    return list(AuditEntry.objects.order_by("action").values_list("action", flat=True).distinct())


def audit_people(chosen: int = 0) -> list[User]:
    """Those who may have entries: admins, whoever has some, and who was chosen."""
    wrote = AuditEntry.objects.order_by().values("actor")
    return list(User.objects.filter(Q(is_staff=True) | Q(pk__in=wrote) | Q(pk=chosen)).order_by("username"))


def audit_scopes(keys: Iterable[str] | None = None) -> list[Scope]:
    """Scopes in words, by default all that have entries. The apps know them (`AppConfig.audit_scopes`)."""
    if keys is None:
        keys = AuditEntry.objects.exclude(scope="").order_by("scope").values_list("scope", flat=True).distinct()
    wanted = set(keys) - {""}
    known: dict[str, tuple[str, str]] = {}
    for app in apps.get_app_configs():
        if hasattr(app, "audit_scopes"):
            known |= app.audit_scopes(wanted)
    return sorted((Scope(key, *known.get(key, (key,))) for key in wanted), key=lambda scope: scope.label.lower())
