"""Agreement of a project's annotators, from its latest judgements."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from annotate.projects.models import Project
from annotate.quality.agreement import percent_agreement
from annotate.ranking.models import Judgement

LATEST = 1000  # judgements: enough for an interval of a few per cent, little enough to read with every page view


def project_agreement(project: Project) -> list[dict[str, Any]]:
    """[{"dimension", "value", "low", "high", "pairs", "comparisons"}] for dimensions that two people have ranked."""
    latest = Judgement.objects.filter(comparison__project=project, is_current=True).order_by("-pk")
    by_comparison: dict[int, list[dict[str, dict[str, int]]]] = {}
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
