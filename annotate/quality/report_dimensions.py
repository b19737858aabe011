"""What a quality report says of one dimension: agreement, its slices, and the consensus. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotate.quality.agreement import (
    agreement,
    agreement_by_chance,
    fleiss_kappa,
    krippendorff_alpha,
    mean_cohen_kappa,
)
from annotate.quality.bootstrap import Estimate, Floats, cluster_sums, estimate, ratio
from annotate.quality.collected import Collected
from annotate.quality.consensus import SAME, bradley_terry, wins_of
from annotate.quality.judged import FIRST, SECOND, TIE, Ints, Judged
from annotate.quality.rank_agreement import kendall_tau, kendall_w

TAGS, WEEKS = 20, 26  # slices that a report keeps: the commonest tags, the latest weeks
STRONGEST = 3
CHUNK = 20_000

Json = dict[str, Any]


def dimension_report(data: Collected, dimension: str, weights: Floats) -> Json | None:
    """Everything of one dimension; weights: (A,) what an annotator counts in the consensus. None if it was never
    ranked."""
    table, rows = data.table(dimension)
    if not len(rows):
        return None
    counts = table.unit_counts()
    labels = int(counts.sum())
    return {
        "key": dimension,
        "judgements": len(rows),
        "comparisons": table.comparisons,
        "units": int((counts.sum(axis=2) >= 2).sum()),
        "ties": float(counts[..., TIE].sum() / labels) if labels else None,
        "statistics": statistics(table, counts),
        "slices": {
            "tag": _by_tag(data, table, rows, counts),
            "week": _by_week(data, rows, table, counts),
            "strength": _by_strength(data.strengths[dimension][rows], table, counts),
        },
        "consensus": consensus_report(table, counts, weights),
    }


def statistics(table: Judged, counts: Ints) -> list[Json]:
    """[{"key", "chance", "value", "low", "high", "n", "clusters"}]; value None where it cannot be told."""
    w = kendall_w(table)
    found: list[tuple[str, Estimate | None, float | None]] = [
        ("strict", agreement(counts, table.cluster, ties=False), 0.5),
        ("ties", agreement(counts, table.cluster, ties=True), agreement_by_chance(counts, ties=True)),
        ("alpha", krippendorff_alpha(counts, table.cluster), 0.0),
        ("alpha_ordinal", krippendorff_alpha(counts, table.cluster, level="ordinal"), 0.0),
        ("fleiss", fleiss_kappa(counts, table.cluster), 0.0),
        ("cohen", mean_cohen_kappa(table), 0.0),
        ("cohen_linear", mean_cohen_kappa(table, weights="linear"), 0.0),
        ("tau", kendall_tau(table), 0.0),
        ("w", w[0] if w else None, w[1] if w else None),
    ]
    nothing = {"value": None, "low": None, "high": None, "n": 0, "clusters": 0}
    return [{"key": key, "chance": chance} | (one.json() if one else nothing) for key, one, chance in found]


# slices ---------------------------------------------------------------------------------------------------------------


def _slice(name: str, table: Judged, counts: Ints, chosen: NDArray[np.bool_]) -> Json | None:
    strict = agreement(counts[chosen], table.cluster[chosen], ties=False)
    if strict is None:
        return None
    alpha = krippendorff_alpha(counts[chosen], table.cluster[chosen])
    return {"name": name, "comparisons": int(chosen.sum())} | strict.json() | {"alpha": alpha.json() if alpha else None}


def _by_tag(data: Collected, table: Judged, rows: Ints, counts: Ints) -> list[Json]:
    numbers = np.unique(data.comparison[rows])  # of the table's comparisons, in its order
    members: dict[str, list[int]] = {}
    for place, number in enumerate(numbers.tolist()):
        for tag in data.tags[number]:
            members.setdefault(tag, []).append(place)
    found = []
    for tag in sorted(members, key=lambda tag: (-len(members[tag]), tag))[:TAGS]:
        chosen = np.zeros(table.comparisons, dtype=bool)
        chosen[members[tag]] = True
        found.append(_slice(tag, table, counts, chosen))
    return [one for one in found if one]


def _by_week(data: Collected, rows: Ints, table: Judged, counts: Ints) -> list[Json]:
    weeks = data.week[np.unique(data.comparison[rows])]
    several = counts.sum(axis=(1, 2)) > 0
    found = [
        _slice(date.fromordinal(int(week)).isoformat(), table, counts, weeks == week)
        for week in np.unique(weeks[several])[-WEEKS:]
    ]
    return [one for one in found if one]


def _by_strength(strengths: NDArray[np.int16], table: Judged, counts: Ints) -> list[Json]:
    """How often another annotator, who orders the pair strictly too, agrees with a preference of each strength.

    The strength between two responses is the sum over the steps between them, at most STRONGEST.
    """
    agreeing = np.zeros((STRONGEST + 1, table.comparisons))
    every = np.zeros((STRONGEST + 1, table.comparisons))
    for p, (i, j) in enumerate(table.pairs()):
        sign = table.signs(i, j)
        a, b = table.ranks[:, i], table.ranks[:, j]
        low, high = np.minimum(a, b)[:, None], np.maximum(a, b)[:, None]
        between = (table.ranks >= low) & (table.ranks < high)
        # Those who share a rank share the step below it, which counts once.
        steps = np.zeros(len(sign), dtype=np.int64)
        for rank in range(1, int(table.ranks.max(initial=0))):
            here = between & (table.ranks == rank)
            steps += np.where(here, strengths, 0).max(axis=1, initial=0)
        steps = np.minimum(steps, STRONGEST)
        same = np.where(sign > 0, counts[table.comparison, p, FIRST], counts[table.comparison, p, SECOND]) - 1
        others = counts[table.comparison, p, FIRST] + counts[table.comparison, p, SECOND] - 1
        for strength in range(STRONGEST + 1):
            use = (sign != 0) & (steps == strength)
            agreeing[strength] += np.bincount(table.comparison[use], same[use], table.comparisons)
            every[strength] += np.bincount(table.comparison[use], others[use], table.comparisons)
    found = []
    for strength in range(STRONGEST + 1):
        pairs = np.stack([agreeing[strength], every[strength]], axis=1)
        one = estimate(cluster_sums(table.cluster, pairs), ratio, n=int(every[strength].sum()))
        if one:
            found.append({"name": str(strength), "comparisons": int((every[strength] > 0).sum())} | one.json())
    return found if len(found) > 1 else []  # nobody said a strength


# consensus ------------------------------------------------------------------------------------------------------------


def consensus_report(table: Judged, counts: Ints, weights: Floats) -> Json | None:
    """How clear the consensus is. Of the pairs with two labels or more: unanimous; contested; even, where as many
    prefer the one as the other. Of the comparisons with two judgements or more: decided, whose consensus has one best
    response."""
    labels = counts.sum(axis=2)
    units = labels >= 2
    if not units.any():
        return None
    unanimous = (counts.max(axis=2) == labels)[units]
    even = ((counts[..., FIRST] == counts[..., SECOND]) & (counts[..., FIRST] > 0))[units]
    several = np.bincount(table.comparison, minlength=table.comparisons) >= 2
    decided = total = 0
    for best in _best_counts(table.of_comparisons(several), weights):
        decided += int((best == 1).sum())
        total += len(best)
    return {
        "pairs": int(units.sum()),
        "unanimous": float(unanimous.mean()),
        "contested": float(1 - unanimous.mean()),
        "even": float(even.mean()),
        "comparisons": total,
        "decided": decided / total if total else None,
    }


def _best_counts(table: Judged, weights: Floats) -> Iterator[Ints]:
    """How many responses share the best place in the consensus, comparison by comparison, in chunks."""
    weight = weights[table.annotator]
    starts = np.searchsorted(table.comparison, np.arange(table.comparisons + 1))
    for start in range(0, table.comparisons, CHUNK):
        stop = min(start + CHUNK, table.comparisons)
        rows = slice(starts[start], starts[stop])
        wins = np.zeros((stop - start, table.ranks.shape[1], table.ranks.shape[1]))
        np.add.at(wins, table.comparison[rows] - start, wins_of(table.ranks[rows], weight[rows]))
        judged = (wins + wins.transpose(0, 2, 1)).sum(axis=2) > 0
        scores = np.where(judged, bradley_terry(wins), -np.inf)
        yield (scores >= scores.max(axis=1, keepdims=True) - SAME)[judged.any(axis=1)].sum(axis=1)
