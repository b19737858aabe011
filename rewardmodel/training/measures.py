"""What a reward model's scores are worth beside people's judgements: every figure of an evaluation but calibration.

Figures are over *pairs*: two responses of one comparison that at least one judgement orders or ties, on one dimension.
Pairs of one prompt are not independent evidence, so every interval draws or counts whole prompts. Shares of right
answers have Wilson's interval at the effective size (`evaluate.clustered_share`), all else the percentile interval of a
bootstrap over prompts (`annotate.quality.bootstrap`).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from annotate.quality.bootstrap import Estimate, Floats, cluster_sums, estimate, ratio
from rewardmodel.training.data import Comparison
from rewardmodel.training.evaluate import clustered_share, head_to_head, outcome, shares_won

Scores = Sequence[Sequence[Sequence[float]]]  # [comparison][K][dimension]
Json = dict[str, Any]

MOST_TAGS, MOST_LANGUAGES = 30, 30
FIFTH = 1.25  # lengths within a fifth of each other count as alike


@dataclass(frozen=True, slots=True)
class ScoredPair:
    """Responses i < j of a comparison, what people say of them on one dimension, and what the model does.

    number: of the comparison in the test set. p: share preferring i. judgements: how many place both; None where they
    were aggregated, which does not keep their number. lengths: in tokens with the one that ends the turn.
    """

    number: int
    comparison: Comparison
    prompt_key: str
    dimension: str
    i: int
    j: int
    p: float
    weight: float
    margin: float
    judgements: int | None
    score_i: float
    score_j: float
    length_i: int = 0
    length_j: int = 0

    @property
    def probability(self) -> float:
        """sigma(score_i - score_j): how likely the model holds it that i is preferred."""
        return sigma(self.score_i - self.score_j)

    @property
    def right(self) -> float | None:
        """1 if the model prefers whom most people prefer, 0 if not, 1/2 if its scores are equal; None of a tie."""
        return outcome(self.p, self.score_i - self.score_j)

    @property
    def longer_right(self) -> float | None:
        """`right` of preferring the response with more characters."""
        texts = self.comparison.responses
        return outcome(self.p, len(texts[self.i]) - len(texts[self.j]))

    @property
    def preferred_length(self) -> tuple[int, int]:
        """(tokens of the preferred response, tokens of the other); of a tie (i, j)."""
        lengths = (self.length_i, self.length_j)
        return lengths if self.p >= 0.5 else lengths[::-1]


def sigma(x: float) -> float:
    """The logistic function, without overflow."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def scored_pairs(
    comparisons: Sequence[Comparison],
    scores: Scores,
    dimensions: Sequence[str],
    lengths: Sequence[Sequence[int]] | None = None,
) -> list[ScoredPair]:
    """Every pair of every comparison, by comparison, dimension and place. lengths: [comparison][K] tokens."""
    found = []
    for number, (comparison, rows) in enumerate(zip(comparisons, scores, strict=True)):
        key = comparison.prompt_key
        tokens = lengths[number] if lengths else [0] * len(rows)
        for column, dimension in enumerate(dimensions):
            rankings = comparison.rankings.get(dimension, ())
            for edge in comparison.edges.get(dimension, ()):
                i, j = edge.i, edge.j
                found.append(
                    ScoredPair(
                        number=number,
                        comparison=comparison,
                        prompt_key=key,
                        dimension=dimension,
                        i=i,
                        j=j,
                        p=edge.p,
                        weight=edge.weight,
                        margin=edge.margin,
                        judgements=_judgements(rankings, i, j),
                        score_i=rows[i][column],
                        score_j=rows[j][column],
                        length_i=tokens[i],
                        length_j=tokens[j],
                    )
                )
    return found


def _judgements(rankings: Sequence[Mapping[str, Any]], i: int, j: int) -> int | None:
    placing = [ranking for ranking in rankings if _places(ranking, i, j)]
    return None if any(_is_aggregated(ranking) for ranking in placing) else len(placing)


def _is_aggregated(ranking: Mapping[str, Any]) -> bool:
    """Whether it stands in place of several people's (annotate.datasets.aggregate), or says a share of them."""
    shares = (p for _, _, p in ranking.get("soft") or ())
    return ranking.get("annotator") in ("majority", "consensus") or any(p not in (0, 0.5, 1) for p in shares)


def _places(ranking: Mapping[str, Any], i: int, j: int) -> bool:
    ranks = ranking["ranks"]
    return ranks[i] is not None and ranks[j] is not None and float(ranking.get("weight", 1.0)) > 0


# accuracy -------------------------------------------------------------------------------------------------------------


def accuracies(pairs: Sequence[ScoredPair]) -> Json:
    """{"accuracy", "longer"}: share of decided pairs ordered as most people do, by the model and by length."""
    return {
        "accuracy": _share((pair.prompt_key, pair.right) for pair in pairs),
        "longer": _share((pair.prompt_key, pair.longer_right) for pair in pairs),
    }


def slices(pairs: Sequence[ScoredPair]) -> dict[str, list[Json]]:
    """`accuracies` by tag, strength, how many people agree, language, and length, each {"name", ...}.

    A way of cutting the pairs that leaves them whole says nothing, and is left out.
    """
    found = {
        "tags": _rows(pairs, lambda pair: pair.comparison.tags, most=MOST_TAGS),
        "strength": _rows(pairs, lambda pair: (strength(pair.margin),), order=STRENGTHS),
        "people": _rows(pairs, lambda pair: () if pair.judgements is None else (unanimity(pair),), order=UNANIMITY),
        "length": _rows(pairs, lambda pair: (relative_length(*pair.preferred_length),), order=RELATIVE),
        "size": _rows(pairs, lambda pair: (size(max(pair.length_i, pair.length_j)),), order=SIZES),
        "languages": _rows(pairs, lambda pair: (pair.comparison.language or "not said",), most=MOST_LANGUAGES),
    }
    return {name: rows for name, rows in found.items() if len(rows) > 1 or (name == "tags" and rows)}


STRENGTHS = ("not said", "slightly better", "better", "much better")
UNANIMITY = ("one judgement", "all agree", "three in four or more", "fewer")
RELATIVE = ("less than half as long", "shorter", "about as long", "longer", "more than twice as long")
SIZES = ("up to 64 tokens", "65 to 256 tokens", "257 to 1,024 tokens", "more than 1,024 tokens")


def strength(margin: float) -> str:
    """How much better the preferred response was called, in words: of 1 slightly, 2 better, 3 and more much better."""
    return STRENGTHS[0] if margin == 0 else STRENGTHS[min(max(round(abs(margin)), 1), 3)]


def unanimity(pair: ScoredPair) -> str:
    """How many of those who judged a pair agree with the majority."""
    if not pair.judgements or pair.judgements < 2:
        return UNANIMITY[0]
    share = max(pair.p, 1 - pair.p)
    return UNANIMITY[1 if share == 1 else 2 if share >= 0.75 else 3]


def relative_length(preferred: int, other: int) -> str:
    """How long the preferred response is beside the other, in words."""
    if preferred * FIFTH < other:
        return RELATIVE[0 if preferred * 2 < other else 1]
    return RELATIVE[2 + (preferred > other * FIFTH) + (preferred > other * 2)]


def size(tokens: int) -> str:
    """A length in words."""
    return SIZES[sum(tokens > bound for bound in (64, 256, 1024))]


def _rows(
    pairs: Sequence[ScoredPair],
    names: Callable[[ScoredPair], Iterable[str]],
    *,
    order: Sequence[str] = (),
    most: int | None = None,
) -> list[Json]:
    """`accuracies` of the pairs with each name, in `order` or the most frequent first; a pair may have several."""
    groups: dict[str, list[ScoredPair]] = defaultdict(list)
    for pair in pairs:
        if pair.p != 0.5:
            for name in names(pair):
                groups[name].append(pair)
    by_size = sorted(groups, key=lambda name: (-len(groups[name]), name))
    chosen = [name for name in order if name in groups] or by_size[:most]
    return [{"name": name, **accuracies(groups[name])} for name in chosen]


def _share(outcomes: Iterable[tuple[str, float | None]]) -> Json | None:
    found = clustered_share((key, outcome) for key, outcome in outcomes if outcome is not None)
    return asdict(found) if found else None


# people ---------------------------------------------------------------------------------------------------------------


def ceiling(comparisons: Sequence[Comparison], scores: Scores, column: int, dimension: str) -> Json:
    """How often people agree with each other, and model and length with them, on the pairs that several ordered.

    Of a pair that a people prefer one way and b the other, ties set aside, with m = a + b >= 2,

        people = (C(a, 2) + C(b, 2)) / C(m, 2),   model = (a or b, whom the model prefers) / m,

    averaged over pairs with the weight C(m, 2), as `annotate.quality.agreement` does. Both are agreement with one
    judgement drawn at random, so they can be held against each other; accuracy is agreement with the majority, which is
    easier to meet. {"people", "model", "longer": estimates or None, "pairs": judged by several, "single": by one}.
    """
    rows, keys = [], []
    several = single = 0
    for comparison, values in zip(comparisons, scores, strict=True):
        key = comparison.prompt_key
        rankings = [each["ranks"] for each in comparison.rankings.get(dimension, ()) if each.get("weight", 1.0) > 0]
        for i, j in combinations(range(len(comparison.responses)), 2):
            signs = [_sign(ranks[i], ranks[j]) for ranks in rankings]
            a, b = signs.count(1), signs.count(-1)
            several += a + b >= 2
            single += a + b == 1
            if a + b < 2:
                continue
            couples = math.comb(a + b, 2)
            difference = values[i][column] - values[j][column]
            longer = len(comparison.responses[i]) - len(comparison.responses[j])
            rows.append(
                [
                    math.comb(a, 2) + math.comb(b, 2),
                    couples * _agrees(difference, a, b),
                    couples * _agrees(longer, a, b),
                    couples,
                ]
            )
            keys.append(key)
    sums = _by_cluster(keys, rows)
    found = {
        name: as_json(estimate(sums[:, [place, 3]], ratio, n=several)) if several else None
        for place, name in enumerate(("people", "model", "longer"))
    }
    return {**found, "pairs": several, "single": single}


def _sign(first: int | None, second: int | None) -> int:
    """1 if the first of two ranks is better, -1 if the second is, 0 if neither is said to be."""
    return 0 if first is None or second is None else (first < second) - (first > second)


def _agrees(difference: float, a: int, b: int) -> float:
    return (a if difference > 0 else b if difference < 0 else (a + b) / 2) / (a + b)


# scores and length ----------------------------------------------------------------------------------------------------

BINS = 24


def distribution(pairs: Sequence[ScoredPair], shift: float = 0.0) -> Json | None:
    """Rewards (score - shift) of preferred and other responses, over the decided pairs.

    {"edges", "chosen", "rejected": counts of BINS bins, "chosen_mean", "rejected_mean", "std": of all, "difference":
    estimate of the mean difference}. None without a decided pair.
    """
    decided = [pair for pair in pairs if pair.p != 0.5]
    if not decided:
        return None
    scores = np.array(
        [[pair.score_i, pair.score_j] if pair.p > 0.5 else [pair.score_j, pair.score_i] for pair in decided]
    )
    scores = scores - shift
    low, high = float(scores.min()), float(scores.max())
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    bounds = np.linspace(low, high, BINS + 1)
    gaps = scores[:, 0] - scores[:, 1]
    rows = np.stack([gaps, np.ones(len(gaps))], axis=1)
    sums = _by_cluster([pair.prompt_key for pair in decided], rows)
    return {
        "edges": [float(bound) for bound in bounds],
        "chosen": np.histogram(scores[:, 0], bounds)[0].tolist(),
        "rejected": np.histogram(scores[:, 1], bounds)[0].tolist(),
        "chosen_mean": float(scores[:, 0].mean()),
        "rejected_mean": float(scores[:, 1].mean()),
        "std": float(scores.std()),
        "difference": as_json(estimate(sums, ratio, n=len(decided))),
    }


def length_correlations(
    comparisons: Sequence[Comparison], scores: Scores, lengths: Sequence[Sequence[int]], column: int, dimension: str
) -> Json:
    """Correlation of length with the model's scores and with people's preferences, within comparisons.

    Score and length are taken less their means over the comparison, and pooled. What stands for people's score is the
    share of its pairs that a response wins. {"scores", "preferences": estimates, None where nothing varies}.
    """
    judged = [number for number, each in enumerate(comparisons) if dimension in each.edges]
    won = shares_won([comparisons[number] for number in judged], [dimension])
    keys = [comparisons[number].prompt_key for number in judged]
    ours = [[row[column] for row in scores[number]] for number in judged]
    people = [[row[0] for row in rows] for rows in won]
    tokens = [lengths[number] for number in judged]
    return {
        "scores": as_json(_correlation(keys, ours, tokens)),
        "preferences": as_json(_correlation(keys, people, tokens)),
    }


def _correlation(
    keys: Sequence[str], values: Sequence[Sequence[float]], lengths: Sequence[Sequence[int]]
) -> Estimate | None:
    rows = []
    for one, other in zip(values, lengths, strict=True):
        a, b = np.array(one, dtype=float), np.array(other, dtype=float)
        a, b = a - a.mean(), b - b.mean()
        rows.append([a @ b, a @ a, b @ b])
    return estimate(_by_cluster(keys, rows), pearson, n=sum(map(len, values))) if rows else None


def pearson(sums: Floats) -> Floats:
    """(B, 3) sums of products, squares and squares to (B,) correlations."""
    return sums[:, 0] / np.sqrt(sums[:, 1] * sums[:, 2])


# best of n ------------------------------------------------------------------------------------------------------------


def best_of_n(comparisons: Sequence[Comparison], scores: Scores, column: int, dimension: str) -> list[Json]:
    """How good the response is that the model picks from n of K ranked ones, by K; the largest group first.

    What a response is worth is the share of the other K - 1 that people place below it (ties one half, averaged over
    the rankings that place all K): 1 is best, 0 last, one half the middle. n of the K are drawn at random and the best
    by score is kept; the expectation over all subsets is exact, not simulated: the response with the t-th highest score
    is kept with probability C(K - t, n - 1) / C(K, n), and responses of equal score share theirs.
    [{"k", "comparisons", "prompts", "curve": [{"n", "model", "best": estimates, "random"}]}]; "best" is what people's
    own order would pick.
    """
    groups: dict[int, list[tuple[str, list[float], list[float]]]] = defaultdict(list)
    for comparison, rows in zip(comparisons, scores, strict=True):
        worth = worths(comparison, dimension)
        if worth:
            groups[len(worth)].append((comparison.prompt_key, worth, [row[column] for row in rows]))
    found = []
    for k, members in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])):
        curve = []
        for n in range(1, k + 1):
            rows = [
                [expected_pick(worth, by, n), expected_pick(worth, worth, n), sum(worth) / k, 1.0]
                for _, worth, by in members
            ]
            sums = _by_cluster([key for key, _, _ in members], rows)
            model, best = (as_json(estimate(sums[:, [place, 3]], ratio, n=len(members))) for place in (0, 1))
            curve.append({"n": n, "model": model, "best": best, "random": sums[:, 2].sum() / len(members)})
        prompts = len({key for key, _, _ in members})
        found.append({"k": k, "comparisons": len(members), "prompts": prompts, "curve": curve})
    return found


def worths(comparison: Comparison, dimension: str) -> list[float] | None:
    """The share of the other responses that people place below each, by their weights; None if no one places all."""
    rankings = [each for each in comparison.rankings.get(dimension, ()) if None not in each["ranks"]]
    whole = [(weight, each["ranks"]) for each in rankings if (weight := float(each.get("weight", 1.0))) > 0]
    if not whole:
        return None
    k, total = len(comparison.responses), sum(weight for weight, _ in whole)
    return [sum(weight * _below(ranks, place) for weight, ranks in whole) / (total * (k - 1)) for place in range(k)]


def _below(ranks: Sequence[int], place: int) -> float:
    """How many of the others a ranking puts below a response, ties one half."""
    rank = ranks[place]
    return sum(other > rank for other in ranks) + (sum(other == rank for other in ranks) - 1) / 2


def expected_pick(worth: Sequence[float], scores: Sequence[float], n: int) -> float:
    """The expected worth of the response that has the highest of n scores drawn from K without replacement."""
    k = len(worth)
    order = sorted(range(k), key=lambda place: -scores[place])
    shared: dict[float, list[float]] = defaultdict(list)
    for place in order:
        shared[scores[place]].append(worth[place])
    means = {score: sum(values) / len(values) for score, values in shared.items()}
    chances = [math.comb(k - t, n - 1) / math.comb(k, n) for t in range(1, k + 1)]
    return sum(chance * means[scores[place]] for chance, place in zip(chances, order, strict=True))


# two models -----------------------------------------------------------------------------------------------------------


def against_second(
    comparisons: Sequence[Comparison], ours: Scores, theirs: Scores, columns: tuple[int, int], dimension: str
) -> Json | None:
    """How far two models agree on one dimension, and which is right where they do not.

    columns: of the dimension in either's scores. {"same_order": share of pairs ordered the same, equal scores one half;
    "tau": mean Kendall's tau-b of the two orders over comparisons; "accuracy", "second_accuracy": on the same pairs;
    "differ": decided pairs that they order differently; "ours_right": the share of these on which ours is right;
    "head_to_head": by prompt}. None if no comparison is judged on it.
    """
    first = [[[row[columns[0]]] for row in rows] for rows in ours]
    second = [[[row[columns[1]]] for row in rows] for rows in theirs]
    a = scored_pairs(comparisons, first, [dimension])
    b = scored_pairs(comparisons, second, [dimension])
    if not a:
        return None
    gaps = [(one, one.score_i - one.score_j, two.score_i - two.score_j) for one, two in zip(a, b, strict=True)]
    differ = [(one, x) for one, x, y in gaps if one.p != 0.5 and x * y < 0]
    taus = [
        (comparison.prompt_key, tau)
        for comparison, x, y in zip(comparisons, first, second, strict=True)
        if dimension in comparison.edges and (tau := kendall([row[0] for row in x], [row[0] for row in y])) is not None
    ]
    mean = (
        estimate(_by_cluster([key for key, _ in taus], [[t, 1.0] for _, t in taus]), ratio, n=len(taus))
        if taus
        else None
    )
    return {
        "same_order": _share((one.prompt_key, _same(x, y)) for one, x, y in gaps),
        "tau": as_json(mean),
        "accuracy": _share((pair.prompt_key, pair.right) for pair in a),
        "second_accuracy": _share((pair.prompt_key, pair.right) for pair in b),
        "differ": len(differ),
        "ours_right": _share((one.prompt_key, one.right) for one, _ in differ),
        "head_to_head": head_to_head(comparisons, first, second, [dimension]).get(dimension),
    }


def _same(x: float, y: float) -> float:
    return 0.5 if x == 0 or y == 0 else float((x > 0) == (y > 0))


def kendall(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Kendall's tau-b (1945) of two scorings of the same responses; None where one of them ties all."""
    product = one = two = 0
    for i, j in combinations(range(len(x)), 2):
        a, b = (x[i] > x[j]) - (x[i] < x[j]), (y[i] > y[j]) - (y[i] < y[j])
        product, one, two = product + a * b, one + a * a, two + b * b
    return product / math.sqrt(one * two) if one and two else None


# clusters -------------------------------------------------------------------------------------------------------------


def _by_cluster(keys: Sequence[str], rows: Sequence[Sequence[float]] | Floats) -> Floats:
    """(G, S) sums of the rows of each prompt."""
    if not len(keys):
        return np.zeros((0, 4))
    _, cluster = np.unique(np.array(keys), return_inverse=True)
    return cluster_sums(cluster, np.asarray(rows, dtype=np.float64))


def as_json(found: Estimate | None) -> Json | None:
    """An estimate in the words of `evaluate.Estimate`: n of what was counted, prompts that it comes from."""
    if found is None:
        return None
    return {"value": found.value, "low": found.low, "high": found.high, "n": found.n, "prompts": found.clusters}
