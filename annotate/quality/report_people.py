"""What a quality report says of each annotator, and of speed, position and length together. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotate.quality.bias import LengthBias, PositionBias, length_bias, length_flag, paces, position_bias
from annotate.quality.bootstrap import Estimate, Floats, cluster_sums, estimate, ratio, share
from annotate.quality.collected import Collected
from annotate.quality.consensus import agreement_with_others
from annotate.quality.judged import Ints
from annotate.quality.rank_agreement import kendall_taus
from annotate.quality.reliability import PRIOR, Fit, Reliability, fit_reliability, votes_of

PAIRS = 120_000  # for the reliability model, which is the only costly statistic
LENGTH_PAIRS = 100_000
LEAST_VOTES = 30  # before a reliability is remarked upon
EDGES = [0, 5, 10, 20, 30, 45, 60, 90, 120, 180, 300, 600]  # seconds, of the histogram; the last bin is open

Json = dict[str, Any]


# reliability ----------------------------------------------------------------------------------------------------------


def reliabilities(data: Collected, seed: int = 0) -> tuple[list[Reliability], Json]:
    """(one for each annotator by number, what was done), from all dimensions together.

    Of more than PAIRS pairs, comparisons are drawn at random, so that as many remain.
    """
    several = data.several()
    used = several[data.comparison]
    pairs = 0
    for ranks in data.ranks.values():
        placed = (ranks > 0).sum(axis=1)
        most = np.zeros(len(several), dtype=np.int64)
        np.maximum.at(most, data.comparison, placed)
        pairs += int((most * (most - 1) // 2)[several].sum())
    taken = 1.0
    if pairs > PAIRS:
        taken = PAIRS / pairs
        used &= (np.random.default_rng(seed).random(len(several)) < taken)[data.comparison]
    votes, names = votes_of(*(data.table(dimension, used)[0] for dimension in data.ranks))
    fit: Fit = fit_reliability(votes)
    by_key = dict(zip(names, fit.annotators, strict=True))
    note = {
        "pairs": len(votes.cluster), "of": pairs, "sampled": taken < 1, "spread": fit.spread, "tie": fit.tie,
        "converged": fit.converged,
    }  # fmt: skip
    return [by_key.get(key, PRIOR) for key in data.annotators], note


# position -------------------------------------------------------------------------------------------------------------


def wins_by_place(data: Collected) -> tuple[Ints, Floats, Floats]:
    """(rows, (N, K) how much of the win each place has, (N,) chance) of the judgements with a best response.

    A win is shared equally by all who share the best rank, and over dimensions. Left out are judgements that tie all,
    and those of which it is not known where a placed response was shown.
    """
    won = np.zeros(data.places.shape)
    chance = np.zeros(len(won))
    times = np.zeros(len(won))
    known = (data.places > 0).any(axis=1)
    for ranks in data.ranks.values():
        placed = ranks > 0
        best = placed & (ranks == np.where(placed, ranks, 32767).min(axis=1, keepdims=True))
        use = known & (placed.sum(axis=1) > best.sum(axis=1)) & ~(placed & (data.places <= 0)).any(axis=1)
        rows = np.flatnonzero(use)
        part = best[rows] / best[rows].sum(axis=1, keepdims=True)
        row, column = np.nonzero(best[rows])
        np.add.at(won, (rows[row], data.places[rows[row], column] - 1), part[row, column])
        chance[rows] += 1.0 / placed[rows].sum(axis=1)
        times[rows] += 1
    rows = np.flatnonzero(times)
    return rows, won[rows] / times[rows, None], chance[rows] / times[rows]


def position_json(found: PositionBias | None) -> Json | None:
    return None if found is None else {"chance": found.chance, "flag": found.flag} | found.share.json()


def places_json(data: Collected, rows: Ints, won: Floats) -> Json | None:
    """Of the commonest number of responses: how often the response shown first, second, ... was judged best."""
    if not len(rows):
        return None
    shown = (data.places[rows] > 0).sum(axis=1)
    size = int(np.bincount(shown).argmax())
    chosen = won[shown == size, :size]
    found = [share(float(column.sum()), len(column)) for column in chosen.T]
    return {"chance": 1 / size, "judgements": len(chosen), "places": [one.json() for one in found if one]}


# length ---------------------------------------------------------------------------------------------------------------


def strict_pairs(data: Collected, seed: int = 0) -> tuple[Ints, Floats, Floats]:
    """(rows, log of the ratio of lengths, first won) of strictly ordered pairs, at most about LENGTH_PAIRS of them."""
    rows, ratios, won = [], [], []
    logs = np.log(np.maximum(data.lengths, 1))
    k = data.lengths.shape[1]
    several = sum(
        int(((ranks > 0).sum(axis=1) * ((ranks > 0).sum(axis=1) - 1) // 2).sum()) for ranks in data.ranks.values()
    )
    keep = np.random.default_rng(seed).random(data.judgements) < LENGTH_PAIRS / max(several, 1)
    for ranks in data.ranks.values():
        for i in range(k):
            for j in range(i + 1, k):
                use = np.flatnonzero(keep & (ranks[:, i] > 0) & (ranks[:, j] > 0) & (ranks[:, i] != ranks[:, j]))
                rows.append(use)
                ratios.append(logs[use, i] - logs[use, j])
                won.append((ranks[use, i] < ranks[use, j]).astype(np.float64))
    if not rows:
        return np.zeros(0, np.int64), np.zeros(0), np.zeros(0)
    return np.concatenate(rows), np.concatenate(ratios), np.concatenate(won)


def length_json(found: LengthBias | None) -> Json | None:
    return None if found is None else {"doubled": found.doubled} | found.slope.json()


# people ---------------------------------------------------------------------------------------------------------------


def people_report(
    data: Collected,
    reliable: Sequence[Reliability],
    weights: Floats,
    gold: Mapping[int, Sequence[float]],
    skips: Mapping[int, Mapping[str, int]],
    gold_threshold: float,
) -> Json:
    """{annotator id: what is known of their work}; ids as text, for JSON."""
    with_others = _with_others(data, weights)
    taus = _taus(data)
    pace = paces(data.annotator, data.seconds, data.words)
    first_rows, won, chance = wins_by_place(data)
    pair_rows, log_ratio, first_won = strict_pairs(data)
    prompt = data.prompt[data.comparison]
    counted = np.bincount(data.annotator, minlength=len(data.annotators))
    result = {}
    for key, k in data.annotators.items():
        of = data.annotator[first_rows] == k
        position = position_bias(won[of, 0], 1 / chance[of]) if of.any() else None
        mine = data.annotator[pair_rows] == k
        own, others = (
            length_bias(log_ratio[use], first_won[use], prompt[pair_rows[use]]) for use in (mine, ~mine)
        )  # fmt: skip
        scores = gold.get(key, ())
        on_gold = share(float(sum(scores)), len(scores))
        person = {
            "judgements": int(counted[k]),
            "reliability": asdict(reliable[k]) | {"n": reliable[k].votes},
            "weight": float(weights[k]),
            "agreement": with_others[k][0],
            "by_dimension": with_others[k][1],
            "tau": taus[k],
            "gold": on_gold.json() if on_gold else None,
            "pace": asdict(pace[k]) if k in pace else None,
            "position": position_json(position),
            "length": length_json(own),
            "skips": sum(skips.get(key, {}).values()),
        }
        person["flags"] = [
            *_reliability_flags(reliable[k]),
            *(["gold"] if on_gold and on_gold.high is not None and on_gold.high < gold_threshold else []),
            *([pace[k].flag] if k in pace and pace[k].flag else []),
            *([position.flag.replace(" ", "_")] if position and position.flag else []),
            *([flag] if (flag := length_flag(own, others)) else []),
        ]
        result[str(key)] = person
    return result


def _reliability_flags(found: Reliability) -> list[str]:
    """against: reverses what others see; random: cannot be told from a coin; weak: better than a coin, but not by
    much."""
    if found.votes < LEAST_VOTES:
        return []
    if found.high < 0.5:
        return ["against"]
    if found.low <= 0.5 and found.high < 0.75:
        return ["random"]
    return ["weak"] if found.high < 0.7 else []


def _with_others(data: Collected, weights: Floats) -> list[tuple[Json | None, Json]]:
    """Of each annotator: agreement with the consensus of the others, on all dimensions and on each."""
    people = len(data.annotators)
    agreeing, every = np.zeros(data.judgements), np.zeros(data.judgements)
    by_dimension: list[Json] = [{} for _ in range(people)]
    for dimension in data.ranks:
        table, rows = data.table(dimension)
        if not len(rows):
            continue
        same, of = agreement_with_others(table, weights)
        agreeing[rows] += same
        every[rows] += of
        sums = np.bincount(table.annotator, same, people), np.bincount(table.annotator, of, people)
        for k in np.flatnonzero(sums[1]).tolist():
            by_dimension[k][dimension] = {"value": float(sums[0][k] / sums[1][k]), "n": int(sums[1][k])}
    found: list[tuple[Json | None, Json]] = []
    for k in range(people):
        mine = data.annotator == k
        _, cluster = np.unique(data.prompt[data.comparison[mine]], return_inverse=True)
        pairs = np.stack([agreeing[mine], every[mine]], axis=1)
        one = estimate(cluster_sums(cluster, pairs), ratio, n=int(every[mine].sum()), resamples=400, groups=400)
        found.append((one.json() if one else None, by_dimension[k]))
    return found


def _taus(data: Collected) -> list[Json | None]:
    """Of each annotator: mean Kendall's tau-b with the other rankings of the same comparisons."""
    people = len(data.annotators)
    total, number = np.zeros(people), np.zeros(people)
    for dimension in data.ranks:
        table, rows = data.table(dimension)
        first, second = table.couples(400_000)
        if not len(rows) or not len(first):
            continue
        taus = kendall_taus(table, first, second)
        has = np.isfinite(taus)
        for side in (first[has], second[has]):
            total += np.bincount(table.annotator[side], taus[has], people)
            number += np.bincount(table.annotator[side], minlength=people)
    return [
        {"value": float(total[k] / number[k]), "n": int(number[k])} if number[k] else None for k in range(people)
    ]  # fmt: skip


# time -----------------------------------------------------------------------------------------------------------------


def seconds_json(seconds: Floats) -> Json | None:
    """Median, quartiles and a histogram of active seconds; n judgements whose time is known."""
    known = seconds[np.isfinite(seconds)]
    if not len(known):
        return None
    quarter, median, three = (float(value) for value in np.quantile(known, [0.25, 0.5, 0.75]))
    counts = np.histogram(known, bins=[*EDGES, np.inf])[0]
    return {
        "n": len(known), "median": median, "quarter": quarter, "three_quarters": three,
        "edges": EDGES, "counts": counts.tolist(),
    }  # fmt: skip


def all_bad_json(all_bad: NDArray[np.bool_], prompt: Ints) -> Json | None:
    """Share of judgements in which none of the responses was acceptable on some dimension, by prompt."""
    if not len(all_bad):
        return None
    _, cluster = np.unique(prompt, return_inverse=True)
    rows = np.stack([all_bad.astype(np.float64), np.ones(len(all_bad))], axis=1)
    found: Estimate | None = estimate(cluster_sums(cluster, rows), ratio, n=len(all_bad))
    return found.json() if found else None
