"""What pages and other rooms read of a project's quality. The figures come from the last report, not from the
judgements."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from accounts.models import User
from annotate.projects.models import Project
from annotate.quality.agreement import percent_agreement
from annotate.quality.models import QualityReport
from annotate.quality.reading import counted_judgements
from annotate.quality.report import GROUPS

LATEST = 1000  # judgements: enough for an interval of a few per cent, little enough to read with every page view


def project_agreement(project: Project) -> list[dict[str, Any]]:
    """[{"dimension", "value", "low", "high", "pairs", "comparisons"}] for dimensions that two people have ranked, from
    the latest judgements: it is right at once, where the report takes its time."""
    by_comparison: dict[int, list[dict[str, dict[str, int]]]] = {}
    latest = counted_judgements(project).order_by("-pk")
    for comparison, rankings in latest.values_list("comparison", "rankings")[:LATEST]:
        by_comparison.setdefault(comparison, []).append(rankings)
    result = []
    for dimension in project.dimensions.all():
        found = percent_agreement(_aligned(group, dimension.key) for group in by_comparison.values())
        if found:
            result.append({"dimension": dimension.label, **asdict(found)})
    return result


def _aligned(group: list[dict[str, dict[str, int]]], key: str) -> list[list[int | None]]:
    """Rankings {response: rank} of one comparison as lists over the same responses."""
    ranked = [rankings.get(key, {}) for rankings in group]
    responses = sorted({response for ranks in ranked for response in ranks})
    return [[ranks.get(response) for response in responses] for ranks in ranked]


def quality_of(project: Project) -> QualityReport | None:
    """The project's report, if one was ever made or asked for."""
    return QualityReport.objects.filter(project=project).first()


def annotator_quality(user: User, project: Project) -> dict[str, Any] | None:
    """An annotator's own figures from the last report; None before there are any.

    {"computed_at", "judgements", "agreement": with the consensus of the others, {"value", "low", "high", "n"} or None,
    "gold": the same or None, and only where the project gives feedback on gold, "seconds": median active time or None}.
    Nothing of anybody else is read: the database hands out this one entry.
    """
    paths = [f"data__groups__{group}__annotators__{user.pk}" for group in GROUPS]
    row = QualityReport.objects.filter(project=project).values("computed_at", *paths).first()
    own = next((row[path] for path in paths if row[path]), None) if row else None
    if row is None or own is None:
        return None
    return {
        "computed_at": row["computed_at"],
        "judgements": own["judgements"],
        "agreement": own["agreement"],
        "gold": own["gold"] if project.gold_feedback else None,
        "seconds": own["pace"]["seconds"] if own["pace"] else None,
    }


def reliability_weights(project: Project) -> dict[int, float]:
    """{annotator id: weight}: how much each one's rankings should count, 0 to 1, from the last report.

    The weight is 2 * reliability - 1, not below 0 (annotate.quality.reliability.weight_of): 1 for one who errs only
    where responses are close, 0 for a coin tosser and for an adversary. Who shares no pair with anybody has the prior's
    0.64. Annotators that the report has not seen, and imports, are absent; empty before there is a report.
    """
    report = quality_of(project)
    groups = report.data.get("groups", {}) if report else {}
    return {
        int(key): float(person["weight"]) for group in groups.values() for key, person in group["annotators"].items()
    }
