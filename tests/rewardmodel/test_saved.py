"""A finished run: the directory loads in plain transformers and its numbers are what they say they are."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from rewardmodel.training.data import read_rankings, sha256_of
from rewardmodel.training.run import train_reward_model
from rewardmodel.training.scoring import load_scorer
from runs.child import EXIT_STOPPED, EXIT_USER, RunDir, Stopped, UserError
from tests.rewardmodel.worlds import easy_rows, events, write_dataset, write_run

CONFIG = {
    "learning_rate": 1e-2,
    "epochs": 4,
    "comparisons_per_step": 4,
    "lora": {"rank": 4, "alpha": 8.0},
    "dtype": "float32",
}
CONVERSATIONS = [
    ([{"role": "user", "content": "Why?"}], ["yes yes", "", "no zzz no, and at some length besides"]),
    (
        [
            {"role": "user", "content": "Tell me of 你好."},
            {"role": "assistant", "content": "A greeting."},
            {"role": "user", "content": "More."},
        ],
        ["It means hello.", "x"],
    ),
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, dataset_of_two, tiny) -> Path:
    directory = write_run(tmp_path_factory.mktemp("runs") / "1", dataset_of_two, tiny, CONFIG)
    train_reward_model(RunDir(directory))
    return directory


@pytest.fixture(scope="module")
def plain(finished):
    """What a user who has nothing but transformers loads."""
    folder = finished / "output"
    return AutoModelForSequenceClassification.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


def plain_rows(plain) -> list[list[int]]:
    model, tokenizer = plain
    rows = []
    for messages, responses in CONVERSATIONS:
        prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        for response in responses:
            ids = tokenizer(response, add_special_tokens=False)["input_ids"]
            rows.append([*prompt, *ids, model.config.eos_token_id])
    return rows


def ours(finished) -> torch.Tensor:
    scores = load_scorer(finished / "output").scores(CONVERSATIONS)
    return torch.tensor([row for rows in scores for row in rows])


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_plain_transformers_gives_our_scores(finished, plain, batch, side):
    model, tokenizer = plain
    tokenizer.padding_side = side
    rows = plain_rows(plain)
    scores = []
    with torch.no_grad():
        for start in range(0, len(rows), batch):
            inputs = tokenizer.pad({"input_ids": rows[start : start + batch]}, return_tensors="pt")
            scores.append(model(**inputs).logits)
    torch.testing.assert_close(torch.cat(scores), ours(finished), atol=1e-5, rtol=0)


def test_the_pad_token_is_not_the_end_token(plain):
    model, tokenizer = plain
    assert model.config.pad_token_id == tokenizer.pad_token_id != tokenizer.eos_token_id


@pytest.mark.parametrize("batch_tokens", [16, 150, 100_000])
def test_scores_do_not_depend_on_how_they_are_batched(finished, batch_tokens):
    scorer = load_scorer(finished / "output")
    alone = [scorer.scores([(messages, [text])])[0][0] for messages, texts in CONVERSATIONS for text in texts]
    together = [row for rows in scorer.scores(CONVERSATIONS, batch_tokens=batch_tokens) for row in rows]
    torch.testing.assert_close(torch.tensor(together), torch.tensor(alone), atol=1e-5, rtol=0)


def test_the_directory_holds_safetensors_and_no_trace_of_our_code(finished):
    folder = finished / "output"
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "reward.json"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".py"))]
    settings = json.loads((folder / "config.json").read_text())
    assert settings["architectures"] == ["LlamaForSequenceClassification"]
    assert settings["id2label"] == {"0": "harmlessness", "1": "helpfulness"}
    assert "plumbline" not in json.dumps(settings)
    assert not [key for key in load_file(folder / "model.safetensors") if "lora" in key or "lm_head" in key]


def test_rewards_of_the_datasets_responses_have_mean_zero(finished, dataset_of_two):
    rankings = read_rankings(dataset_of_two)
    conversations = [(item.prompt, item.responses) for item in rankings.train + rankings.test]
    scorer = load_scorer(finished / "output")
    rewards = torch.tensor(scorer.rewards(conversations)).flatten(0, 1)
    scores = torch.tensor(scorer.scores(conversations)).flatten(0, 1)
    torch.testing.assert_close(rewards.mean(dim=0), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(rewards, scores - torch.tensor(scorer.shift))
    assert abs(scores.mean()) > 1e-3


def test_the_result_reports_what_was_saved(finished, dataset_of_two):
    result = json.loads((finished / "result.json").read_text())
    rankings = read_rankings(dataset_of_two)
    assert result["comparisons"] == {"train": 12, "test": 6, "train_measured": 12}
    assert result["steps"] == 12
    scores = load_scorer(finished / "output").scores([(item.prompt, item.responses) for item in rankings.test])
    for column, dimension in enumerate(rankings.dimensions):
        right = total = 0
        for comparison, rows in zip(rankings.test, scores, strict=True):
            for edge in comparison.edges[dimension]:
                better, worse = (edge.i, edge.j) if edge.p > 0.5 else (edge.j, edge.i)
                right += rows[better][column] > rows[worse][column]
                total += 1
        found = result["accuracy"][dimension]
        assert (found["n"], found["prompts"]) == (total, 6)
        assert found["value"] == pytest.approx(right / total)
        assert found["low"] < found["value"] or found["value"] == 0
        assert 0 <= result["baseline_longer"][dimension]["value"] <= 1
        assert result["train_accuracy"][dimension]["value"] > 0.9
    assert result["loss"] > 0 and result["train_loss"] > 0


def test_the_card_says_where_the_model_comes_from(finished, dataset_of_two, tiny):
    card = json.loads((finished / "output" / "reward.json").read_text())
    assert card["dimensions"] == ["harmlessness", "helpfulness"]
    assert card["dataset_sha256"] == sha256_of(dataset_of_two / "rankings.jsonl")
    assert card["base_model"] == str(tiny)
    assert card["config"]["learning_rate"] == 1e-2
    assert set(card["shift"]) == set(card["std"]) == set(card["dimensions"])


def test_samples_show_responses_in_the_models_order(finished):
    shown = [event["data"] for event in events(finished, "sample")]
    assert len(shown) == 4 * 3
    assert [each["reward"] for each in shown[:3]] == sorted((each["reward"] for each in shown[:3]), reverse=True)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_training_in_bfloat16_saves_what_it_measures(tmp_path, dataset, tiny, method):
    config = {**CONFIG, "method": method, "learning_rate": 1e-3, "dtype": "bfloat16"}
    directory = write_run(tmp_path / "run", dataset, tiny, config)
    train_reward_model(RunDir(directory))
    model = AutoModelForSequenceClassification.from_pretrained(directory / "output")
    assert model.dtype == torch.bfloat16
    scorer = load_scorer(directory / "output")
    messages, responses = CONVERSATIONS[0]
    group = scorer.group(messages, responses)
    with torch.no_grad():
        alone = [model(torch.tensor([group.prompt + ids])).logits[0, 0].item() for ids in group.responses]
    assert [row[0] for row in scorer.scores(CONVERSATIONS[:1])[0]] == pytest.approx(alone, abs=0.05)


def test_a_stop_while_measuring_keeps_the_training(tmp_path, dataset, tiny):
    directory = write_run(tmp_path / "run", dataset, tiny, CONFIG)

    class Impatient(RunDir):
        def progress(self, done: int, total: int, note: str = "") -> None:
            super().progress(done, total, note)
            self.stop_requested = note == "measuring"

    with pytest.raises(Stopped):
        train_reward_model(Impatient(directory))
    assert not (directory / "result.json").exists()
    train_reward_model(RunDir(directory))
    assert len(events(directory)) == 12 + 1  # every step once, and the figures of the end
    assert json.loads((directory / "result.json").read_text())["steps"] == 12


def test_a_reward_model_starts_from_a_policy_with_its_adapter(tmp_path, dataset, tiny):
    """The adapter is merged, so the start is the adapted policy and the result is whole."""
    from lm.adapters import add_lora, save_adapter
    from lm.config import LoraSettings
    from lm.loading import load_policy
    from rewardmodel.training.config import RewardConfig
    from rewardmodel.training.model import new_reward_net

    policy, _ = load_policy(str(tiny))
    adapted = add_lora(policy, LoraSettings(rank=4), seed=0)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    save_adapter(adapted, tmp_path / "adapter")
    config = RewardConfig.model_validate(CONFIG)
    plain_start = new_reward_net(config, ["helpfulness"], str(tiny))
    start = new_reward_net(config, ["helpfulness"], str(tiny), adapter=str(tmp_path / "adapter"))
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        expected = adapted(ids, output_hidden_states=True).hidden_states[-1]
        torch.testing.assert_close(start.classifier.base_model(ids).last_hidden_state, expected, atol=1e-5, rtol=0)
        assert not torch.allclose(plain_start.classifier.base_model(ids).last_hidden_state, expected, atol=1e-2)
    directory = write_run(tmp_path / "run", dataset, tiny, {**CONFIG, "epochs": 1}, adapter=str(tmp_path / "adapter"))
    train_reward_model(RunDir(directory))
    assert load_scorer(directory / "output").card["base_adapter"] == str(tmp_path / "adapter")


def test_a_directory_that_is_not_a_reward_model_is_refused(tmp_path, tiny):
    with pytest.raises(UserError, match="not a reward model"):
        load_scorer(tiny)


# the child process --------------------------------------------------------------------------------------------------


def start_child(directory: Path, **environment: str) -> subprocess.Popen:
    with open(directory / "log.txt", "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "rewardmodel.training", str(directory)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        )


def steps_done(directory: Path) -> int:
    return (
        max((event["step"] for event in events(directory)), default=0) if (directory / "events.jsonl").exists() else 0
    )


def test_a_child_told_to_stop_leaves_a_checkpoint_and_the_next_ends_at_the_same_weights(tmp_path, tiny):
    data = write_dataset(tmp_path / "data", easy_rows(train=40, test=6))
    config = {**CONFIG, "epochs": 5, "comparisons_per_step": 1, "checkpoint_every": 1000}
    directory = write_run(tmp_path / "cut", data, tiny, config)
    child = start_child(directory)
    deadline = time.monotonic() + 120
    while steps_done(directory) < 5:
        assert child.poll() is None, (directory / "log.txt").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    child.send_signal(signal.SIGTERM)
    assert child.wait(60) == EXIT_STOPPED, (directory / "log.txt").read_text()
    step, _ = RunDir(directory).latest_checkpoint()
    assert 5 <= step < 200
    assert not (directory / "result.json").exists()
    assert start_child(directory).wait(120) == 0, (directory / "log.txt").read_text()
    assert events(directory, "resumed")[0]["step"] == step

    whole = write_run(tmp_path / "whole", data, tiny, config)
    train_reward_model(RunDir(whole))
    ours, theirs = (load_file(each / "output" / "model.safetensors") for each in (directory, whole))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"config": {"dimensions": ["truth"]}}, "no dimension truth"),
        ({"config": {"learning_rate": -1}}, "learning_rate"),
        ({"inputs": {"model": "/nowhere/at/all"}}, "no directory /nowhere/at/all"),
    ],
)
def test_a_child_with_bad_input_says_what_to_change(tmp_path, dataset, tiny, change, words):
    directory = write_run(tmp_path / "run", dataset, tiny, change.get("config"), **change.get("inputs", {}))
    assert start_child(directory).wait(120) == EXIT_USER
    error = json.loads((directory / "error.json").read_text())
    assert error["fault"] == "user"
    assert words in error["message"]
    assert not (directory / "result.json").exists()
