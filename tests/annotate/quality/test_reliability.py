"""The reliability model: its arithmetic, what it recovers, and who it finds out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from annotate.quality.judged import judged
from annotate.quality.reliability import (
    PRIOR,
    Votes,
    _Model,
    fit_reliability,
    soft_label,
    votes_of,
    weight_of,
)
from tests.annotate.quality.worlds import crowd, rankings

CAREFUL = [0.65, 0.7, 0.75, 0.8, 0.85, 0.88, 0.9, 0.92, 0.94, 0.96]


@pytest.fixture(scope="module")
def votes() -> Votes:
    return crowd(120, 4, 3, [*CAREFUL, 0.5, 0.1], 4.0, 0.5, seed=1)


def test_the_likelihood_of_one_pair_is_the_integral_of_the_docstring():
    """Two votes, one for each side, by annotators with eta 0.9 and 0.6; spread 3, nu 0.5."""

    def density(d: float) -> float:
        z = np.exp(d / 2) + np.exp(-d / 2) + 0.5
        up, down = np.exp(d / 2) / z, np.exp(-d / 2) / z
        first, second = 0.9 * up + 0.1 * down, 0.6 * down + 0.4 * up
        return first * second * np.exp(-d * d / 18) / (3 * np.sqrt(2 * np.pi))

    model = _Model(Votes(np.array([0, 0]), np.array([0, 1]), np.array([1, -1], np.int8), np.array([0]), 2))
    theta = np.array([np.log(9), np.log(1.5), np.log(3), np.log(0.5)])
    penalty = (model.precision * (theta - model.mean) ** 2).sum() / 2
    assert model.loss(theta)[0] - penalty == pytest.approx(-np.log(quad(density, -30, 30)[0]), abs=1e-4)
    weighted = quad(lambda d: density(d) / (1 + np.exp(-d)), -30, 30)[0] / quad(density, -30, 30)[0]
    assert soft_label([(1, 0.9), (-1, 0.6)], spread=3, tie=0.5) == pytest.approx(weighted, abs=1e-4)


def test_gradient_and_information_are_the_derivatives(votes):
    model = _Model(votes)
    theta = np.concatenate([np.random.default_rng(3).normal(size=12), [1.2, -0.3]])
    steps = np.eye(14) * 1e-5
    gradient = model.loss(theta)[1]
    by_difference = [(model.loss(theta + e)[0] - model.loss(theta - e)[0]) / 2e-5 for e in steps]
    assert gradient == pytest.approx(np.array(by_difference), abs=1e-8)
    pairs = model.table.shape[0]
    hessian = np.array([(model.loss(theta + e)[1] - model.loss(theta - e)[1]) / 2e-5 for e in steps]) * pairs
    assert model.information(theta)[0] == pytest.approx(hessian, rel=1e-4, abs=1e-4)


def test_annotators_come_out_as_they_are(votes):
    fit = fit_reliability(votes)
    found = [person.value for person in fit.annotators]
    assert fit.converged
    assert np.corrcoef(found, [*CAREFUL, 0.5, 0.1])[0, 1] > 0.9
    coin, adversary = fit.annotators[10], fit.annotators[11]
    assert coin.low < 0.5 < coin.high
    assert adversary.high < 0.4
    assert min(found[:10]) > coin.value
    assert fit.tie == pytest.approx(0.5, rel=0.3)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    truth = [*CAREFUL, 0.5, 0.1]
    covered = []
    for seed in range(25):
        fit = fit_reliability(crowd(150, 4, 3, truth, 4.0, 0.5, seed=100 + seed))
        covered += [person.low <= eta <= person.high for person, eta in zip(fit.annotators, truth, strict=True)]
    assert 0.90 <= np.mean(covered) <= 0.99


def test_a_majority_who_means_what_it_says_settles_which_way_is_up():
    rows = list(rankings(150, 4, 3, {"a": 1, "b": 1, "c": 1, "d": -1, "e": -1}))
    votes, names = votes_of(judged(rows))
    found = dict(zip(names, fit_reliability(votes).annotators, strict=True))
    assert all(found[name].low > 0.6 for name in "abc")
    assert all(found[name].high < 0.4 for name in "de")
    assert weight_of(found["d"].value) == 0.0 < weight_of(found["a"].value)


def test_soft_labels_follow_those_who_are_reliable():
    """On each pair the adversary and one of the careful disagree; the label goes with the careful one."""
    rows = list(rankings(200, 2, 3, {"a": 1, "b": 1, "c": 1, "x": -1}))
    table = judged(rows)
    votes, names = votes_of(table)
    fit = fit_reliability(votes)
    against = []
    for pair in range(len(votes.cluster)):
        given = {names[who]: label for who, label in zip(*_votes_on(votes, pair), strict=True)}
        if "x" in given and len({label for name, label in given.items() if name != "x"}) == 1:
            careful = next(label for name, label in given.items() if name != "x")
            if careful != given["x"]:
                eta = [(label, fit.annotators[names.index(name)].value) for name, label in given.items()]
                against.append((soft_label(eta, spread=fit.spread, tie=fit.tie) > 0.5) == (careful > 0))
    assert len(against) > 50 and all(against)


def _votes_on(votes: Votes, pair: int) -> tuple[list[int], list[int]]:
    rows = votes.pair == pair
    return votes.annotator[rows].tolist(), votes.label[rows].tolist()


def test_who_shares_no_pair_keeps_the_prior():
    rows = [*rankings(30, 3, 2, {"a": 1, "b": 1}), (99, "alone", {1: 1, 2: 2})]
    votes, names = votes_of(judged(rows))
    alone = fit_reliability(votes).annotators[names.index("alone")]
    assert (alone.value, alone.low, alone.high) == (
        pytest.approx(PRIOR.value), pytest.approx(PRIOR.low), pytest.approx(PRIOR.high),
    )  # fmt: skip
    assert alone.votes == alone.clusters == 0


def test_ties_alone_say_nothing_of_who_gives_them():
    """Everybody else ties: the model learns that pairs are close, and of the one who only ties it knows the prior."""
    rows = [(c, who, {1: 1, 2: 1 if who == "tied" else 2}) for c in range(40) for who in ("tied", "a", "b")]
    votes, names = votes_of(judged(rows))
    tied = fit_reliability(votes).annotators[names.index("tied")]
    assert tied.value == pytest.approx(PRIOR.value, abs=1e-3)
    assert tied.votes == 0


def test_nobody_and_nothing():
    votes, names = votes_of()
    assert names == [] and fit_reliability(votes).annotators == []
    single, _ = votes_of(judged([(1, "a", {1: 1, 2: 2})]))
    fit = fit_reliability(single)
    assert fit.annotators[0].value == pytest.approx(PRIOR.value)
    assert soft_label([(1, fit.annotators[0].value)]) > 0.5


def test_dimensions_of_one_comparison_are_one_piece_of_evidence():
    one = judged([(c, who, {1: 1, 2: 2}) for c in range(5) for who in "ab"])
    two = judged([(c, who, {1: 2, 2: 1}) for c in range(5) for who in "bc"])
    votes, names = votes_of(one, two)
    assert names == ["a", "b", "c"]
    assert len(votes.cluster) == 10 and set(votes.cluster.tolist()) == set(range(5))
