"""Sending conflicts to be judged again: by other people, who are told nothing of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.audit import audit_record
from accounts.models import User
from annotate.projects.models import Membership, Project
from annotate.projects.services import scope
from annotate.projects.services_comparisons import BOUNDS, comparisons_change
from annotate.ranking.models import Assignment, Comparison, ComparisonResponse, Judgement
from annotate.ranking.places import filled_of
from annotate.review.models import Adjudication
from rewardmodel.conflicts.selectors import Conflict, Wanted, conflicts, judged_name, pair_tally
from rewardmodel.evaluation.selectors import evaluation_artifact
from rewardmodel.models import Relabelling, RewardEvaluation

MOST_AT_ONCE, MOST_EXTRA = 1000, 10
PRIORITY = 10  # before ordinary work, behind what an admin has put first by hand
REASONS = {
    "sent": "sent from this evaluation before",
    "waiting": "waiting for judgements already",
    "decided": "decided by a reviewer",
    "gold": "gold, whose answer is known",
    "gone": "not in the project any more, or not with these responses",
    "short": "closed by hand before it had its judgements",
    "changed": "no conflict any more by the judgements of now",
    "nobody": "without enough people in the project who have not judged it",
    "full": "at the most judgements that a comparison may have",
}


@dataclass(frozen=True, slots=True)
class Sent:
    """count: comparisons that are open again. left: {reason: how many were not sent}."""

    count: int
    left: dict[str, int]

    def __str__(self) -> str:
        return " ".join([f"Sent to be judged again: {self.count:,}.", left_words(self.left)]).strip()


def left_words(left: dict[str, int]) -> str:
    """Why so many are not sent, the most frequent reason first; empty of none."""
    rows = sorted(left.items(), key=lambda row: -row[1])
    return f"Not sent: {'; '.join(f'{count:,} {REASONS[reason]}' for reason, count in rows)}." if rows else ""


@dataclass(frozen=True, slots=True)
class Fit:
    """A conflict and whether it can be sent.

    reason: of REASONS, why not; empty if it can. target: the overlap that gives it its places. asked: the question of
    the project. before: what people say of the pair. annotators: who has judged it, ever.
    """

    conflict: Conflict
    reason: str
    target: int
    asked: str
    before: dict[str, int]
    annotators: frozenset[int]


@transaction.atomic
def conflicts_send(*, evaluation: RewardEvaluation, wanted: Wanted, count: int, extra: int, by: User | None) -> Sent:
    """Open the first `count` conflicts that can be sent for `extra` judgements each, before ordinary work.

    Nobody gets a comparison a second time, and nothing that an annotator sees changes: they come as any work does.
    Those that were sent from this evaluation, or wait for judgements anyway, are passed over, so that asking twice
    sends nothing twice. Raises ValidationError for numbers and evaluations that make no sense.
    """
    _check(count, extra)
    evaluation = RewardEvaluation.objects.select_for_update(of=("self",)).get(pk=evaluation.pk)
    artifact = evaluation_artifact(evaluation)
    if artifact is None or evaluation.dataset_version is None:
        raise ValidationError("Only what was measured on a dataset version of this platform can be judged again.")
    looked_at = conflicts_fit(evaluation=evaluation, found=conflicts(artifact, wanted), wanted=wanted, extra=extra)
    first = [each.conflict for each in looked_at if not each.reason][:count]
    _lock([each.comparison for each in first])
    # Once more, now that nobody can change them.
    chosen = [
        each
        for each in conflicts_fit(evaluation=evaluation, found=first, wanted=wanted, extra=extra)
        if not each.reason
    ]
    project = evaluation.dataset_version.project
    _open(chosen, evaluation, project, by)
    Relabelling.objects.bulk_create(_relabelling(each, evaluation, extra, by) for each in chosen)
    if chosen:
        details: dict[str, Any] = {"comparisons": len(chosen), "extra": extra, "agreeing": wanted.agreeing}
        details |= {"sure": ", ".join(f"{name} {sure:.2f}" for name, sure in wanted.sure.items())}
        audit_record(actor=by, action="conflicts.sent", subject=evaluation, scope=scope(project), **details)
    return Sent(len(chosen), left_of(looked_at))


def _check(count: int, extra: int) -> None:
    if not 1 <= count <= MOST_AT_ONCE:
        raise ValidationError({"count": f"Give a whole number from 1 to {MOST_AT_ONCE:,}."})
    if not 1 <= extra <= MOST_EXTRA:
        raise ValidationError({"extra": f"Give a whole number from 1 to {MOST_EXTRA}."})


def _lock(ids: Sequence[int]) -> None:
    """Lock comparisons in the order of their ids, as whoever changes many does."""
    list(Comparison.objects.filter(pk__in=ids).order_by("pk").select_for_update(of=("self",), no_key=True))


def _open(chosen: Sequence[Fit], evaluation: RewardEvaluation, project: Project, by: User | None) -> None:
    targets = defaultdict(list)
    for each in chosen:
        targets[each.target].append(each.conflict.comparison)
    asked = {"reason": "sent to be judged again", "evaluation": evaluation.pk}
    for target, ids in targets.items():
        rows = Comparison.objects.filter(pk__in=ids)
        comparisons_change(project=project, comparisons=rows, action="overlap", value=target, by=by, asked=asked)
    behind = Comparison.objects.filter(pk__in=[each.conflict.comparison for each in chosen], priority__lt=PRIORITY)
    comparisons_change(project=project, comparisons=behind, action="priority", value=PRIORITY, by=by, asked=asked)


def _relabelling(fit: Fit, evaluation: RewardEvaluation, extra: int, by: User | None) -> Relabelling:
    return Relabelling(
        evaluation=evaluation,
        comparison_id=fit.conflict.comparison,
        dimension=fit.asked,
        model_choice_id=fit.conflict.model_choice,
        other_choice_id=fit.conflict.other_choice,
        probability=max(fit.conflict.probability, 1 - fit.conflict.probability),
        before=fit.before,
        annotators_before=sorted(fit.annotators),
        extra=extra,
        sent_by=by,
    )


# what can be sent -----------------------------------------------------------------------------------------------------


def left_of(fits: Sequence[Fit]) -> dict[str, int]:
    """{reason: how many cannot be sent for it}."""
    return dict(Counter(each.reason for each in fits if each.reason))


def conflicts_fit(
    *, evaluation: RewardEvaluation, found: Sequence[Conflict], wanted: Wanted, extra: int = 1
) -> list[Fit]:
    """Each conflict with whether it can be sent now for `extra` judgements, in the same order."""
    assert evaluation.dataset_version is not None
    project, ids = evaluation.dataset_version.project, [each.comparison for each in found]
    rows = {row.pk: row for row in Comparison.objects.filter(pk__in=ids, project=project)}
    known = _Known(
        rows=rows,
        shown=set(ComparisonResponse.objects.filter(comparison__in=ids).values_list("comparison", "response")),
        earlier=set(evaluation.relabellings.values_list("comparison", flat=True)),
        decided=set(
            Adjudication.objects.filter(comparison__in=ids, is_current=True).values_list("comparison", flat=True)
        ),
        done=filled_of(ids),
        people=_people(project),
        skipped=_skipped(ids),
    )
    judged, said = _judged(ids)
    names = {name: judged_name(evaluation, name) for name in {each.dimension for each in found}}
    fits = []
    for each in found:
        asked, row = names[each.dimension], rows.get(each.comparison)
        before = pair_tally(said[each.comparison], asked, each.model_choice, each.other_choice)
        annotators = frozenset(judged[each.comparison])
        # A late judgement, kept as an extra, takes the first place that there is.
        target = max(row.overlap if row else 0, len(said[each.comparison])) + extra
        reason = _reason(each, known, before, annotators, wanted.agreeing, target, extra)
        fits.append(Fit(each, reason, target, asked, before, annotators))
    return fits


@dataclass(frozen=True, slots=True)
class _Known:
    rows: dict[int, Comparison]
    shown: set[tuple[int, int]]  # an edit is a response that nobody has been shown
    earlier: set[int]
    decided: set[int]
    done: dict[int, int]
    people: frozenset[int]
    skipped: dict[int, set[int]]


def _reason(
    conflict: Conflict,
    known: _Known,
    before: dict[str, int],
    annotators: frozenset[int],
    agreeing: float,
    target: int,
    extra: int,
) -> str:
    """Why a conflict cannot be sent; empty if it can."""
    pk, n = conflict.comparison, sum(before.values())
    row = known.rows.get(pk)
    if row is None or not {(pk, conflict.first), (pk, conflict.second)} <= known.shown:
        return "gone"
    if row.purpose != Comparison.Purpose.WORK:
        return "gold"
    if pk in known.earlier:
        return "sent"
    if not row.is_closed:
        return "waiting"
    if pk in known.decided:
        return "decided"
    if known.done.get(pk, 0) < row.overlap:
        return "short"
    if not n or (before["model"] + before["tie"] / 2) / n > agreeing:
        return "changed"
    if len(known.people - annotators - known.skipped.get(pk, set())) < extra:
        return "nobody"
    return "full" if target > BOUNDS["overlap"][1] else ""


def _people(project: Project) -> frozenset[int]:
    """Who can be given work of the project."""
    members = Membership.objects.filter(project=project, is_active=True, user__is_active=True)
    if project.must_qualify:
        members = members.filter(qualification=Membership.Qualification.PASSED)
    return frozenset(members.values_list("user", flat=True))


def _skipped(ids: Sequence[int]) -> dict[int, set[int]]:
    """{comparison: who did not want it}: nobody is asked what they have skipped."""
    found: dict[int, set[int]] = defaultdict(set)
    rows = Assignment.objects.filter(state=Assignment.State.SKIPPED, comparison__in=ids)
    for comparison, annotator in rows.values_list("comparison", "annotator"):
        found[comparison].add(annotator)
    return found


def _judged(ids: Sequence[int]) -> tuple[dict[int, set[int]], dict[int, list[Any]]]:
    """{comparison: who has judged it, also what was withdrawn since}, and {comparison: rankings that count now}."""
    people: dict[int, set[int]] = defaultdict(set)
    said: dict[int, list[Any]] = defaultdict(list)
    rows = Judgement.objects.filter(comparison__in=ids).order_by("pk")
    for comparison, annotator, is_current, rankings in rows.values_list(
        "comparison", "annotator", "is_current", "rankings"
    ):
        people[comparison].add(annotator)
        if is_current:
            said[comparison].append(rankings)
    return people, said
