"""What the judgements of each comparison say together, weighed by the last report's reliabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from annotate.projects.models import Project
from annotate.quality.consensus import consensus, soft_labels
from annotate.quality.reading import counted_judgements
from annotate.quality.reliability import PRIOR, PRIOR_SPREAD, PRIOR_TIE, weight_of
from annotate.quality.report import GROUPS
from annotate.quality.selectors import quality_of
from annotate.ranking.models import ComparisonResponse

PAGE = 100  # comparisons

Json = dict[str, Any]
Given = list[tuple[int, dict[str, dict[str, int]]]]


@dataclass(frozen=True, slots=True)
class Model:
    """reliabilities: {annotator id: eta}; whoever is absent has the prior's. spread, tie: of the fit, as in
    `annotate.quality.reliability`."""

    reliabilities: dict[int, float]
    spread: float = PRIOR_SPREAD
    tie: float = PRIOR_TIE


def reliability_model(project: Project) -> Model:
    """What the project's last report estimated; the prior before there is one. Where there are people and simulated
    annotators, spread and ties are of people."""
    report = quality_of(project)
    groups = [group for name in GROUPS if report and (group := report.data.get("groups", {}).get(name))]
    if not groups:
        return Model({})
    known = {int(key): float(p["reliability"]["value"]) for g in groups for key, p in g["annotators"].items()}
    fit = groups[0]["reliability"]
    return Model(known, float(fit["spread"]), float(fit["tie"]))


def consensus_page(project: Project, *, after: int = 0, size: int = PAGE) -> tuple[list[Json], int | None]:
    """(comparisons with judgements that count, in order of id from a key on; the key of the next page or None).

    Each is {"comparison", "judgements", "dimensions": {key: {"ranks": {response id: rank}, "pairs": [{"first",
    "second", "preferred"}]}}}: the Bradley-Terry consensus of the judgements, weighed by reliability, and for each pair
    of responses the probability that an annotator who always follows prefers the first.
    """
    rows = counted_judgements(project).filter(comparison__gt=after)
    ids = list(rows.order_by("comparison").values_list("comparison", flat=True).distinct()[: size + 1])
    shown = ids[:size]
    members: dict[int, list[str]] = {}
    places = ComparisonResponse.objects.filter(comparison__in=shown).order_by("comparison", "position")
    for comparison, response in places.values_list("comparison", "response"):
        members.setdefault(comparison, []).append(str(response))
    given: dict[int, Given] = {pk: [] for pk in shown}
    judgements = counted_judgements(project).filter(comparison__in=shown).order_by("pk")
    for comparison, annotator, rankings in judgements.values_list("comparison", "annotator", "rankings"):
        given[comparison].append((annotator, rankings))
    model, dimensions = reliability_model(project), list(project.dimensions.values_list("key", flat=True))
    found = [
        {"comparison": pk, "judgements": len(given[pk])} | _together(given[pk], members[pk], dimensions, model)
        for pk in shown
    ]
    return found, shown[-1] if len(ids) > size else None


def _together(given: Given, responses: list[str], dimensions: list[str], model: Model) -> Json:
    result: Json = {}
    for dimension in dimensions:
        ranked = [(annotator, rankings[dimension]) for annotator, rankings in given if rankings.get(dimension)]
        if not ranked:
            continue
        aligned = [[ranks.get(response) for response in responses] for _, ranks in ranked]
        eta = [model.reliabilities.get(annotator, PRIOR.value) for annotator, _ in ranked]
        ranks = consensus(aligned, weights=[weight_of(value) for value in eta]).ranks
        labels = soft_labels(aligned, reliabilities=eta, spread=model.spread, tie=model.tie)
        result[dimension] = {
            "ranks": {pk: rank for pk, rank in zip(responses, ranks, strict=True) if rank is not None},
            "pairs": [
                {"first": responses[i], "second": responses[j], "preferred": round(p, 4)}
                for (i, j), p in labels.items()
            ],
        }
    return {"dimensions": result}
