"""A fast slice of benchmarks/reward_training.py: both sides run, and a side that trains on something else is caught."""

from dataclasses import replace

import pytest

from benchmarks import reward_training as benchmark
from benchmarks.sides import Turn


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("reward")
    benchmark.write_model(found / "model", quick=True)
    return found


def tiny(name: str, **changes) -> benchmark.Case:
    [case] = [case for case in (*benchmark.TRAINING, benchmark.SCORING) if case.name == name]
    return replace(case, prompt=12, response=4, model="tiny", **changes)


def test_ours_trl_and_padded_rows_have_one_loss_at_every_step_and_all_are_measured(folder):
    rows = benchmark.training(tiny("k4", comparisons=1), folder, steps=3)
    assert [row.case.partition(": ")[2].partition("full: ")[2] for row in rows] == [
        "TRL",
        "TRL, CPU",
        "TRL, peak memory",
        "padded rows",
    ]
    assert all(row.ours > 0 and row.peer > 0 and row.ratio > 0 for row in rows)


def test_scorer_and_plain_loop_give_the_same_scores(folder):
    speed, memory = benchmark.scoring(tiny("scoring", comparisons=2), folder, steps=2)
    assert speed.ours > 0 and speed.peer > 0
    assert memory.unit == "GiB"


def test_a_side_with_another_loss_ends_the_benchmark(folder, monkeypatch):
    losses = {"ours": 0.7, "trl": 0.7, "rows": 0.7005}
    monkeypatch.setattr(
        benchmark,
        "side_by_side",
        lambda *_: {side: [Turn(1.0, 1.0, {}, 1, {"loss": loss})] * 2 for side, loss in losses.items()},
    )
    with pytest.raises(SystemExit, match=r"step 1 has loss 0.7, and with rows 0.7005"):
        benchmark.training(tiny("k4"), folder, 2)


def test_a_side_that_fails_says_why(tmp_path):
    with pytest.raises(SystemExit, match=r"(?s)rows ended early:.*There is no directory"):
        benchmark.side_by_side(tiny("k4"), tmp_path, ("rows",), 1)


def test_a_step_has_as_few_comparisons_as_make_eight_pairs():
    for case in benchmark.TRAINING:
        assert case.pairs >= 8
        assert (case.comparisons - 1) * case.pairs // case.comparisons < 8
        assert case.pairs % case.pairs_per_forward == 0
