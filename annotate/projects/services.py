"""Writing about projects: what they ask, who is in them, and their prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from typing import Any

import structlog
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.text import slugify
from django.utils.translation import gettext_noop

from accounts.audit import audit_record
from accounts.models import User
from annotate.formats.prompts import PromptRecord
from annotate.projects.models import Guidelines, Membership, Project, Prompt
from annotate.projects.questions import attributes_set, dimensions_set, flags_checked, locks, task_checked

log = structlog.get_logger(__name__)

# Dimensions that most projects ask for, ready to use. Annotators read them translated while their text is unchanged.
PRESETS: tuple[dict[str, str], ...] = (
    {
        "key": "helpfulness",
        "label": gettext_noop("Helpfulness"),
        "question": gettext_noop("Which response helps the user more?"),
    },
    {
        "key": "harmlessness",
        "label": gettext_noop("Harmlessness"),
        "question": gettext_noop("Which response does less harm?"),
    },
)


# projects -----------------------------------------------------------------------------------------------------------


@transaction.atomic
def project_create(
    *,
    name: str,
    user: User | None,
    dimensions: Sequence[Mapping[str, Any]] = PRESETS,
    attributes: Sequence[Mapping[str, Any]] = (),
    slug: str = "",
    **fields: Any,
) -> Project:
    """A project and what it asks. Raises ValidationError with field errors; nothing is created then.

    The pairwise task compares two responses, whatever `k` says.
    """
    project = Project(name=name.strip(), slug=slug or free_slug(name), created_by=user, **fields)
    _save(project, None, dimensions=dimensions, attributes=attributes)
    _keep_guidelines(project, user)
    audit_record(actor=user, action="project.created", subject=project, scope=scope(project), task=project.task)
    log.info("project.created", project=project.pk)
    return project


@transaction.atomic
def project_update(
    *,
    project: Project,
    dimensions: Sequence[Mapping[str, Any]] | None = None,
    attributes: Sequence[Mapping[str, Any]] | None = None,
    user: User | None = None,
    **fields: Any,
) -> Project:
    """Change a project. Raises ValidationError with field errors; nothing is changed then.

    Only what is given is written, on the project as it is in the database: what somebody else changed since `project`
    was read stays changed, and `project` knows it then. A new K or overlap holds for comparisons made from now on;
    other guidelines are a new version; what judgements speak
    of stays (see `annotate.projects.questions`).
    """
    now = Project.objects.select_for_update(no_key=True).get(pk=project.pk)
    before, asked = copy(now), _asked(now)
    for field, value in fields.items():
        setattr(now, field, value)
    _save(now, before, dimensions=dimensions, attributes=attributes)
    changed: dict[str, Any] = {
        name: [getattr(before, name), getattr(now, name)]
        for name in _changed_fields(before, now)
        if name != "guidelines"
    }
    if (asks := _asked(now)) != asked:
        changed["questions"] = [asked, asks]
    if version := _keep_guidelines(now, user):
        changed["guidelines"] = version.number
    if changed:
        audit_record(actor=user, action="project.changed", subject=now, scope=scope(now), changed=changed)
    for field in Project._meta.concrete_fields:
        setattr(project, field.attname, getattr(now, field.attname))
    return project


def _changed_fields(before: Project, now: Project) -> list[str]:
    """Names of the columns that differ."""
    names = [field.attname for field in Project._meta.concrete_fields if field.name != "updated_at"]
    return [name for name in names if getattr(before, name) != getattr(now, name)]


def _save(
    project: Project,
    before: Project | None,
    *,
    dimensions: Sequence[Mapping[str, Any]] | None,
    attributes: Sequence[Mapping[str, Any]] | None,
) -> None:
    """Check everything before complaining, so that a page shows all that is wrong at once."""
    locked = locks(before)
    errors: dict[str, list[str]] = {}

    def attempt(act: Callable[..., Any], *given: Any) -> Any:
        try:
            return act(*given)
        except ValidationError as error:
            for field, messages in error.message_dict.items():
                errors.setdefault(field, []).extend(messages)
        return None

    attempt(task_checked, project, before, locked)
    project.flags = attempt(flags_checked, project.flags, before) or []
    attempt(project.full_clean)
    if before is None and errors:
        raise ValidationError(errors)
    if not errors and before is None:
        project.save()
    elif not errors and before is not None and (changed := _changed_fields(before, project)):
        project.save(update_fields=[*changed, "updated_at"])
    if dimensions is not None:
        attempt(dimensions_set, project, dimensions, locked)
    if attributes is not None:
        attempt(attributes_set, project, attributes, locked)
    if errors:
        raise ValidationError(errors)


def _asked(project: Project) -> list[str]:
    """Keys of what a project asks, in order, for the audit trail."""
    return [*_keys(project.dimensions), *_keys(project.attributes)]


def _keys(rows: Any) -> list[str]:
    return list(rows.values_list("key", flat=True))


def _keep_guidelines(project: Project, user: User | None) -> Guidelines | None:
    """A text that differs from the latest version becomes the next one, so that judgements can name theirs."""
    latest = project.guideline_versions.first()
    if (latest.text if latest else "") == project.guidelines:
        return None
    number = latest.number + 1 if latest else 1
    return Guidelines.objects.create(project=project, number=number, text=project.guidelines, created_by=user)


def free_slug(name: str) -> str:
    """A slug of `name` that no project has yet."""
    base = slugify(name, allow_unicode=False)[:100] or "project"
    # /projects/new/ is the page that creates one.
    taken = {"new", *Project.objects.filter(slug__startswith=base).values_list("slug", flat=True)}
    return next(slug for n in range(1, len(taken) + 2) if (slug := base if n == 1 else f"{base}-{n}") not in taken)


def scope(project: Project) -> str:
    """What the audit trail calls a project."""
    return f"project:{project.pk}"


# people -------------------------------------------------------------------------------------------------------------


@transaction.atomic
def membership_add(*, project: Project, user: User, by: User | None, role: str | None = None) -> Membership:
    """Let `user` work in `project`; somebody who was paused there may go on.

    role: annotator or reviewer; None keeps the one a member has, and makes a new member an annotator.
    """
    given = {"is_active": True} | ({"role": role} if role else {})
    rows = Membership.objects.select_for_update(no_key=True)
    membership, is_new = rows.get_or_create(project=project, user=user, defaults=given)
    changed = {name: value for name, value in given.items() if getattr(membership, name) != value}
    if is_new:
        _noted(membership, by, "added", role=membership.role)
    elif changed:
        _changed(membership, by, changed)
    log.info("membership.added", project=project.pk, user_id=user.pk, by=by.pk if by else None)
    return membership


@transaction.atomic
def membership_update(*, membership: Membership, by: User | None, **fields: Any) -> Membership:
    """Change `is_active`, `role` or `total_limit`. Work that was submitted stays. ValidationError with field errors."""
    membership = Membership.objects.select_for_update(no_key=True).get(pk=membership.pk)
    changed = {name: value for name, value in fields.items() if getattr(membership, name) != value}
    if changed:
        _changed(membership, by, changed)
    return membership


PEOPLE_ACTIONS = {
    "add": "Add to",
    "pause": "Pause in",
    "resume": "Resume in",
    "reviewer": "Make reviewer in",
    "annotator": "Make annotator in",
}


@transaction.atomic
def people_change(*, users: Iterable[User], project: Project | None, action: str, by: User) -> int:
    """Do `action` to each of `users` in a project; how many are different now. All of them, or nobody.

    Without a project, pausing and resuming mean all projects of a person. Only `add` makes somebody a member.
    """
    if action not in PEOPLE_ACTIONS:
        raise ValidationError({"action": "Choose what to do."})
    if project is None and action not in ("pause", "resume"):
        raise ValidationError({"project": "Choose a project."})
    if action == "add":
        assert project is not None
        # Imported judgements have an author, but nobody who could log in.
        people = sorted((user for user in users if user.kind != User.Kind.IMPORT), key=lambda user: user.pk)
        # In one order, that of everybody who locks more than one: two admins who do the same wait, but not for ever.
        rows = project.memberships.select_for_update(no_key=True).filter(user__in=people).order_by("pk")
        there = {membership.user_id for membership in rows if membership.is_active}
        for user in people:
            membership_add(project=project, user=user, by=by)
        return len([user for user in people if user.pk not in there])
    wanted = {"is_active": action == "resume"} if action in ("pause", "resume") else {"role": action}
    rows = Membership.objects.filter(user__in=list(users)).exclude(**wanted).select_related("user", "project")
    if project is not None:
        rows = rows.filter(project=project)
    found = list(rows.order_by("pk"))
    for membership in found:
        membership_update(membership=membership, by=by, **wanted)
    return len(found)


def _changed(membership: Membership, by: User | None, changed: Mapping[str, Any]) -> None:
    details = {name: [getattr(membership, name), value] for name, value in changed.items()}
    for name, value in changed.items():
        setattr(membership, name, value)
    membership.full_clean(validate_constraints=False)
    membership.save(update_fields=list(changed))
    paused = details.pop("is_active", None)
    if paused:
        _noted(membership, by, "resumed" if membership.is_active else "paused")
    if details:
        _noted(membership, by, "changed", changed=details)


def _noted(membership: Membership, by: User | None, verb: str, **details: Any) -> None:
    audit_record(
        actor=by,
        action=f"membership.{verb}",
        subject=membership.user,
        scope=scope(membership.project),
        project=membership.project.name,
        **details,
    )


def membership_set_active(*, membership: Membership, is_active: bool, by: User | None = None) -> Membership:
    """Pause or resume a person in a project. Work that was submitted stays."""
    return membership_update(membership=membership, by=by, is_active=is_active)


# prompts ------------------------------------------------------------------------------------------------------------


def prompts_store(*, project: Project, records: Iterable[PromptRecord], source: str) -> int:
    """Insert those that the project does not have yet; returns how many."""
    rows = [
        Prompt(
            project=project,
            messages=record.messages,
            content_hash=record.content_hash,
            tags=record.tags,
            language=record.language,
            source=record.source or source,
            metadata=record.metadata,
        )
        for record in records
    ]
    known = set(
        Prompt.objects.filter(project=project, content_hash__in=[row.content_hash for row in rows]).values_list(
            "content_hash", flat=True
        )
    )
    new = [row for row in rows if row.content_hash not in known]
    # Another import may insert the same prompt between the look and the write; the unique constraint then decides.
    Prompt.objects.bulk_create(new, ignore_conflicts=True)
    return len(new)
