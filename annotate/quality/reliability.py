"""How reliable each annotator is: Crowd-BT with ties, estimated by marginal composite likelihood. Pure.

The model. A response r of a comparison has a score s_r ~ N(0, spread^2 / 2), so the margin d = s_i - s_j of a pair is
N(0, spread^2). Annotator k follows the order that the scores suggest with probability eta_k, and reverses it otherwise:

    p+(d) = e^(d/2) / Z,  p0(d) = nu / Z,  p-(d) = e^(-d/2) / Z,  Z = e^(d/2) + e^(-d/2) + nu      (Davidson, ties)
    P(k says i is better | d) = eta_k p+ + (1 - eta_k) p-,    P(k says tie | d) = p0,    and the mirror image for j

eta = 1 is an annotator who errs only where the responses are close, 1/2 one who tosses a coin, 0 an adversary. A tie
says that the pair is close, hence makes opposite votes on it more forgivable; it says nothing for or against who gave
it.

The estimate. In Crowd-BT the scores are parameters; with two or three judgements on each comparison there would be as
many of them as votes, and eta would come out too good (Neyman and Scott, 1948). So margins are integrated out on a
grid, pair by pair: the sum over pairs of log integral N(d) prod_k P(k's vote | d) dd is a composite likelihood, since
each term is the exact likelihood of one pair's votes under the model, while the pairs of one comparison are treated as
independent. Its maximum is consistent, and its intervals are Godambe's: observed information H and the variance B of
the comparisons' scores (clustered by comparison, or prompt) give the covariance H^-1 B H^-1 on the logit scale.

Identification. Only differences of scores matter, and their prior fixes the location. Turning all margins and all
annotators upside down gives the same data: the prior logit(eta) ~ N(1.5, 1.5^2) chooses the side on which people mean
what they say. With two votes on a pair, careless annotators and close pairs look alike; the prior log spread ~ N(log 4,
0.5^2) settles what the data leave open, and with three or more votes the data speak for themselves. An annotator who
shares no pair with anybody keeps the prior's value and interval.

Chen, Bennett, Collins-Thompson and Horvitz, Pairwise ranking aggregation in a crowdsourced setting, WSDM 2013;
Davidson, On extending the Bradley-Terry model to accommodate ties, JASA 65 (1970); Varin, Reid and Firth, An overview
of composite likelihood methods, Statistica Sinica 21 (2011); Louis, JRSS B 44 (1982) for the information with what is
unseen.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_array, hstack

from annotate.quality.bootstrap import Floats
from annotate.quality.judged import Ints, Judged

PRIOR_LOGIT, PRIOR_LOGIT_SD = 1.5, 1.5
PRIOR_SPREAD, PRIOR_SPREAD_SD = 4.0, 0.5  # of the margin; sd of its logarithm
PRIOR_TIE, PRIOR_TIE_SD = 0.5, 2.0  # of nu; sd of its logarithm
NODES = 41
Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Votes:
    """V votes on U pairs by A annotators. pair: (V,) pair numbers; annotator: (V,); label: (V,) 1 the first of the pair
    is better, 0 tie, -1 the second. cluster: (U,) which pairs are one piece of evidence."""

    pair: Ints
    annotator: Ints
    label: NDArray[np.int8]
    cluster: Ints
    annotators: int


@dataclass(frozen=True, slots=True)
class Reliability:
    """Of one annotator. value: eta, with its 95 % interval; votes: strict orders of pairs that somebody else judged
    too; clusters: comparisons (or prompts) that they come from."""

    value: float
    low: float
    high: float
    votes: int
    clusters: int


@dataclass(frozen=True, slots=True)
class Fit:
    """annotators: one each, in order of their numbers. spread: standard deviation of the margins. tie: nu.
    converged: whether the optimiser says so; evaluations: of the likelihood."""

    annotators: list[Reliability]
    spread: float
    tie: float
    converged: bool
    evaluations: int


PRIOR = Reliability(
    1 / (1 + np.exp(-PRIOR_LOGIT)),
    1 / (1 + np.exp(-PRIOR_LOGIT + Z95 * PRIOR_LOGIT_SD)),
    1 / (1 + np.exp(-PRIOR_LOGIT - Z95 * PRIOR_LOGIT_SD)),
    0,
    0,
)


def votes_of(*tables: Judged) -> tuple[Votes, list[Hashable]]:
    """All pairs of the judged comparisons, of several dimensions at once if so wished, and the annotators' keys.

    A cluster is a cluster of the tables, by its first comparison's key, so two dimensions of one comparison stay
    together.
    """
    people: dict[Hashable, int] = {}
    clusters: dict[Hashable, int] = {}
    pair, who, label, cluster = [], [], [], []
    offset = 0
    for table in tables:
        number = np.array([people.setdefault(key, len(people)) for key in table.annotators], dtype=np.int64)
        _, where = np.unique(table.cluster, return_index=True)
        named = {int(table.cluster[c]): clusters.setdefault(table.keys[c], len(clusters)) for c in where}
        of_comparison = np.array([named[int(c)] for c in table.cluster], dtype=np.int64)
        for i, j in table.pairs():
            both = np.flatnonzero(table.both(i, j))
            pair.append(table.comparison[both] + offset)
            who.append(number[table.annotator[both]])
            label.append(table.signs(i, j)[both])
            cluster.append(of_comparison)
            offset += table.comparisons
    if not pair:
        empty = np.zeros(0, np.int64)
        return Votes(empty, empty, empty.astype(np.int8), empty, len(people)), list(people)
    used, numbered = np.unique(np.concatenate(pair), return_inverse=True)
    votes = Votes(
        numbered.astype(np.int64),
        np.concatenate(who),
        np.concatenate(label),
        np.concatenate(cluster)[used],
        len(people),
    )
    return votes, list(people)


def fit_reliability(votes: Votes, *, spread: float | None = None) -> Fit:
    """Estimate every annotator's reliability.

    spread: fix it instead of estimating it. Pairs with one vote inform nothing.
    """
    model = _Model(votes)
    start = np.concatenate(
        [np.full(votes.annotators, PRIOR_LOGIT), [np.log(spread or PRIOR_SPREAD), np.log(PRIOR_TIE)]]
    )
    bounds = [(-12.0, 12.0)] * votes.annotators + [(start[-2],) * 2 if spread else (-2.0, 4.0), (-12.0, 6.0)]
    if not len(votes.pair):
        return Fit([PRIOR] * votes.annotators, spread or PRIOR_SPREAD, PRIOR_TIE, True, 0)
    found = minimize(
        model.loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500, "ftol": 1e-11}
    )
    theta: Floats = found.x
    deviation = model.deviations(theta, free_spread=spread is None)
    strict = votes.label != 0
    shared = (np.bincount(votes.pair, minlength=len(votes.cluster)) >= 2)[votes.pair]
    counted = np.bincount(votes.annotator[strict & shared], minlength=votes.annotators)
    touched = np.unique(votes.annotator[shared] + votes.annotators * votes.cluster[votes.pair[shared]])
    clusters = np.bincount(touched % votes.annotators, minlength=votes.annotators)
    middle = theta[: votes.annotators]
    people = [
        Reliability(_sigmoid(m), _sigmoid(m - Z95 * sd), _sigmoid(m + Z95 * sd), int(n), int(c))
        for m, sd, n, c in zip(middle, deviation, counted, clusters, strict=True)
    ]
    return Fit(
        people,
        float(np.exp(theta[-2])),
        float(np.exp(theta[-1])),
        bool(found.success),
        int(found.nfev),
    )


def weight_of(reliability: float) -> float:
    """What a judgement should weigh: 2 eta - 1, not below 0. It is the share of an annotator's orders that are not coin
    tosses (eta = w + (1 - w) / 2), so a coin tosser and an adversary both count nothing."""
    return max(0.0, 2.0 * reliability - 1.0)


def soft_label(labels: list[tuple[int, float]], *, spread: float = PRIOR_SPREAD, tie: float = PRIOR_TIE) -> float:
    """Posterior mean of sigma(d) of a pair, from [(label, reliability)] of its votes: the probability that its first
    response is preferred by an annotator who always follows."""
    d, mass = _grid(spread)
    likelihood = mass.copy()
    for label, eta in labels:
        up, down = np.exp(d / 2), np.exp(-d / 2)
        follow = {1: eta * up + (1 - eta) * down, 0: np.full_like(d, tie), -1: eta * down + (1 - eta) * up}[label]
        likelihood *= follow / (up + down + tie)
    return float((likelihood * _sigmoid_of(d)).sum() / likelihood.sum())


def _grid(spread: float) -> tuple[Floats, Floats]:
    z = np.linspace(-4, 4, NODES)
    mass = np.exp(-z * z / 2)
    return spread * z, mass / mass.sum()


def _sigmoid_of(x: Floats) -> Floats:
    return 0.5 * (1 + np.tanh(x / 2))


def _sigmoid(x: float) -> float:
    return float(0.5 * (1 + np.tanh(x / 2)))


class _Model:
    """The penalised negative composite log likelihood, its gradient, and its information.

    Votes enter as a sparse (U, 3A) table of how often each annotator gave each label on each pair, so one evaluation
    is two sparse products with the (3A, NODES) table of log probabilities, and time goes with the votes.
    """

    def __init__(self, votes: Votes) -> None:
        self.votes, self.size = votes, votes.annotators
        several = np.bincount(votes.pair, minlength=len(votes.cluster)) >= 2
        keep = several[votes.pair]
        row = (np.cumsum(several) - 1)[votes.pair[keep]]
        column = votes.annotator[keep] * 3 + 1 - votes.label[keep]
        shape = (int(several.sum()), 3 * self.size)
        self.table = csr_array((np.ones(len(row)), (row, column)), shape=shape)
        self.cluster = votes.cluster[several]
        self.mean = np.concatenate([np.full(self.size, PRIOR_LOGIT), [np.log(PRIOR_SPREAD), np.log(PRIOR_TIE)]])
        self.precision = np.concatenate(
            [np.full(self.size, PRIOR_LOGIT_SD**-2), [PRIOR_SPREAD_SD**-2, PRIOR_TIE_SD**-2]]
        )

    def _tables(self, theta: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """Log prior mass (Q,), log probabilities (3A, Q) and their derivatives by logit eta, log spread and log nu."""
        eta, nu = _sigmoid_of(theta[: self.size])[:, None], np.exp(theta[-1])
        d, mass = _grid(float(np.exp(theta[-2])))
        top = np.abs(d) / 2  # taken out of every exponential, so that none overflows
        up, down, tie = np.exp(d / 2 - top), np.exp(-d / 2 - top), nu * np.exp(-top)
        z = up + down + tie
        first, second = eta * up + (1 - eta) * down, eta * down + (1 - eta) * up
        log_p, by_eta, by_spread, by_tie = (np.zeros((self.size, 3, len(d))) for _ in range(4))
        log_p[:, 0], log_p[:, 1], log_p[:, 2] = np.log(first), np.log(tie), np.log(second)
        log_p -= np.log(z)
        by_eta[:, 0] = eta * (1 - eta) * (up - down) / first
        by_eta[:, 2] = eta * (1 - eta) * (down - up) / second
        slope_z = (up - down) / z / 2
        by_spread[:, 0] = d * ((eta * up - (1 - eta) * down) / first / 2 - slope_z)
        by_spread[:, 1] = -d * slope_z
        by_spread[:, 2] = d * (((1 - eta) * up - eta * down) / second / 2 - slope_z)
        by_tie -= tie / z
        by_tie[:, 1] += 1
        flat = (3 * self.size, len(d))
        return np.log(mass), log_p.reshape(flat), by_eta.reshape(flat), by_spread.reshape(flat), by_tie.reshape(flat)

    def _posterior(self, table: csr_array, log_mass: Floats, log_p: Floats) -> tuple[Floats, Floats]:
        """(log likelihood (U,), posterior (U, Q)) of each pair's margin."""
        joint = table @ log_p
        joint += log_mass
        top = joint.max(axis=1, keepdims=True)
        np.exp(joint - top, out=joint)
        total = joint.sum(axis=1, keepdims=True)
        joint /= total
        return (top + np.log(total))[:, 0], joint

    def loss(self, theta: Floats) -> tuple[float, Floats]:
        log_mass, log_p, *slopes = self._tables(theta)
        value, gradient = 0.0, np.zeros_like(theta)
        expected = np.zeros_like(log_p)
        for rows in self._chunks():
            part = self.table[rows]
            likelihood, posterior = self._posterior(part, log_mass, log_p)
            value += float(likelihood.sum())
            expected += part.T @ posterior
        by_eta, by_spread, by_tie = ((expected * slope).sum(axis=1) for slope in slopes)
        gradient[: self.size] = by_eta.reshape(-1, 3).sum(axis=1)
        gradient[-2], gradient[-1] = by_spread.sum(), by_tie.sum()
        away = theta - self.mean
        value -= float((self.precision * away**2).sum() / 2)
        # Divided by the number of pairs, the optimiser's tolerances mean the same whatever the amount of data.
        scale = max(self.table.shape[0], 1)
        return -value / scale, -(gradient - self.precision * away) / scale

    def deviations(self, theta: Floats, *, free_spread: bool) -> Floats:
        """(A,) standard deviations of logit eta by H^-1 B H^-1, the prior counted in both as one more observation."""
        information, scores = self.information(theta)
        variance = (scores.T @ scores).toarray() + np.diag(self.precision)
        free = np.ones(len(theta), dtype=bool)
        free[-2] = free_spread
        bread = np.linalg.pinv(information[np.ix_(free, free)], hermitian=True)
        covariance = bread @ variance[np.ix_(free, free)] @ bread
        return np.sqrt(np.maximum(np.diag(covariance)[: self.size], 0.0))

    def information(self, theta: Floats) -> tuple[Floats, csr_array]:
        """(H, scores): the observed information with the prior's, (A+2, A+2), and the (G, A+2) scores of the clusters.

        Louis: what is observed is the complete-data information less the variance of the complete-data score.
        """
        log_mass, log_p, by_eta, by_spread, by_tie = self._tables(theta)
        size = self.size + 2
        pick = csr_array(
            (np.ones(3 * self.size), (np.arange(3 * self.size), np.repeat(np.arange(self.size), 3))),
            shape=(3 * self.size, self.size),
        )
        information = np.diag(self.precision)
        clusters = int(self.cluster.max()) + 1 if len(self.cluster) else 1
        scores = csr_array((clusters, size))
        curvature = self._curvature(theta)
        for rows in self._chunks():
            part = self.table[rows]
            _, posterior = self._posterior(part, log_mass, log_p)
            information -= _combine(self.size, part.T @ posterior, curvature)
            mean = csr_array((len(posterior), size))
            for q in range(posterior.shape[1]):
                others = csr_array(np.stack([part @ by_spread[:, q], part @ by_tie[:, q]], axis=1))
                at = csr_array(hstack([part.multiply(by_eta[:, q]) @ pick, others]))
                weighted = at.multiply(posterior[:, q : q + 1]).tocsr()
                information -= (at.T @ weighted).toarray()
                mean = mean + weighted
            information += (mean.T @ mean).toarray()
            number = np.arange(len(posterior))
            member = csr_array((np.ones(len(number)), (self.cluster[rows], number)), shape=(clusters, len(number)))
            scores = scores + member @ mean
        return information, scores

    def _chunks(self) -> list[slice]:
        return _slices(self.table.shape[0])

    def _curvature(self, theta: Floats) -> list[Floats]:
        """Second derivatives of the log probabilities: by (eta, eta), (eta, spread), (eta, nu), (spread, spread),
        (spread, nu), (nu, nu), each (3A, Q), by central differences of the analytic first ones."""
        step = 1e-5
        found = []
        for kind in range(3):
            move = np.zeros_like(theta)
            if kind == 0:
                move[: self.size] = step
            else:
                move[self.size + kind - 1] = step
            after, before = self._tables(theta + move)[2:], self._tables(theta - move)[2:]
            found.append([(a - b) / (2 * step) for a, b in zip(after, before, strict=True)])
        return [found[0][0], found[1][0], found[2][0], found[1][1], found[2][1], found[2][2]]


def _combine(size: int, expected: Floats, second: list[Floats]) -> Floats:
    """Expected complete-data second derivatives as an (A+2, A+2) matrix."""
    result = np.zeros((size + 2, size + 2))
    own = [(expected * curve).sum(axis=1) for curve in second]
    ee, es, et = (values.reshape(-1, 3).sum(axis=1) for values in own[:3])
    result[np.arange(size), np.arange(size)] = ee
    result[:size, -2] = result[-2, :size] = es
    result[:size, -1] = result[-1, :size] = et
    result[-2, -2], result[-1, -1] = own[3].sum(), own[5].sum()
    result[-2, -1] = result[-1, -2] = own[4].sum()
    return result


def _slices(rows: int, size: int = 50_000) -> list[slice]:
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]
