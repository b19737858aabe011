"""The quality report of a project: from records of judgements to figures that fit into JSON. Pure.

People and simulated annotators are reported apart, for one says nothing of the other; imported rankings are counted,
but have no annotators whose agreement could be measured. The report is

    {"format": 1, "counts": {...}, "skips": {reason: n}, "groups": {"human": {...}, "simulated": {...}}}

and a group has the keys that `group_report` returns. Estimates are {"value", "low", "high", "n", "clusters"}: 95 %
intervals, clusters being prompts. docs/agreement.md explains each figure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from annotate.quality.bias import length_bias, position_bias
from annotate.quality.collected import Collected, ComparisonRecord
from annotate.quality.reliability import weight_of
from annotate.quality.report_dimensions import dimension_report
from annotate.quality.report_people import (
    all_bad_json,
    length_json,
    people_report,
    places_json,
    position_json,
    reliabilities,
    seconds_json,
    strict_pairs,
    wins_by_place,
)

FORMAT = 1
GROUPS = ("human", "simulated")

Json = dict[str, Any]


def quality_report(
    records: Iterable[ComparisonRecord],
    *,
    dimensions: Sequence[str],
    gold: Mapping[int, Sequence[float]] | None = None,
    skips: Mapping[int, Mapping[str, int]] | None = None,
    gold_threshold: float = 0.7,
) -> Json:
    """The report of a project's current judgements of work.

    gold: {annotator: scores on gold comparisons, each the share of the gold's pairs ordered as in the gold}. skips:
    {annotator: {reason: n}}. gold_threshold: gold accuracy whose whole interval lies below is remarked upon.
    """
    gold, skips = gold or {}, skips or {}
    groups = {name: Collected() for name in GROUPS}
    sources: Counter[str] = Counter()
    comparisons = several = 0
    for record in records:
        comparisons += 1
        several += len(record.judgements) > 1
        sources.update(judgement.source for judgement in record.judgements)
        for name, collected in groups.items():
            own = [judgement for judgement in record.judgements if judgement.source == name]
            if own:
                collected.add(record, own, dimensions)
    reasons: Counter[str] = Counter()
    for counts in skips.values():
        reasons.update(counts)
    return {
        "format": FORMAT,
        "counts": {
            "judgements": sum(sources.values()),
            "sources": dict(sources),
            "comparisons": comparisons,
            "several": several,
        },
        "skips": dict(reasons.most_common()),
        "groups": {
            name: group_report(collected, gold=gold, skips=skips, gold_threshold=gold_threshold)
            for name, collected in groups.items()
            if collected.judgements
        },
    }


def group_report(
    data: Collected,
    *,
    gold: Mapping[int, Sequence[float]],
    skips: Mapping[int, Mapping[str, int]],
    gold_threshold: float,
) -> Json:
    """The figures of one kind of annotators."""
    data.close()
    reliable, note = reliabilities(data)
    weights = np.array([weight_of(person.value) for person in reliable])
    rows, won, chance = wins_by_place(data)
    pair_rows, log_ratio, first_won = strict_pairs(data)
    found = [dimension_report(data, dimension, weights) for dimension in data.ranks]
    return {
        "judgements": data.judgements,
        "comparisons": len(data.comparisons),
        "several": int(data.several().sum()),
        "reliability": note,
        "seconds": seconds_json(data.seconds),
        "all_bad": all_bad_json(data.all_bad, data.prompt[data.comparison]),
        "position": position_json(position_bias(won[:, 0], 1 / chance)) if len(rows) else None,
        "places": places_json(data, rows, won),
        "length": length_json(length_bias(log_ratio, first_won, data.prompt[data.comparison[pair_rows]])),
        "dimensions": [one for one in found if one],
        "annotators": people_report(data, reliable, weights, gold, skips, gold_threshold),
    }
