"""The report from plain records: what is in it, who is found out, and what it leaves out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta

import numpy as np
import pytest

from annotate.quality.collected import Collected, ComparisonRecord, JudgementRecord
from annotate.quality.report import quality_report
from annotate.quality.report_people import PAIRS, reliabilities, strict_pairs, wins_by_place

MONDAY = date(2026, 9, 7)


def said(annotator: int, *ranks: int, source: str = "human", day: date = MONDAY, **fields) -> JudgementRecord:
    return JudgementRecord(annotator, day, source, {"helpfulness": list(ranks)}, **fields)


def compared(pk: int, *judgements: JudgementRecord, prompt: int | None = None, **fields) -> ComparisonRecord:
    size = len(next(iter(judgements[0].rankings.values())))
    given = {"tags": [], "lengths": [100] * size, "words": 100.0, **fields}
    return ComparisonRecord(id=pk, prompt=pk if prompt is None else prompt, judgements=judgements, **given)


def group(*records: ComparisonRecord, name: str = "human", **fields):
    return quality_report(records, dimensions=["helpfulness"], **fields)["groups"][name]


def crew(comparisons: int, people: dict[int, float], seed: int = 0, **fields) -> Iterator[ComparisonRecord]:
    """People {id: how much of the truth they see}, three on each comparison of four; 7 clicks the first and is fast."""
    random = np.random.default_rng(seed)
    for c in range(comparisons):
        truth = random.normal(size=4) * 2
        judgements = []
        for who in random.choice(list(people), 3, replace=False).tolist():
            places = random.permutation(4) + 1
            seen = people[who] * truth + 0.5 * random.normal(size=4) + (5 * (places == 1) if who == 7 else 0)
            ranks = np.empty(4, dtype=int)
            ranks[np.argsort(-seen)] = [1, 2, 3, 4]
            judgements.append(
                said(
                    who,
                    *ranks.tolist(),
                    day=MONDAY + timedelta(days=c // 10),
                    places=places.tolist(),
                    seconds=(2.0 if who == 7 else 20.0) * random.lognormal(0, 0.2),
                )
            )
        yield compared(c, *judgements, tags=["code"] if c % 2 else ["chat"])


@pytest.fixture(scope="module")
def report():
    people = {1: 1.0, 2: 1.0, 3: 1.0, 4: 1.0, 5: 0.0, 6: -1.0, 7: 0.5}
    return quality_report(
        crew(150, people),
        dimensions=["helpfulness", "harmlessness"],
        gold={1: [1.0] * 9, 6: [0.1] * 9},
        skips={1: {"unclear": 2}, 2: {"unclear": 1, "language": 4}},
    )


def test_the_noisy_the_contrary_and_the_hasty_are_found_out_and_nobody_else(report):
    people = report["groups"]["human"]["annotators"]
    flags = {int(key): person["flags"] for key, person in people.items()}
    assert "random" in flags[5]
    assert "against" in flags[6] and "gold" in flags[6]
    assert "fast" in flags[7] and "first" in flags[7]
    assert [flags[who] for who in (1, 2, 3, 4)] == [[], [], [], []]
    assert people["5"]["weight"] < 0.2 and people["6"]["weight"] == 0 < people["1"]["weight"]


def test_it_is_json_all_through(report):
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_counts_and_skips(report):
    assert report["counts"] == {"judgements": 450, "sources": {"human": 450}, "comparisons": 150, "several": 150}
    assert report["skips"] == {"language": 4, "unclear": 3}
    assert report["groups"]["human"]["annotators"]["2"]["skips"] == 5


def test_every_statistic_stands_beside_its_chance(report):
    [dimension] = report["groups"]["human"]["dimensions"]  # nobody was asked about harmlessness
    found = {row["key"]: row for row in dimension["statistics"]}
    assert list(found) == [
        "strict", "ties", "alpha", "alpha_ordinal", "fleiss", "cohen", "cohen_linear", "tau", "w",
    ]  # fmt: skip
    assert all(row["low"] < row["value"] < row["high"] for row in found.values())
    assert (found["strict"]["chance"], found["alpha"]["chance"]) == (0.5, 0.0)
    assert found["w"]["chance"] == pytest.approx(1 / 3)


def test_slices_add_up(report):
    [dimension] = report["groups"]["human"]["dimensions"]
    whole = dimension["statistics"][0]["n"]
    for name in ("tag", "week"):
        assert sum(row["n"] for row in dimension["slices"][name]) == whole
    assert {row["name"] for row in dimension["slices"]["tag"]} == {"code", "chat"}
    assert dimension["slices"]["week"][0]["name"] == "2026-09-07"
    assert dimension["slices"]["strength"] == []  # nobody said one


def test_position_and_time(report):
    human = report["groups"]["human"]
    assert human["places"]["chance"] == 0.25 and len(human["places"]["places"]) == 4
    assert sum(place["value"] for place in human["places"]["places"]) == pytest.approx(1.0)
    assert human["places"]["places"][0]["value"] > 0.3  # the hasty one's doing
    assert sum(human["seconds"]["counts"]) == human["seconds"]["n"] == 450


# small ones, by hand --------------------------------------------------------------------------------------------------


def test_strength_is_summed_over_steps_and_shared_ranks_count_once():
    """Ranks 1 2 2 with strength 1 below the best and 2 said by one of the two seconds, below whom nobody is."""
    found = group(
        compared(1, said(1, 1, 2, 3, strengths={"helpfulness": [1, 1, 0]}), said(2, 1, 2, 3)),
        compared(2, said(1, 1, 2, 3, strengths={"helpfulness": [1, 1, 0]}), said(2, 3, 2, 1)),
    )["dimensions"][0]["slices"]["strength"]
    rows = {row["name"]: (row["value"], row["n"]) for row in found}
    # Of annotator 1: two steps of strength 1 and one pair two steps apart in each comparison; of annotator 2 unsaid.
    assert rows == {"0": (0.5, 6), "1": (0.5, 4), "2": (0.5, 2)}


def test_consensus_by_hand():
    found = group(
        compared(1, said(1, 1, 2), said(2, 1, 2)),
        compared(2, said(1, 1, 2), said(2, 2, 1)),
        compared(3, said(1, 1, 1), said(2, 1, 1)),
    )["dimensions"][0]["consensus"]
    assert found["unanimous"] == pytest.approx(2 / 3) and found["contested"] == pytest.approx(1 / 3)
    assert found["even"] == pytest.approx(1 / 3)
    assert found["decided"] == pytest.approx(1 / 3)


def test_people_and_simulated_annotators_are_told_apart_and_imports_are_only_counted():
    records = [
        compared(
            c,
            said(1, 1, 2), said(2, 1, 2),
            said(8, 2, 1, source="simulated"), said(9, 2, 1, source="simulated"),
            said(5, 2, 1, source="import"),
        )
        for c in range(10)
    ]  # fmt: skip
    found = quality_report(records, dimensions=["helpfulness"])
    assert found["counts"]["sources"] == {"human": 20, "simulated": 20, "import": 10}
    assert set(found["groups"]) == {"human", "simulated"}
    assert set(found["groups"]["human"]["annotators"]) == {"1", "2"}
    for one in found["groups"].values():  # nobody's agreement is spoilt by the other kind
        assert one["dimensions"][0]["statistics"][0]["value"] == 1.0


def test_nothing_and_one_judgement_make_a_report_too():
    assert quality_report([], dimensions=["helpfulness"])["groups"] == {}
    alone = group(compared(1, said(1, 1, 2)))
    assert alone["dimensions"][0]["units"] == 0
    assert all(row["value"] is None for row in alone["dimensions"][0]["statistics"])
    assert alone["annotators"]["1"]["agreement"] is None and alone["annotators"]["1"]["flags"] == []
    empty = group(compared(1, said(1, 0, 0)))
    assert empty["dimensions"] == []
    imports = quality_report([compared(1, said(1, 1, 2, source="import"))], dimensions=["helpfulness"])
    assert imports["groups"] == {} and imports["counts"]["judgements"] == 1


def test_all_bad_is_a_share_of_judgements():
    found = group(compared(1, said(1, 1, 1, all_bad=True), said(2, 1, 2)))
    assert found["all_bad"]["value"] == 0.5


def test_comparisons_of_different_sizes_share_a_report():
    found = group(compared(1, said(1, 1, 2), said(2, 1, 2)), compared(2, said(1, 1, 2, 3), said(2, 1, 2, 3)))
    assert found["dimensions"][0]["units"] == 4
    assert found["dimensions"][0]["statistics"][0]["value"] == 1.0


def collected(*records: ComparisonRecord) -> Collected:
    data = Collected()
    for record in records:
        data.add(record, record.judgements, ["helpfulness"])
    data.close()
    return data


def test_a_win_is_shared_by_those_who_share_the_best_rank():
    rows, won, chance = wins_by_place(
        collected(
            compared(1, said(1, 2, 1, 1, places=[1, 2, 3])),
            compared(2, said(1, 1, 1, 1, places=[1, 2, 3])),  # all tied: no win
            compared(3, said(1, 1, 2, 3)),  # nobody knows how it was shown
            compared(4, said(1, 1, 2, 0, places=[3, 1, 2])),
        )
    )
    assert rows.tolist() == [0, 3]
    assert won.tolist() == [[0, 0.5, 0.5], [0, 0, 1]]
    assert chance.tolist() == [pytest.approx(1 / 3), 0.5]


def test_length_pairs_are_strict_and_signed():
    rows, ratio, won = strict_pairs(collected(compared(1, said(1, 2, 1, 1), lengths=[10, 20, 40])))
    assert rows.tolist() == [0, 0]
    assert np.exp(ratio).tolist() == [pytest.approx(0.5), pytest.approx(0.25)]
    assert won.tolist() == [0.0, 0.0]


def test_too_many_pairs_are_sampled_and_the_report_says_so(monkeypatch):
    data = collected(*crew(200, {1: 1.0, 2: 1.0, 3: 1.0, 6: -1.0}))
    whole, note = reliabilities(data)
    assert (note["sampled"], note["pairs"], note["of"]) == (False, 1200, 1200) and note["of"] < PAIRS
    monkeypatch.setattr("annotate.quality.report_people.PAIRS", 600)
    part, note = reliabilities(data)
    assert note["sampled"] and 400 < note["pairs"] < 800 and note["of"] == 1200
    assert [person.high < 0.5 for person in part] == [person.high < 0.5 for person in whole]


@pytest.mark.parametrize("seed", range(40))
def test_no_small_world_breaks_the_report(seed):
    """One to four people, one to six comparisons of two to five responses, with ties, gaps, and nothing known of
    display or time: every figure is a number or None."""
    random = np.random.default_rng(seed)
    records = []
    for c in range(random.integers(1, 7)):
        size = int(random.integers(2, 6))
        people = random.choice(4, random.integers(1, 5), replace=False).tolist()
        judgements = [
            said(
                who,
                *random.integers(0, 1 + random.integers(1, 4), size=size).tolist(),
                places=(random.permutation(size) + 1).tolist() if random.random() < 0.5 else (),
                seconds=float(random.exponential(20)) if random.random() < 0.5 else None,
                strengths={"helpfulness": random.integers(0, 4, size=size).tolist()} if random.random() < 0.5 else {},
            )
            for who in people
        ]
        lengths = random.integers(0, 50, size=size).tolist()
        records.append(compared(c, *judgements, prompt=c // 2, lengths=lengths, words=float(random.integers(0, 90))))
    found = quality_report(records, dimensions=["helpfulness"])
    assert json.loads(json.dumps(found, allow_nan=False)) == found
