"""The model card: it says what the figures say, it is read by the hub's own reader, and its code runs."""

import json
import os
import subprocess
import sys

import pytest
import torch
from huggingface_hub import ModelCard

from lm.about import licence_of, public_name
from rewardmodel.training.card import loading_code, model_card
from rewardmodel.training.run import train_reward_model
from rewardmodel.training.scoring import load_scorer
from runs.child import RunDir
from tests.rewardmodel.trainers import settings_of
from tests.rewardmodel.worlds import write_run

SHARE = {"value": 0.7, "low": 0.62, "high": 0.77, "n": 420, "prompts": 140}
REWARD = {
    "dimensions": ["helpfulness"],
    "dataset_sha256": "ab" * 32,
    "base_model": "/home/somebody/models/mine",
    "base_adapter": None,
    "config": {"loss": "bradley_terry", "method": "lora", "lora": {"rank": 4}, "dimensions": [], "batch_tokens": None},
    "versions": {"torch": "2.0"},
    "shift": {"helpfulness": 0.25},
    "std": {"helpfulness": 1.5},
    "max_prompt_tokens": 1024,
    "max_response_tokens": 512,
}
RESULT = {
    "accuracy": {"helpfulness": SHARE},
    "train_accuracy": {"helpfulness": {**SHARE, "value": 0.75, "low": 0.66, "high": 0.83}},
    "baseline_longer": {"helpfulness": {**SHARE, "value": 0.55}},
    "better_than_longer": {"helpfulness": {"value": 0.7, "low": 0.6, "high": 0.8, "n": 60}},
    "loss": 0.58,
    "train_loss": 0.5,
    "length_correlation": {"scores": {"helpfulness": 0.2}, "preferences": {"helpfulness": 0.15}},
    "comparisons": {"train": 1000, "test": 140},
    "cuts": {"prompts_cut": 0, "responses_cut": 0, "responses_empty": 2},
    "members": 1,
    "steps": 63,
    "kept_step": 63,
    "trainable_parameters": 12345,
}
ABOUT = {"name": "Judge", "dataset": "First v1", "sources": {"human": 1200}, "run": 7}


def card(reward=None, about=None, **result):
    return model_card(REWARD | (reward or {}), RESULT | result, ABOUT | (about or {}))


def said_of(name, **figures):
    """The card where one of helpfulness's estimates is another."""
    return card(**{name: {"helpfulness": {**RESULT[name]["helpfulness"], **figures}}})


def test_a_good_model_gets_its_figures_and_no_complaint():
    text = card()
    assert "| helpfulness | 70.0 % [62.0, 77.0] | 55.0 % [62.0, 77.0] | 420 | 140 | 75.0 % [66.0, 83.0] |" in text
    assert "- **helpfulness**" not in text
    assert "people (1,200 judgements)" in text
    assert "1,000 comparisons for training, 140 held out" in text
    assert "Empty responses: 2." in text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (said_of("accuracy", value=0.55, low=0.47, high=0.63), "not told apart from guessing, 55.0 % [47.0, 63.0]"),
        (said_of("accuracy", value=0.5, low=0.5, high=0.6), "not told apart from guessing"),
        (said_of("accuracy", value=0.4, low=0.33, high=0.47), "orders pairs against people's preference"),
        (said_of("accuracy", prompts=40), "measured on 40 prompts only"),
        (said_of("better_than_longer", value=0.5, low=0.4, high=0.6), "not told apart from choosing the longer"),
        (said_of("better_than_longer", value=0.3, low=0.2, high=0.4), "worse than choosing the longer response"),
        (said_of("train_accuracy", value=0.99, low=0.95, high=1.0), "overfitted"),
        (
            card(length_correlation={"scores": {"helpfulness": -0.4}, "preferences": {"helpfulness": 0.2}}),
            "more than people do (correlation -0.40 and +0.20)",
        ),
        (card(cuts={"prompts_cut": 300, "responses_cut": 5}), "300 of 1,140 prompts were longer than 1,024 tokens"),
        (card(cuts={"prompts_cut": 0, "responses_cut": 5}), "5 responses lost their end"),
        (card(accuracy={}), "**Not measured.**"),
        (card(accuracy={}), "nothing is known of its accuracy"),
        (card(about={"sources": {"simulated": 9}}), "Simulated annotators are not people"),
    ],
)
def test_what_the_figures_say_against_a_model_is_said(text, words):
    assert words in text
    assert words not in card()


def test_the_hub_reads_the_front_matter():
    text = card(about={"name": 'Judge: "v1" # x', "public_base": "org/base", "licence": "apache-2.0"})
    data = ModelCard(text).data
    assert (data.base_model, data.license, data.library_name) == ("org/base", "apache-2.0", "transformers")
    assert "reward-model" in data.tags
    [found] = data.eval_results
    assert (data.model_name, found.metric_type, found.metric_value) == ('Judge: "v1" # x', "accuracy", 0.7)
    assert (found.dataset_name, found.dataset_revision) == ("First v1", "ab" * 32)
    assert ModelCard(card(accuracy={})).data.eval_results is None


def test_a_directory_of_this_machine_is_not_told():
    assert "/home/somebody" not in card()
    assert "`mine`, a local directory" in card()
    assert "Look it up before you pass these weights on" in card()


def test_words_of_people_are_text():
    text = card(about={"name": "![x](http://evil)\n# <script>", "dataset": "a|b\n---\nlicense: mine"})
    assert "# !" not in text and r"\!\[x\]\(" not in text
    assert r"# \!\[x\](http://evil) \# \<script\>" in text
    assert ModelCard(text).data.license is None


def test_the_licence_is_that_of_the_front_matter_beside_the_weights(tmp_path):
    assert licence_of(str(tmp_path)) is None
    (tmp_path / "README.md").write_text("---\nlanguage: en\nlicense: MIT\n---\nlicense: gpl-3.0\n")
    assert licence_of(str(tmp_path)) == "mit"
    (tmp_path / "README.md").write_text("license: gpl-3.0\n")
    assert licence_of(str(tmp_path)) is None
    assert licence_of("smollm2-135m-instruct") == "apache-2.0"
    assert public_name("smollm2-135m-instruct") == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert public_name(str(tmp_path)) is None
    assert public_name("org/model") == "org/model"


@pytest.fixture(
    scope="module",
    params=[{}, {"method": "prompt", "virtual_tokens": 3}, {"ensemble": 2}, {"ensemble": 2, "ensemble_of": "adapters"}],
    ids=["plain", "virtual tokens", "heads", "adapters"],
)
def finished(request, tmp_path_factory, dataset_of_two, tiny):
    directory = write_run(
        tmp_path_factory.mktemp("runs") / "1",
        dataset_of_two,
        tiny,
        settings_of(**request.param),
        about={"name": "Judge", "dataset": "First v1", "agreement": {"helpfulness": SHARE}},
    )
    train_reward_model(RunDir(directory))
    return directory


def test_the_code_of_the_card_gives_our_score_without_our_code(finished, tmp_path):
    output = finished / "output"
    text = (output / "README.md").read_text(encoding="utf-8")
    code = text.partition("```python\n")[2].partition("```")[0]
    assert code.strip() == loading_code(json.loads((output / "reward.json").read_text()))
    (tmp_path / "use.py").write_text(code + "\nprint(scores.tolist())\n")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, tmp_path / "use.py"], cwd=output, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    scorer = load_scorer(output)
    asked = ([{"role": "user", "content": "Why is the sky blue?"}], ["Air scatters blue light most."])
    members = scorer.member_scores([asked])[0][0]
    adapters = "the first member's score" in text
    ours = members[0] if adapters else scorer.scores([asked])[0][0]
    torch.testing.assert_close(torch.tensor(json.loads(done.stdout)), torch.tensor(ours), atol=1e-5, rtol=0)
    assert ("## Ensemble" in text) == (len(members) > 1)


def test_the_card_of_a_run_has_the_figures_of_its_result(finished):
    result = json.loads((finished / "result.json").read_text())
    text = (finished / "output" / "README.md").read_text(encoding="utf-8")
    for name, found in result["accuracy"].items():
        shown = f"{100 * found['value']:.1f} % [{100 * found['low']:.1f}, {100 * found['high']:.1f}]"
        assert f"| {name} | {shown} |" in text
    assert f"{result['trainable_parameters']:,} numbers, {result['steps']} steps" in text
    assert "| lora.rank | 4 |" in text
    assert "two annotators agree" in text
    assert ModelCard(text).data.model_name == "Judge"
