import json
import math

import pytest
import torch

from rl.training.config import DPOConfig
from rl.training.work import work
from runs.child import RunDir, Stopped, UserError
from tests.rewardmodel.worlds import easy_rows, row, write_dataset
from tests.rl.worlds import StopAfter, events, result, weights, write_run

FAST = {
    "algorithm": "dpo",
    "learning_rate": 1e-2,
    "epochs": 2,
    "comparisons_per_step": 4,
    "lora": {"rank": 4},
    "sampling": {"max_tokens": 6},
    "sample_prompts": 1,
}


def start(tmp_path, dataset, tiny, name="run", **changes):
    inputs = {"dataset": dataset, "model": tiny, "adapter": changes.pop("adapter", None), "models_dir": None}
    return write_run(tmp_path / name, {**FAST, **changes}, **inputs)


def test_training_learns_to_prefer_what_annotators_preferred(tmp_path, dataset, tiny):
    directory = start(tmp_path, dataset, tiny, epochs=6)
    work(RunDir(directory))
    losses = [event["data"]["loss"] for event in events(directory) if "loss" in event["data"]]
    assert losses[0] == pytest.approx(math.log(2), abs=1e-4)
    assert losses[-1] < 0.6
    found = result(directory)["test"]
    assert found["accuracy"]["value"] > 0.8
    assert found["accuracy"]["n"] == 6 * 3 and found["accuracy"]["prompts"] == 6
    assert found["chosen_reward"] > found["rejected_reward"]


def test_the_saved_policy_loads_in_peft_and_gives_the_log_probs_of_training(tmp_path, dataset, tiny):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    directory = start(tmp_path, dataset, tiny)
    work(RunDir(directory))
    output = directory / "output"
    card = json.loads((output / "policy.json").read_text())
    assert (card["algorithm"], card["base_model"], card["dimensions"]) == ("dpo", str(tiny), ["helpfulness"])
    assert json.loads((output / "adapter_config.json").read_text())["base_model_name_or_path"] == str(tiny)
    tokenizer = AutoTokenizer.from_pretrained(output)
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny), output)
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hm"}], add_generation_prompt=True, return_dict=False
    )
    with torch.no_grad():
        adapted = model(torch.tensor([ids])).logits
        with model.disable_adapter():
            assert not torch.allclose(adapted, model(torch.tensor([ids])).logits)


@pytest.mark.parametrize("loss", [{"loss": "ipo"}, {"loss": "hinge"}, {"label_smoothing": 0.1}, {"margin_scale": 0.5}])
def test_every_loss_moves_the_margin_up(tmp_path, dataset, tiny, loss):
    directory = start(tmp_path, dataset, tiny, **loss)
    work(RunDir(directory))
    assert result(directory)["test"]["reward_margin"] > 0


def test_one_comparison_eight_times_is_eight_at_once(tmp_path, dataset, tiny):
    """How a step is cut into forwards changes its memory and not its result."""
    whole, cut = (
        start(tmp_path, dataset, tiny, name, comparisons_per_step=8, batch_tokens=tokens, sample_every=0)
        for name, tokens in (("whole", 4096), ("cut", 16))
    )
    for directory in (whole, cut):
        work(RunDir(directory))
    for one, other in zip(events(whole), events(cut), strict=True):
        for name in ("loss", "test_loss", "grad_norm"):
            if name in one["data"]:
                assert one["data"][name] == pytest.approx(other["data"][name], rel=1e-3, abs=1e-5)


def test_a_stopped_run_resumes_to_the_weights_it_would_have_had(tmp_path, dataset, tiny):
    changes = {"lora": {"rank": 4, "dropout": 0.1}, "checkpoint_every": 100}
    straight, broken = (start(tmp_path, dataset, tiny, name, **changes) for name in ("straight", "broken"))
    work(RunDir(straight))
    with pytest.raises(Stopped):
        work(StopAfter(broken, 2))
    assert [path.name for path in (broken / "checkpoints").iterdir()] == ["step-00000002"]
    work(RunDir(broken))
    assert events(broken, "resumed")[0]["step"] == 2
    expected = weights(straight)
    assert all(torch.equal(expected[name], value) for name, value in weights(broken).items())
    assert result(straight)["test"] == result(broken)["test"]


def test_full_training_saves_a_whole_model(tmp_path, dataset, tiny):
    from transformers import AutoModelForCausalLM

    directory = start(tmp_path, dataset, tiny, method="full", learning_rate=1e-3)
    work(RunDir(directory))
    before = AutoModelForCausalLM.from_pretrained(tiny).state_dict()
    after = AutoModelForCausalLM.from_pretrained(directory / "output").state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert result(directory)["test"]["reward_margin"] > 0


def test_training_on_from_an_adapter_is_held_to_that_adapter(tmp_path, dataset, tiny):
    first = start(tmp_path, dataset, tiny, "first")
    work(RunDir(first))
    second = start(tmp_path, dataset, tiny, "second", adapter=first / "output", lora={"rank": 2})
    work(RunDir(second))
    rank = json.loads((first / "output" / "policy.json").read_text())["adapter_rank"]
    assert rank > 2 and f"rank {rank}, which is that of the adapter" in (second / "output" / "README.md").read_text()
    losses = [event["data"]["loss"] for event in events(second) if "loss" in event["data"]]
    assert losses[0] == pytest.approx(math.log(2), abs=1e-4)
    before, after = weights(first), weights(second)
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_reference_log_probs_are_kept_and_asked_for_once(tmp_path, dataset, tiny):
    directory = start(tmp_path, dataset, tiny)
    work(RunDir(directory))
    kept = json.loads((directory / "train-reference.json").read_text())
    assert len(kept["logprobs"]) == 12 and all(len(each) == 3 for each in kept["logprobs"])
    # Altered figures that still belong to this dataset are believed: so nobody asked again.
    kept["logprobs"] = [[value - 1 for value in each] for each in kept["logprobs"]]
    (directory / "train-reference.json").write_text(json.dumps(kept))
    for path in (directory / "checkpoints").iterdir():
        path.rename(directory / "old")
    (directory / "events.jsonl").unlink()
    work(RunDir(directory))
    chosen = events(directory)[0]["data"]["chosen_reward"]
    assert chosen == pytest.approx(DPOConfig().beta * 1.0, abs=1e-4)


def test_dimension_weights_decide_between_opposite_dimensions(tmp_path, dataset_of_two, tiny):
    directory = start(tmp_path, dataset_of_two, tiny, dimension_weights={"harmlessness": 1.0}, epochs=4)
    work(RunDir(directory))
    assert result(directory)["dimensions"] == ["harmlessness"]
    assert result(directory)["test"]["accuracy"]["value"] > 0.6


def test_samples_of_the_same_held_out_prompt_are_shown_at_intervals(tmp_path, dataset, tiny):
    directory = start(tmp_path, dataset, tiny, sample_every=3)
    work(RunDir(directory))
    shown = events(directory, "sample")
    assert [event["step"] for event in shown] == [0, 3, 6]
    assert len({event["data"]["prompt"] for event in shown}) == 1
    assert shown[0]["data"]["prompt"].startswith("Question")


def test_a_loss_that_is_not_a_number_stops_the_run_and_names_the_comparison(tmp_path, dataset, tiny):
    directory = start(tmp_path, dataset, tiny, checkpoint_every=1)
    with pytest.raises(Stopped):
        work(StopAfter(directory, 2))
    path = directory / "train-reference.json"
    kept = json.loads(path.read_text())
    kept["logprobs"][5][0] = math.nan
    path.write_text(json.dumps(kept))
    with pytest.raises(UserError, match=r"is not a number, on comparisons 5\. The checkpoint of step \d+ is kept"):
        work(RunDir(directory))
    assert list((directory / "checkpoints").iterdir())
    assert not (directory / "result.json").exists()


def test_ties_teach_only_with_soft_labels(tmp_path, tiny):
    tied = write_dataset(tmp_path / "tied", [row("1", "Q", ["a", "b"], [[1, 1]]), row("2", "R", ["a", "b"], [[1, 2]])])
    directory = start(tmp_path, tied, tiny, soft_labels=False)
    work(RunDir(directory))
    assert result(directory)["comparisons"] == {"train": 1, "test": 0}
    assert result(directory)["test"] is None


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "is empty"),
        ([{**each, "split": "test"} for each in easy_rows(1, 0)], "train split"),
        ([row("1", "Q", ["a", "b"], [[1, 1]])], "no preference"),
    ],
)
def test_a_dataset_without_a_train_pair_is_refused_before_the_model_loads(tmp_path, tiny, rows, message):
    directory = start(tmp_path, write_dataset(tmp_path / "data", rows), tmp_path / "no model")
    with pytest.raises(UserError, match=message):
        work(RunDir(directory))


def test_an_unknown_dimension_is_refused(tmp_path, dataset, tiny):
    directory = start(tmp_path, dataset, tiny, dimension_weights={"charm": 1.0})
    with pytest.raises(UserError, match="charm"):
        work(RunDir(directory))


def test_what_is_not_a_model_is_refused(tmp_path, dataset):
    with pytest.raises(UserError, match="model"):
        work(RunDir(start(tmp_path, dataset, tmp_path / "nowhere")))


def test_an_invalid_configuration_names_the_setting(tmp_path, dataset, tiny):
    with pytest.raises(UserError, match=r"dpo\.beta"):
        work(RunDir(start(tmp_path, dataset, tiny, beta=-1)))


def test_both_dimensions_of_a_comparison_share_one_forward(tmp_path, dataset_of_two, tiny):
    """Opposite dimensions of equal weight cancel: every edge is pulled both ways."""
    directory = start(tmp_path, dataset_of_two, tiny, epochs=1)
    work(RunDir(directory))
    assert result(directory)["comparisons"] == {"train": 12, "test": 6}
    assert events(directory)[0]["data"]["grad_norm"] == pytest.approx(0.0, abs=1e-4)
