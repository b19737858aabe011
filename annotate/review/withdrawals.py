"""Taking an annotator's work out of a project, and putting it back.

Either is one transaction: all of it or nothing, and nobody ever sees half. Locks are taken in the engine's order, the
membership first. Comparisons are locked in order of id, a chunk at a time, and stay locked to the end, so an annotator
who is just then submitting to one of them waits for a moment. That cannot deadlock: whoever else locks a comparison
waits for nothing while holding it.

What is submitted while a withdrawal waits for its turn is either in it or counts afterwards; both are consistent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet
from django.utils import timezone

from accounts.audit import audit_record
from accounts.models import User
from annotate.datasets.models import DatasetVersion
from annotate.gold.services import membership_lock
from annotate.projects.models import Project
from annotate.ranking.models import Assignment, Comparison, Judgement
from annotate.ranking.places import FILLED, FILLS, disagreements_of, imported_of, settle
from annotate.review.models import Withdrawal
from annotate.review.selectors import DECISION
from annotate.review.staleness import StaleModel, is_weighted, stale_models, stale_versions, versions_with

CHUNK = 2000  # comparisons
State = Assignment.State


# withdrawing ----------------------------------------------------------------------------------------------------------


@transaction.atomic
def work_withdraw(*, project: Project, annotator: User, by: User | None, reason: str) -> Withdrawal:
    """Take everything that `annotator` judged in `project` out of the count.

    The judgements stay on record. Their places are free again, so comparisons reopen for others, except those that a
    reviewer has decided, which need nobody any more. Dataset versions that contain the work become stale. Work that is
    submitted later counts. Hidden gold goes with it, or it would be all that is left of the annotator's work and so be
    told from it; its scores, and the qualification, still say how good the work was.
    Raises ValidationError if there is no reason or nothing to withdraw.
    """
    reason = reason.strip().replace("\x00", "")
    if not reason:
        raise ValidationError({"reason": "Say why: whoever wonders later reads it here."})
    if len(reason) > 200:
        raise ValidationError({"reason": "At most 200 characters."})
    membership_lock(project=project.pk, user=annotator.pk)
    withdrawal = Withdrawal.objects.create(project=project, annotator=annotator, by=by, reason=reason, count=0)
    count = reopened = 0
    for ids in _locked(_judged(project, annotator)):
        count, reopened = _sum((count, reopened), _withdraw(withdrawal, ids))
    for ids in _locked(_judged(project, annotator, Comparison.Purpose.GOLD)):
        _theirs(annotator, ids).update(is_current=False, withdrawal=withdrawal)
    if not count:
        raise ValidationError(f"{annotator} has no judgements that count in {project}: nothing to withdraw.")
    withdrawal.count = count
    withdrawal.save(update_fields=["count"])
    stale = _versions_mark(withdrawal)
    _note(withdrawal, by, "work.withdrawn", judgements=count, reopened=reopened, stale_versions=stale, reason=reason)
    return withdrawal


def _judged(project: Project, annotator: User, purpose: str = Comparison.Purpose.WORK) -> QuerySet[Comparison]:
    judged = Judgement.objects.filter(comparison=OuterRef("pk"), annotator=annotator, is_current=True)
    return Comparison.objects.filter(Exists(judged), project=project, purpose=purpose)


def _theirs(annotator: User, ids: list[int]) -> QuerySet[Judgement]:
    return Judgement.objects.filter(comparison__in=ids, annotator=annotator, is_current=True)


def _locked(rows: QuerySet[Comparison]) -> Iterator[list[int]]:
    """Lock comparisons in order of id; yields the ids of a chunk at a time."""
    last = 0
    while True:
        chunk = rows.filter(pk__gt=last).order_by("pk").select_for_update(of=("self",), no_key=True)
        ids = list(chunk.values_list("pk", flat=True)[:CHUNK])
        if not ids:
            return
        yield ids
        last = ids[-1]


def _withdraw(withdrawal: Withdrawal, ids: list[int]) -> tuple[int, int]:
    """(judgements withdrawn, comparisons reopened) of locked comparisons."""
    theirs = _theirs(withdrawal.annotator, ids)
    seated = list(theirs.filter(FILLS).values_list("comparison", flat=True))
    reopen = list(_full(Comparison.objects.filter(pk__in=seated)).values_list("pk", flat=True))
    count = theirs.update(is_current=False, withdrawal=withdrawal)
    Assignment.objects.filter(
        comparison__in=seated, annotator=withdrawal.annotator, state=State.SUBMITTED, slot__isnull=False
    ).update(slot=None, updated_at=timezone.now())
    Comparison.objects.filter(pk__in=reopen).update(is_closed=False)
    # A judgement that came too late, and was kept beside the others, takes the place that has become free.
    for comparison in Comparison.objects.filter(_has_extra(withdrawal.annotator), pk__in=reopen):
        settle(comparison)
    _disagreement_keep(ids)
    return count, Comparison.objects.filter(pk__in=reopen, is_closed=False).count()


def _full(rows: QuerySet[Comparison]) -> QuerySet[Comparison]:
    """Those that are closed because they had their judgements. What an admin closed or a reviewer decided stays so."""
    return rows.filter(~Exists(DECISION), is_closed=True).alias(filled=FILLED).filter(filled__gte=F("overlap"))


def _has_extra(annotator: User) -> Exists:
    return Exists(
        Judgement.objects.filter(comparison=OuterRef("pk"), is_current=True, assignment__slot=None)
        .exclude(assignment=None)
        .exclude(annotator=annotator)
    )


def _disagreement_keep(ids: list[int]) -> None:
    """Measure how contested comparisons are, after their judgements changed."""
    rows = Comparison.objects.filter(pk__in=ids).values_list("pk", "is_closed", "disagreement")
    known = {pk: (closed, share) for pk, closed, share in rows}
    measured = disagreements_of(pk for pk, (closed, _) in known.items() if closed)
    changed: dict[float | None, list[int]] = {}
    for pk, (_, before) in known.items():
        share = measured.get(pk)
        if before != share:
            changed.setdefault(share, []).append(pk)
    for share, pks in changed.items():  # shares of few pairs, so there are few different ones
        Comparison.objects.filter(pk__in=pks).update(disagreement=share)


# putting back ---------------------------------------------------------------------------------------------------------


@transaction.atomic
def work_restore(*, withdrawal: Withdrawal, by: User | None) -> Withdrawal:
    """Let withdrawn judgements count again.

    Where others have taken the place meanwhile, the judgement is kept as an extra one. Nobody can have judged anew what
    was withdrawn from them. Dataset versions that were stale for this alone are good again.
    """
    membership_lock(project=withdrawal.project_id, user=withdrawal.annotator_id)
    withdrawal = (
        Withdrawal.objects.select_for_update(of=("self",)).select_related("project", "annotator").get(pk=withdrawal.pk)
    )
    if withdrawal.restored_at is not None:
        raise ValidationError("This work has been restored already.")
    withdrawal.restored_at = timezone.now()
    withdrawal.save(update_fields=["restored_at"])
    count = 0
    rows = Comparison.objects.filter(Exists(Judgement.objects.filter(comparison=OuterRef("pk"), withdrawal=withdrawal)))
    for ids in _locked(rows.filter(purpose=Comparison.Purpose.WORK)):
        count += _restore(withdrawal, ids)
    for ids in _locked(rows.exclude(purpose=Comparison.Purpose.WORK)):
        _back(withdrawal, ids)
    fresh = _versions_refresh(withdrawal)
    _note(withdrawal, by, "work.restored", judgements=count, of=withdrawal.count, fresh_versions=fresh)
    return withdrawal


def _back(withdrawal: Withdrawal, ids: list[int]) -> list[int]:
    """Let the judgements of locked comparisons count again; returns the comparisons."""
    back = Judgement.objects.filter(comparison__in=ids, withdrawal=withdrawal)
    restored = dict(back.values_list("pk", "comparison"))
    Judgement.objects.filter(pk__in=list(restored)).update(is_current=True, withdrawal=None)
    return list(restored.values())


def _restore(withdrawal: Withdrawal, ids: list[int]) -> int:
    comparisons = _back(withdrawal, ids)
    _seat(withdrawal.annotator, comparisons)
    full = Comparison.objects.filter(pk__in=comparisons, is_closed=False).alias(filled=FILLED)
    Comparison.objects.filter(pk__in=list(full.filter(filled__gte=F("overlap")).values_list("pk", flat=True))).update(
        is_closed=True
    )
    _disagreement_keep(comparisons)
    return len(comparisons)


def _seat(annotator: User, ids: list[int]) -> None:
    """Give the annotator's submitted assignments places that are free."""
    now = timezone.now()
    seats = Assignment.objects.filter(comparison__in=ids)
    seats.filter(state=State.ACTIVE, lease_expires_at__lte=now).update(state=State.RELEASED, slot=None, updated_at=now)
    taken: dict[int, set[int]] = {}
    held = seats.filter(state__in=[State.ACTIVE, State.SUBMITTED], slot__isnull=False)
    for pk, slot in held.values_list("comparison", "slot"):
        taken.setdefault(pk, set()).add(slot)
    free: dict[int, list[int]] = {}
    imported = imported_of(ids)
    mine = seats.filter(annotator=annotator, state=State.SUBMITTED, slot=None)
    for pk, comparison, overlap in mine.values_list("pk", "comparison", "comparison__overlap"):
        places = range(overlap - imported.get(comparison, 0))
        slot = next((slot for slot in places if slot not in taken.get(comparison, ())), None)
        if slot is not None:
            free.setdefault(slot, []).append(pk)
    for slot, pks in free.items():
        Assignment.objects.filter(pk__in=pks).update(slot=slot, updated_at=now)


# dataset versions -----------------------------------------------------------------------------------------------------


def _versions_mark(withdrawal: Withdrawal) -> int:
    # A version that is being recorded at this moment takes the same lock, so it is either seen here or sees us.
    Project.objects.select_for_update(no_key=True).get(pk=withdrawal.project_id)
    rows = versions_with(withdrawal.project, withdrawal.annotator_id).filter(stale_since=None)
    return rows.update(stale_since=timezone.now(), stale_reason=withdrawal.explanation)


def _versions_refresh(withdrawal: Withdrawal) -> int:
    """Versions that nothing else makes stale are good again; returns how many."""
    Project.objects.select_for_update(no_key=True).get(pk=withdrawal.project_id)
    fresh = 0
    stale = versions_with(withdrawal.project, withdrawal.annotator_id).filter(stale_since__isnull=False)
    for version in stale.select_related("run"):
        other = _withdrawn_after(version)
        version.stale_reason = other.explanation if other else ""
        version.stale_since = version.stale_since if other else None
        version.save(update_fields=["stale_reason", "stale_since"])
        fresh += other is None
    return fresh


def _withdrawn_after(version: DatasetVersion) -> Withdrawal | None:
    """A withdrawal that still holds, of work that is in this version."""
    rows = Withdrawal.objects.filter(project=version.project_id, restored_at=None).select_related("annotator")
    if version.annotators and not is_weighted(version):
        rows = rows.filter(annotator__in=version.annotators)
    return rows.filter(created_at__gt=version.run.started_at or version.run.created_at).order_by("pk").first()


def _note(withdrawal: Withdrawal, by: User | None, action: str, **details: object) -> None:
    scope = f"project:{withdrawal.project_id}"
    audit_record(actor=by, action=action, subject=withdrawal, scope=scope, withdrawal=withdrawal.pk, **details)


def _sum(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return one[0] + other[0], one[1] + other[1]


# beforehand -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Preview:
    """What a withdrawal would do. comparisons: judged by this person; reopen: those that others judge again."""

    judgements: int
    comparisons: int
    reopen: int
    decided: int
    versions: list[DatasetVersion]
    models: list[StaleModel]


def withdrawal_preview(project: Project, annotator: User) -> Preview:
    """What would happen now, from counts; nothing is locked, so it is as of this moment."""
    judged = _judged(project, annotator)
    fills = Judgement.objects.filter(FILLS, comparison=OuterRef("pk"), annotator=annotator)
    versions = list(versions_with(project, annotator.pk).filter(stale_since=None).select_related("project"))
    before = stale_versions()
    after = before | {version.pk: f"{version}" for version in versions}
    known = {(model.kind, model.url) for model in stale_models(before)}
    return Preview(
        judgements=Judgement.objects.filter(
            annotator=annotator,
            is_current=True,
            comparison__project=project,
            comparison__purpose=Comparison.Purpose.WORK,
        ).count(),
        comparisons=judged.count(),
        reopen=_full(judged.filter(Exists(fills), ~_has_extra(annotator))).count(),
        decided=judged.filter(Exists(DECISION)).count(),
        versions=versions,
        models=[model for model in stale_models(after) if (model.kind, model.url) not in known] if versions else [],
    )
