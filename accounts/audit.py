"""The audit trail: who did what. Services write it; pages read it."""

from __future__ import annotations

from typing import Any

from accounts.models import AuditEntry, User


def audit_record(*, actor: User | None, action: str, subject: object, scope: str = "", **details: Any) -> AuditEntry:
    """Note that `actor` (None: the system) did `action` (noun.verb) to `subject`.

    Call it in the transaction of the act, so that there is no act without its entry and no entry without its act.
    details: plain JSON values. `changed={field: [from, to]}` says what changed, `reason` why.
    """
    return AuditEntry.objects.create(
        actor=actor, action=action, subject=str(subject)[:200], scope=scope, details=details
    )
