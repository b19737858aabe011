"""Writing about projects: what they ask, who is in them, and their prompts."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

import structlog
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.text import slugify

from accounts.models import User
from annotate.batches import batched
from annotate.formats.jsonl import Findings
from annotate.formats.prompts import PromptRecord, read_prompts
from annotate.projects.models import Dimension, Guidelines, Membership, Project, Prompt, PromptImport
from annotate.projects.selectors import dimensions_in_use

log = structlog.get_logger(__name__)

# Dimensions that most projects ask for, ready to use.
PRESETS: tuple[dict[str, str], ...] = (
    {"key": "helpfulness", "label": "Helpfulness", "question": "Which response helps the user more?"},
    {"key": "harmlessness", "label": "Harmlessness", "question": "Which response does less harm?"},
)
BATCH = 1000
SHOWN = 20  # complaints that fit into one message


# projects -----------------------------------------------------------------------------------------------------------


@transaction.atomic
def project_create(
    *, name: str, user: User | None, dimensions: Sequence[Mapping[str, str]] = PRESETS, slug: str = "", **fields: Any
) -> Project:
    """A project with its dimensions. Raises ValidationError with field errors; nothing is created then."""
    project = Project(name=name.strip(), slug=slug or free_slug(name), created_by=user, **fields)
    project.full_clean()
    project.save()
    _set_dimensions(project, dimensions)
    _keep_guidelines(project, user)
    log.info("project.created", project=project.pk)
    return project


@transaction.atomic
def project_update(
    *,
    project: Project,
    dimensions: Sequence[Mapping[str, str]] | None = None,
    user: User | None = None,
    **fields: Any,
) -> Project:
    """Change a project. A new overlap holds for comparisons made from now on; other guidelines are a new version."""
    for field, value in fields.items():
        setattr(project, field, value)
    project.full_clean()
    project.save()
    if dimensions is not None:
        _set_dimensions(project, dimensions)
    _keep_guidelines(project, user)
    return project


def _keep_guidelines(project: Project, user: User | None) -> None:
    """A text that differs from the latest version becomes the next one, so that judgements can name theirs."""
    latest = project.guideline_versions.first()
    if (latest.text if latest else "") != project.guidelines:
        number = latest.number + 1 if latest else 1
        Guidelines.objects.create(project=project, number=number, text=project.guidelines, created_by=user)


def free_slug(name: str) -> str:
    """A slug of `name` that no project has yet."""
    base = slugify(name, allow_unicode=False)[:100] or "project"
    # /projects/new/ is the page that creates one.
    taken = {"new", *Project.objects.filter(slug__startswith=base).values_list("slug", flat=True)}
    return next(slug for n in range(1, len(taken) + 2) if (slug := base if n == 1 else f"{base}-{n}") not in taken)


def _set_dimensions(project: Project, wanted: Sequence[Mapping[str, str]]) -> None:
    """Make the project's dimensions `wanted`, in that order. What judgements speak of cannot be taken away."""
    if not wanted:
        raise ValidationError({"dimensions": "A project needs at least one dimension to rank by."})
    existing = {dimension.key: dimension for dimension in project.dimensions.all()}
    keys = [str(row["key"]) for row in wanted]
    double = next((key for key in keys if keys.count(key) > 1), None)
    if double:
        raise ValidationError({"dimensions": f"The key “{double}” is there twice."})
    gone = existing.keys() - set(keys)
    used = sorted(gone & dimensions_in_use(project)) if gone else []
    if used:
        raise ValidationError({"dimensions": f"“{used[0]}” has judgements already, so it must stay."})
    project.dimensions.filter(key__in=gone).delete()
    for position, row in enumerate(wanted):
        dimension = existing.get(row["key"]) or Dimension(project=project, key=row["key"])
        dimension.label = row.get("label") or row["key"].replace("_", " ").capitalize()
        dimension.question = row.get("question", "")
        dimension.position = position
        try:
            dimension.full_clean(validate_constraints=False)
        except ValidationError as error:
            raise ValidationError({"dimensions": [f"{row['key']}: {text}" for text in error.messages]}) from None
        dimension.save()


# people -------------------------------------------------------------------------------------------------------------


def membership_add(*, project: Project, user: User, by: User | None) -> Membership:
    """Let `user` work in `project`; somebody who was paused there may go on."""
    membership, _ = Membership.objects.update_or_create(project=project, user=user, defaults={"is_active": True})
    log.info("membership.added", project=project.pk, user_id=user.pk, by=by.pk if by else None)
    return membership


def membership_set_active(*, membership: Membership, is_active: bool) -> Membership:
    """Pause or resume a person in a project. Work that was submitted stays."""
    membership.is_active = is_active
    membership.save(update_fields=["is_active"])
    return membership


# prompts ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PromptsImported:
    """created: new prompts. existing: prompts the project had already. repeated: lines that repeat an earlier line."""

    created: int
    existing: int
    repeated: int


def prompts_import(
    *, project: Project, data: bytes | IO[bytes], filename: str = "", user: User | None = None
) -> PromptsImported:
    """Import a JSON Lines file of prompts, all of it or nothing. A prompt that is there already is left as it is.

    Raises ValidationError with one message for each wrong line.
    """
    findings = Findings()
    stream = io.BytesIO(data) if isinstance(data, bytes) else data
    with transaction.atomic():
        records = read_prompts(stream, findings)
        created = seen = 0
        for batch in batched(records, BATCH):
            created += prompts_store(project=project, records=batch, source=filename[:120])
            seen += len(batch)
        if not findings.error_count and not seen:
            findings.error(1, "There are no prompts in it.")
        refuse(findings)
    report = PromptsImported(created, seen - created, findings.skipped_count)
    log.info("prompts.imported", project=project.pk, filename=filename, by=user.pk if user else None, created=created)
    return report


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


def refuse(findings: Findings) -> None:
    """Raise ValidationError if the file has errors: the first ones by line, and how many more there are."""
    if not findings.error_count:
        return
    messages = [str(problem) for problem in findings.errors[:SHOWN]]
    if findings.error_count > SHOWN:
        messages.append(f"And {findings.error_count - SHOWN:,} more. Nothing was imported.")
    raise ValidationError({"file": messages})


def import_discard(*, preview: PromptImport) -> None:
    """Forget a file that was only previewed."""
    PromptImport.objects.filter(pk=preview.pk, state=PromptImport.State.PREVIEW).delete()
