"""SFT, KTO and the wider family of DPO through the loop that they share."""

from __future__ import annotations

import json
import math

import pytest
import torch

from rewardmodel.training.data import read_rankings
from rl.training.config import DPOConfig, KTOConfig, SFTConfig
from rl.training.objectives import demonstrated
from rl.training.preferences import standings
from rl.training.work import work
from runs.child import RunDir, Stopped, UserError
from tests.rewardmodel.worlds import easy_rows, row, write_dataset
from tests.rl.worlds import StopAfter, StopInside, events, result, weights, write_run

FAST = {
    "learning_rate": 1e-2,
    "epochs": 2,
    "comparisons_per_step": 4,
    "lora": {"rank": 4},
    "sampling": {"max_tokens": 6},
    "sample_prompts": 1,
    "sample_every": 0,
}
EVERY = [
    {"algorithm": "sft"},
    {"algorithm": "dpo"},
    {"algorithm": "dpo", "loss": "robust", "label_smoothing": 0.1},
    {"algorithm": "dpo", "loss": "simpo", "beta": 2.0},
    {"algorithm": "dpo", "loss": "orpo"},
    {"algorithm": "dpo", "sft_weight": 0.5},
    {"algorithm": "kto"},
]


def names(config):
    return "-".join(str(value) for value in config.values())


@pytest.fixture
def start(tmp_path, dataset, tiny):
    def write(config, name="run", data=None, **changes):
        inputs = {"dataset": data or dataset, "model": tiny, "adapter": None, "models_dir": None}
        return write_run(tmp_path / name, {**FAST, **config, **changes}, **inputs)

    return write


@pytest.mark.parametrize("config", EVERY, ids=names)
def test_the_held_out_loss_falls(start, config):
    directory = start(config, epochs=4, evaluate_every=1)
    work(RunDir(directory))
    held_out = [event["data"]["test_loss"] for event in events(directory) if "test_loss" in event["data"]]
    assert held_out[-1] < held_out[0]
    if config["algorithm"] != "sft":
        assert result(directory)["test"]["accuracy"]["value"] > 0.6


@pytest.mark.parametrize("config", EVERY, ids=names)
def test_eight_times_one_is_one_time_eight(start, config):
    whole, cut = (start(config, name, batch_tokens=tokens) for name, tokens in (("whole", 4096), ("cut", 16)))
    for directory in (whole, cut):
        work(RunDir(directory))
    for one, other in zip(events(whole), events(cut), strict=True):
        for name in ("loss", "test_loss", "grad_norm"):
            if name in one["data"]:
                assert one["data"][name] == pytest.approx(other["data"][name], rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("config", EVERY, ids=names)
def test_a_stopped_run_resumes_to_the_weights_it_would_have_had(start, config):
    changes = {"lora": {"rank": 4, "dropout": 0.1}, "checkpoint_every": 100, "save": "best", "evaluate_every": 1}
    straight, broken = (start(config, name, **changes) for name in ("straight", "broken"))
    work(RunDir(straight))
    with pytest.raises(Stopped):
        work(StopAfter(broken, 2))
    work(RunDir(broken))
    expected = weights(straight)
    assert all(torch.equal(expected[name], value) for name, value in weights(broken).items())
    assert result(straight)["test"] == result(broken)["test"]
    assert result(straight)["saved_step"] == result(broken)["saved_step"]


@pytest.mark.parametrize("looks", [1, 3])  # in the forward pass, in the backward pass
@pytest.mark.parametrize("config", [EVERY[0], EVERY[1], EVERY[6]], ids=names)
def test_a_run_stopped_inside_a_step_resumes_to_the_weights_it_would_have_had(start, config, looks):
    changes = {"lora": {"rank": 4, "dropout": 0.1}, "checkpoint_every": 100, "evaluate_every": 0}
    straight, broken = (start(config, name, **changes) for name in ("straight", "broken"))
    work(RunDir(straight))
    with pytest.raises(Stopped):
        work(StopInside(broken, steps=2, looks=looks))
    assert RunDir(broken).latest_checkpoint()[0] == 2
    work(RunDir(broken))
    expected = weights(straight)
    assert all(torch.equal(expected[name], value) for name, value in weights(broken).items())


@pytest.mark.parametrize("config", [EVERY[1], EVERY[6]], ids=names)
def test_before_the_first_step_policy_and_reference_agree(start, config):
    directory = start(config)
    work(RunDir(directory))
    first = events(directory)[0]["data"]
    assert (first["chosen_reward"], first["rejected_reward"]) == pytest.approx((0.0, 0.0), abs=1e-4)
    assert first["loss"] == pytest.approx(math.log(2) if config["algorithm"] == "dpo" else 0.5, abs=1e-4)
    if config["algorithm"] == "kto":
        assert first["kl_baseline"] == pytest.approx(0.0, abs=1e-4)


def test_losses_without_reference_never_ask_for_one(start):
    for number, config in enumerate((EVERY[0], EVERY[3], EVERY[4])):
        directory = start(config, f"run{number}")
        work(RunDir(directory))
        assert not list(directory.glob("*reference.json"))


def test_sft_learns_the_best_response_and_what_people_wrote(tmp_path, start):
    rows = easy_rows(8, 2)
    for each in rows[:4]:
        each["responses"].append(
            {"id": "9", "text": "corrected", "generator": "g", "is_edit": True, "edited_from": "0"}
        )
        for ranking in each["rankings"]:
            ranking["ranks"].append(None)
        each["rankings"].append({"ranks": [2, None, None, 1], "weight": 1.0, "edit": True})
    data = write_dataset(tmp_path / "edited", rows)
    comparisons = read_rankings(data).train

    def chosen(which):
        return [demonstrated(each, SFTConfig(responses=which)) for each in comparisons]

    assert chosen("edited_or_best") == [[3]] * 4 + [[2]] * 4
    assert chosen("edited") == [[3]] * 4 + [[]] * 4
    directory = start({"algorithm": "sft", "responses": "edited"}, data=data)
    work(RunDir(directory))
    assert result(directory)["comparisons"] == {"train": 4, "test": 0}
    assert result(directory)["test"] is None


def test_sft_of_two_equal_best_responses_teaches_neither(tmp_path, start):
    data = write_dataset(tmp_path / "tied", [row("1", "Q", ["a", "b", "c"], [[1, 1, 2]])])
    with pytest.raises(UserError, match="single best response"):
        work(RunDir(start({"algorithm": "sft"}, data=data)))


def test_standings_are_the_share_of_comparisons_won(tmp_path):
    [comparison] = read_rankings(
        write_dataset(tmp_path / "data", [row("1", "Q", ["a", "b", "c", "d"], [[1, 2, 3, None], [1, 2, 2, None]])])
    ).train
    # a beats both twice; b beats c once and ties once: (0 + 0 + 1 + 0.5) / 4; c the rest
    assert standings(comparison, {}) == [1.0, pytest.approx(0.375), pytest.approx(0.125), None]


def test_kto_needs_responses_to_other_prompts(tmp_path, start):
    data = write_dataset(tmp_path / "one", [row("1", "Q", ["a", "b"], [[1, 2]])])
    with pytest.raises(UserError, match="only one prompt"):
        work(RunDir(start({"algorithm": "kto"}, data=data)))


def test_kto_weighs_the_two_labels_apart(start):
    heavy = start({"algorithm": "kto", "desirable_weight": 4.0}, "heavy", epochs=1)
    even = start({"algorithm": "kto"}, "even", epochs=1)
    for directory in (heavy, even):
        work(RunDir(directory))
    # Before anything is learnt a response costs half its weight, and each comparison has a good and a bad one.
    assert events(even)[0]["data"]["loss"] == pytest.approx(0.5, abs=1e-4)
    assert events(heavy)[0]["data"]["loss"] == pytest.approx(1.25, abs=1e-4)


def test_the_weights_with_the_lowest_held_out_loss_are_saved_if_that_is_wanted(start):
    config = {"algorithm": "dpo", "save": "best", "epochs": 6, "learning_rate": 0.1, "evaluate_every": 1}
    directory = start(config)
    work(RunDir(directory))
    losses = {event["step"]: event["data"]["test_loss"] for event in events(directory) if "test_loss" in event["data"]}
    found = result(directory)
    assert found["test"]["loss"] == pytest.approx(min(losses.values()))
    assert losses[found["saved_step"]] == min(losses.values())
    assert json.loads((directory / "output" / "policy.json").read_text())["step"] == found["saved_step"]


def test_every_objective_has_defaults_that_are_its_papers():
    assert DPOConfig().beta == KTOConfig().beta == 0.1
    assert (KTOConfig().desirable_weight, KTOConfig().undesirable_weight) == (1.0, 1.0)
