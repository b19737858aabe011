"""Figures that others published of real judgements, computed by our functions. The table of docs/agreement.md is from
here."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from annotate.quality.agreement import agreement, cohen_kappa_of, krippendorff_alpha
from annotate.quality.judged import judged
from annotate.quality.reliability import fit_reliability, votes_of

RANKS = {"first": (1, 2), "tie": (1, 1), "second": (2, 1)}


def lines(path: Path) -> Iterator[dict]:
    with open(path, encoding="utf-8") as file:
        yield from map(json.loads, file)


def test_pandalm_kappas(data_folder):
    """999 pairs, three annotators, labels 0 tie, 1, 2: Cohen's kappa of each two."""
    rows = json.loads((data_folder / "pandalm_testset" / "testset-v1.json").read_text(encoding="utf-8"))
    labels = [[row[f"annotator{k}"] for row in rows] for k in (1, 2, 3)]
    found = [cohen_kappa_of(labels[a], labels[b]) for a, b in ((0, 1), (0, 2), (1, 2))]
    assert [round(kappa.value, 3) for kappa in found] == [0.852, 0.879, 0.862]
    assert all(kappa.n == 999 and kappa.low < kappa.value < kappa.high for kappa in found)
    print("PandaLM", [(round(k.value, 3), round(k.low, 3), round(k.high, 3)) for k in found])


def test_llmfao_agreement_and_alpha(data_folder):
    """8,931 crowd votes (left, tie, right) of 124 workers on 2,139 pairs; units are the pairs with two votes or
    more."""
    outcome = {"left": "first", "tie": "tie", "right": "second"}
    with open(data_folder / "llmfao" / "crowd-comparisons.csv", encoding="utf-8", newline="") as file:
        votes = [
            (row["id"], row["worker"], dict(enumerate(RANKS[outcome[row["winner"]]]))) for row in csv.DictReader(file)
        ]
    table = judged(votes)
    counts = table.unit_counts()
    raw = agreement(counts, table.cluster, ties=True)
    alpha = krippendorff_alpha(counts, table.cluster, symmetric=False)
    assert (round(raw.value, 2), round(alpha.value, 2)) == (0.53, 0.29)
    assert (len(votes), len(table.annotators), table.comparisons, alpha.n) == (8931, 124, 2139, 2124)
    # Left and right were drawn at random, so entering each pair both ways round changes nothing but noise.
    assert krippendorff_alpha(counts, table.cluster).value == pytest.approx(alpha.value, abs=0.002)
    strict = agreement(counts, table.cluster, ties=False)
    ordinal = krippendorff_alpha(counts, table.cluster, level="ordinal", symmetric=False)
    print("LLMFAO", raw, strict, alpha, ordinal)


def test_mt_bench_agreement_of_people_and_of_gpt4_with_people(data_folder):
    """1,751 votes of 65 judges; a unit is a question, a turn and two models, whichever was called A."""
    people: dict[tuple, dict[str, dict[str, int]]] = {}
    machine: dict[tuple, dict[str, int]] = {}
    for row in lines(data_folder / "mt_bench_human" / "judgments.jsonl"):
        unit = (row["question_id"], row["turn"], *sorted((row["model_a"], row["model_b"])))
        for who, winner in ((row["judge"], row["winner"]), ("gpt-4", row["gpt4_winner"])):
            ranks = RANKS[{"model_a": "first", "model_b": "second"}.get(winner, "tie")]
            said = dict(zip((row["model_a"], row["model_b"]), ranks, strict=True))
            if who == "gpt-4":
                machine[unit] = said
            else:
                people.setdefault(unit, {})[who] = said
    table = judged((unit, who, said) for unit, given in people.items() for who, said in given.items())
    found = agreement(table.unit_counts(), table.cluster, ties=False)
    assert round(found.value, 2) == 0.83
    assert len(table.annotators) == 65
    # GPT-4 against each person: couples of one vote of either, so nothing of people among themselves.
    pairs = judged(
        (
            ((unit, who), name, ranks)
            for unit, given in people.items()
            for who, said in given.items()
            for name, ranks in (("gpt-4", machine[unit]), ("person", said))
        ),
        clusters={(unit, who): unit for unit, given in people.items() for who in given},
    )
    calibration = agreement(pairs.unit_counts(), pairs.cluster, ties=False)
    assert 0.8 < calibration.value < 0.95
    print("MT-Bench", found, agreement(table.unit_counts(), table.cluster, ties=True), "GPT-4", calibration)


@pytest.mark.slow
def test_ukpconvarg_reliability_against_mace_competence(data_folder):
    """Rank correlation of our reliabilities with the competence that MACE gave the same workers, from four times the
    data."""
    folder = data_folder / "ukpconvarg1"
    competence = {row["worker"]: row["mace_competence"] for row in lines(folder / "workers.jsonl")}
    places = {"a1": "first", "equal": "tie", "a2": "second"}
    table = judged(
        ((row["topic"], row["pair"]), row["worker"], dict(zip((row["a1"], row["a2"]), RANKS[places[row["value"]]],
        strict=True))) for row in lines(folder / "judgments_0.jsonl")
    )  # fmt: skip
    votes, workers = votes_of(table)
    fit = fit_reliability(votes)
    assert fit.converged
    ours = np.array([person.value for person in fit.annotators])
    theirs = np.array([competence[worker] for worker in workers])
    judged_by = np.bincount(votes.annotator, minlength=len(workers))
    found = {
        least: (
            int((judged_by >= least).sum()),
            spearmanr(ours[judged_by >= least], theirs[judged_by >= least]).statistic,
        )
        for least in (1, 10, 20, 50)
    }
    print("UKPConvArg1", found)
    assert found[1][0] == len(workers) == 2286
    assert found[1][1] > 0.38 and found[20][1] > 0.45 and found[50][1] > 0.55
