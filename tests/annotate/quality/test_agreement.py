"""Agreement of many judgements, against numbers worked out by hand, the libraries, and the small functions."""

from __future__ import annotations

import itertools
import math

import krippendorff
import numpy as np
import pytest
from scipy.stats import kendalltau

from annotate.quality.agreement import (
    _alpha_of,
    _coincidences,
    agreement,
    agreement_by_chance,
    cohen_kappa,
    cohen_kappa_of,
    contested_share,
    fleiss_kappa,
    krippendorff_alpha,
    mean_cohen_kappa,
    percent_agreement,
)
from annotate.quality.bootstrap import cluster_sums, estimate, ratio, share, wilson
from annotate.quality.judged import judged
from annotate.quality.rank_agreement import kendall_tau, kendall_taus, kendall_w
from tests.annotate.quality.worlds import rankings


@pytest.fixture(scope="module")
def messy() -> list[tuple[int, int, dict[int, int]]]:
    """300 comparisons of 4 responses by 3 of 8 people, with ties and unplaced responses."""
    random = np.random.default_rng(0)
    return [
        (
            c,
            int(who),
            {10 * c + int(r): int(random.integers(1, 5)) for r in random.permutation(4)[: random.integers(1, 5)]},
        )
        for c in range(300)
        for who in random.choice(8, 3, replace=False)
    ]


def by_comparison(rows):
    groups: dict[object, list[dict]] = {}
    for comparison, _, ranks in rows:
        groups.setdefault(comparison, []).append(ranks)
    return groups


# the table ------------------------------------------------------------------------------------------------------------


def test_columns_are_responses_whatever_order_they_were_given_in():
    table = judged([("c", "ben", {"r2": 1, "r1": 2}), ("c", "cleo", {"r1": 2, "r2": 1})])
    assert table.ranks.tolist() == [[2, 1], [2, 1]]
    assert table.unit_counts().tolist() == [[[0, 0, 2]]]


def test_units_count_first_tie_second_and_nothing_for_what_is_not_placed():
    table = judged([(1, "a", {1: 1, 2: 2, 3: 2}), (1, "b", {1: 2, 2: 1})])
    assert table.pairs() == [(0, 1), (0, 2), (1, 2)]
    assert table.unit_counts().tolist() == [[[1, 0, 1], [1, 0, 0], [0, 1, 0]]]


def test_couples_are_every_two_judgements_of_a_comparison():
    table = judged([(1, "a", {1: 1}), (2, "a", {2: 1}), (1, "b", {1: 1}), (1, "c", {1: 1})])
    first, second = table.couples()
    assert sorted(zip(first.tolist(), second.tolist(), strict=True)) == [(0, 1), (0, 2), (1, 2)]
    assert len(table.couples(limit=2)[0]) == 2


def test_some_comparisons_are_as_if_the_others_had_never_been(messy):
    table = judged(messy)
    chosen = np.arange(table.comparisons) % 3 == 0
    part = table.of_comparisons(chosen)
    assert (part.unit_counts() == table.unit_counts()[chosen]).all()
    assert part.keys == [key for key in table.keys if key % 3 == 0]


# percent --------------------------------------------------------------------------------------------------------------


def test_percent_agreement_of_many_is_that_of_the_small_function(messy):
    table = judged(messy)
    found = agreement(table.unit_counts(), table.cluster, ties=False)
    groups = by_comparison(messy).values()
    small = percent_agreement(
        [[[ranks.get(r) for r in sorted({r for one in group for r in one})] for ranks in group] for group in groups]
    )
    assert (found.value, found.low, found.high, found.n) == (small.value, small.low, small.high, small.pairs)


def test_with_ties_three_outcomes_count():
    # Labels of the one pair: first, first, tie. Of three couples, one agrees.
    table = judged([(1, "a", {1: 1, 2: 2}), (1, "b", {1: 1, 2: 2}), (1, "c", {1: 1, 2: 1})])
    counts = table.unit_counts()
    assert agreement(counts, table.cluster, ties=True).value == pytest.approx(1 / 3)
    assert agreement(counts, table.cluster, ties=False).value == 1.0
    # One label in three is a tie: 1/9 + (2/3)^2 / 2.
    assert agreement_by_chance(counts, ties=True) == pytest.approx(1 / 3)
    assert agreement_by_chance(counts, ties=False) == 0.5


# alpha and kappas -----------------------------------------------------------------------------------------------------


def test_alpha_by_hand():
    # Pairs with labels (first, first) and (first, second): o = [[2, 1], [1, 0]], n = 4, D_o = 2/4, D_e = 2*3*1/(4*3).
    table = judged([(1, "a", {1: 1, 2: 2}), (1, "b", {1: 1, 2: 2}), (2, "a", {3: 1, 4: 2}), (2, "b", {3: 2, 4: 1})])
    found = krippendorff_alpha(table.unit_counts(), table.cluster, symmetric=False)
    assert found.value == pytest.approx(1 - 0.5 / 0.5)
    assert found.n == 2


@pytest.mark.parametrize("level", ["nominal", "ordinal"])
@pytest.mark.parametrize("symmetric", [True, False])
def test_the_resampled_alpha_is_the_librarys(messy, level, symmetric):
    counts = judged(messy).unit_counts()
    ours = _alpha_of(level)(_coincidences(counts, symmetric).sum(axis=0)[None])[0]
    units = counts.reshape(-1, 3)
    units = units[units.sum(axis=1) >= 2]
    units = np.concatenate([units, units[:, ::-1]]) if symmetric else units
    assert ours == pytest.approx(krippendorff.alpha(value_counts=units, level_of_measurement=level), abs=1e-12)


def test_symmetric_figures_do_not_depend_on_which_response_is_called_first(messy):
    flipped = [(c, who, {-r: rank for r, rank in ranks.items()}) for c, who, ranks in messy]
    one, two = judged(messy), judged(flipped)
    for figure in (krippendorff_alpha, fleiss_kappa):
        assert figure(one.unit_counts(), one.cluster).value == pytest.approx(
            figure(two.unit_counts(), two.cluster).value
        )
    assert mean_cohen_kappa(one).value == pytest.approx(mean_cohen_kappa(two).value)


def test_unanimity_is_one_and_one_outcome_alone_is_nothing():
    table = judged([(c, who, {1: 1, 2: 2}) for c in range(5) for who in "ab"])
    assert krippendorff_alpha(table.unit_counts(), table.cluster).value == 1.0
    assert krippendorff_alpha(table.unit_counts(), table.cluster, symmetric=False) is None
    assert fleiss_kappa(table.unit_counts(), table.cluster).value == 1.0


def test_fleiss_by_hand():
    # Three raters, two units: (3, 0, 0) and (1, 1, 1). P = (1 + 0) / 2; shares 4/6, 1/6, 1/6: P_e = 18/36.
    counts = np.array([[[3, 0, 0], [1, 1, 1]]])
    assert fleiss_kappa(counts, np.zeros(1, int), symmetric=False).value == pytest.approx(0.0)


def test_cohen_by_hand():
    # o = [[20, 5], [10, 15]]: p_o = 0.7, p_e = 0.5 * 0.6 + 0.5 * 0.4 = 0.5.
    assert cohen_kappa(np.array([[20, 5], [10, 15]])) == pytest.approx(0.4)
    # Three ordered labels; all weight on the middle of row one: half as bad if linear, a quarter if quadratic.
    table = np.array([[0, 1, 0], [0, 1, 0], [0, 0, 1]])
    assert cohen_kappa(table) == pytest.approx(1 - (1 / 3) / (1 - 3 / 9))
    expected = np.outer([1, 1, 1], [0, 2, 1]) / 3
    gap = np.abs(np.subtract.outer(range(3), range(3)))
    assert cohen_kappa(table, "linear") == pytest.approx(1 - 1 / (expected * gap).sum())
    assert cohen_kappa(table, "quadratic") == pytest.approx(1 - 1 / (expected * gap**2).sum())
    assert cohen_kappa(np.array([[5, 0], [0, 0]])) is None


def test_cohen_of_two_columns_has_an_interval():
    found = cohen_kappa_of([0, 1, 0, 1] * 20, [0, 1, 1, 1] * 20)
    assert found.value == pytest.approx(cohen_kappa(np.array([[20, 20], [0, 40]])))
    assert found.low < found.value < found.high


def test_the_mean_kappa_of_one_couple_is_that_couples():
    rows = [(c, who, {1: 1, 2: (c + (who == "b") * (c % 3 == 0)) % 2 * 2}) for c in range(60) for who in "ab"]
    rows = [(c, who, {r: rank + 1 for r, rank in ranks.items()}) for c, who, ranks in rows]
    table = judged(rows)
    first, second = table.couples()
    sign = table.signs(0, 1)
    alone = cohen_kappa_of(sign[first].tolist(), sign[second].tolist())
    assert mean_cohen_kappa(table, symmetric=False).value == pytest.approx(alone.value)
    assert mean_cohen_kappa(table, least=61) is None


# rankings -------------------------------------------------------------------------------------------------------------


def test_tau_is_scipys_over_what_both_place(messy):
    table = judged(messy)
    first, second = table.couples()
    ours = kendall_taus(table, first, second)
    for a, b, tau in zip(first[:200], second[:200], ours[:200], strict=True):
        one, two = table.ranks[a], table.ranks[b]
        both = (one > 0) & (two > 0)
        theirs = kendalltau(one[both], two[both]).statistic if both.sum() > 1 else math.nan
        assert tau == pytest.approx(theirs, nan_ok=True)
    assert kendall_tau(table).value == pytest.approx(np.nanmean(ours))


def test_tau_knows_responses_and_not_places():
    """The same order, told by two people who saw the responses the other way round."""
    rows = [(c, "a", {1: 1, 2: 2, 3: 3}) for c in range(3)] + [(c, "b", {3: 3, 2: 2, 1: 1}) for c in range(3)]
    assert kendall_tau(judged(rows)).value == 1.0


def test_w_by_hand():
    # Two judges, [1 2 3] and [1 3 2]: rank sums 2, 5, 5, S = 6; W = 12 * 6 / (4 * (27 - 3)) = 0.75.
    found, chance = kendall_w(judged([(1, "a", {1: 1, 2: 2, 3: 3}), (1, "b", {1: 1, 2: 3, 3: 2})]))
    assert (found.value, chance) == (pytest.approx(0.75), 0.5)
    # With ties [1 2.5 2.5] twice: agreement is complete, which only the correction for ties sees.
    tied, _ = kendall_w(judged([(1, "a", {1: 1, 2: 2, 3: 2}), (1, "b", {1: 1, 2: 2, 3: 2})]))
    assert tied.value == pytest.approx(1.0)
    # A response that one judge did not place is left out for both.
    left, _ = kendall_w(judged([(1, "a", {1: 1, 2: 2, 3: 3}), (1, "b", {1: 1, 2: 2})]))
    assert left.value == pytest.approx(1.0)


def test_w_of_random_rankings_is_one_over_the_judges():
    found, chance = kendall_w(judged(rankings(2000, 4, 3, dict.fromkeys("abc", 0.0))))
    assert chance == pytest.approx(1 / 3)
    assert found.low < 1 / 3 < found.high


# intervals ------------------------------------------------------------------------------------------------------------


def test_the_interval_covers_the_truth_as_often_as_it_says():
    """Clustered data: ten labels of a comparison stand and fall together. Naive intervals would cover about 40 %."""
    random = np.random.default_rng(1)
    covered = 0
    for trial in range(200):
        chance = random.beta(2, 2, size=150)
        rows = np.stack([random.binomial(10, chance), np.full(150, 10)], axis=1)
        found = estimate(rows, ratio, n=1500, seed=trial)
        covered += found.low <= 0.5 <= found.high
    assert 0.90 <= covered / 200 <= 0.99


def test_many_clusters_thrown_together_give_the_same_interval():
    random = np.random.default_rng(2)
    rows = np.stack([random.normal(3, 1, 9000), random.uniform(5, 6, 9000)], axis=1)
    whole, grouped = estimate(rows, ratio, n=1, groups=10_000), estimate(rows, ratio, n=1, groups=1000)
    assert grouped.value == whole.value
    width = 2 * 1.96 / (5.5 * np.sqrt(9000))  # the delta method's, for unit variance over a mean of 5.5
    for found in (whole, grouped):
        assert found.high - found.low == pytest.approx(width, rel=0.1)


def test_pairs_of_one_prompt_are_one_piece_of_evidence():
    rows = [(c, who, {1: 1, 2: 1 + (who == "a" or c % 2)}) for c in range(20) for who in "ab"]
    table = judged(rows, clusters=dict.fromkeys(range(20), 0))
    found = agreement(table.unit_counts(), table.cluster, ties=True)
    assert (found.clusters, found.low) == (1, None)
    assert cluster_sums(np.array([0, 1, 0]), np.array([1, 2, 3])).tolist() == [[4], [2]]


def test_wilson_by_hand():
    # 8 of 10 at 95 %: a figure of the textbooks.
    low, high = wilson(8, 10)
    assert (round(low, 3), round(high, 3)) == (0.490, 0.943)
    assert share(0, 5).low == 0.0 and share(0, 0) is None


# contested pairs ------------------------------------------------------------------------------------------------------


def test_a_pair_is_contested_unless_all_say_the_same():
    agree, turn, tie = {"1": 1, "2": 2}, {"1": 2, "2": 1}, {"1": 1, "2": 1}
    assert contested_share({"h": [agree, agree]}) == 0.0
    assert contested_share({"h": [agree, turn]}) == 1.0
    assert contested_share({"h": [agree, tie]}) == 1.0
    assert contested_share({"h": [agree, agree, turn]}) == 1.0
    assert contested_share({"h": [tie, tie], "s": [agree, turn]}) == 0.5
    assert contested_share({"h": [agree, {"1": 1}]}) is None
    assert contested_share({"h": [agree]}) is None


def test_contested_pairs_and_agreement_tell_the_same_story(messy):
    table = judged(messy)
    counts = table.unit_counts()
    for key, groups in itertools.islice(by_comparison(messy).items(), 50):
        units = counts[table.keys.index(key)]
        several = units[units.sum(axis=1) >= 2]
        expected = ((several > 0).sum(axis=1) > 1).mean() if len(several) else None
        assert contested_share({"h": groups}) == (None if expected is None else pytest.approx(expected))
