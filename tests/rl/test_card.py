"""What a policy's card says, and that what it says to do works."""

from __future__ import annotations

import json
import re
import runpy

import pytest
import torch

from rl.training.card import card, last_samples, limits
from rl.training.work import work
from runs.child import RunDir
from tests.rl.test_online import many_prompts, start  # noqa: F401
from tests.rl.worlds import write_run

LORA = {"lora": {"rank": 4, "alpha": 8.0}, "save": "best", "max_response_tokens": 64, "learning_rate": 1e-4}
POLICY = {
    "algorithm": "grpo",
    "method": "lora",
    "base_model": "owner/model",
    "config": LORA,
    "title": "Kinder",
    "step": 40,
    "versions": {"torch": "2.13.0"},
    "dimensions": ["helpfulness"],
    "reward_weights": [1.0],
    "lineage": {
        "start": {"generator": "Tiny", "model": "owner/model", "adapter_sha256": None},
        "dataset": {"name": "easy v1", "sha256": "d" * 64},
        "reward_models": [{"name": "Judge", "sha256": "e" * 64}],
        "project": "Chat",
    },
}


def mean(value, low, high, prompts=50):
    return {"value": value, "low": low, "high": high, "n": 2 * prompts, "prompts": prompts}


def result(gain, **changes):
    held_out = {
        "before": mean(0.1, 0.0, 0.2),
        "after": mean(0.6, 0.5, 0.7),
        "gain": gain,
        "kl": mean(3.25, 3.0, 3.5),
        "step": 40,
        "figures": {"test_reward": [0.1, 0.6], "test_kl": [0.0, 3.25], "test_eos_rate": [0.5, 0.75]},
    }
    return {"steps": 50, "held_out": held_out, "alarms": [], "prompts_cut": 0, **changes}


def front(text):
    """The front matter as the hub reads it; JSON is YAML."""
    _, head, _ = text.split("---\n", 2)
    return {name: json.loads(value) for name, _, value in (line.partition(": ") for line in head.strip().split("\n"))}


def test_it_says_what_it_is_made_of_and_how_it_does():
    text = card(POLICY, result(mean(0.5, 0.4, 0.6)))
    assert front(text) == {
        "library_name": "peft",
        "base_model": "owner/model",
        "pipeline_tag": "text-generation",
        "tags": ["plumbline", "rlhf", "grpo", "lora"],
    }
    assert "`owner/model` trained by group-relative policy optimisation (GRPO), as a LoRA adapter of rank 4." in text
    assert "the weights of step 40 of 50" in text
    assert "| Reward, with interval | 0.1 [0, 0.2] | 0.6 [0.5, 0.7] |" in text
    assert "| Responses that end by themselves | 50.0 % | 75.0 % |" in text
    assert "Gain in reward by prompt: 0.5 [0.4, 0.6] over 50 prompts, at a KL of 3.25 [3, 3.5] nats" in text
    assert f"| dataset | `easy v1` | `{'d' * 64}` |" in text and f"| reward model | `Judge` | `{'e' * 64}` |" in text
    assert "No alarm was raised" in text and "helpfulness × 1" in text
    assert "| `lora.rank` | `4` |" in text and "torch 2.13.0" in text


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        (result(mean(0.1, -0.1, 0.3)), "cannot be told from nothing"),
        (result(mean(-0.5, -0.6, -0.4)), "less reward than what it started from"),
        (result(mean(0.5, 0.4, 0.6, prompts=7)), "7 held-out prompts only"),
        (result(mean(0.5, 0.4, 0.6)), "25.0 % of its responses did not end within 64 tokens"),
        (result(None, held_out=None), "Nothing was measured on prompts kept out"),
        (result(mean(0.5, 0.4, 0.6), alarms=[{"step": 3, "message": "KL ran."}]), "Alarms were raised"),
        ({"test": None}, "held nothing out"),
        ({"test": {"accuracy": mean(0.52, 0.45, 0.6)}}, "cannot be told from guessing"),
    ],
)
def test_limits_follow_from_the_figures(figures, words):
    assert any(words in limit for limit in limits(LORA, figures))


def test_a_clear_gain_is_not_doubted():
    said = " ".join(limits({**LORA, "save": "last"}, result(mean(0.5, 0.4, 0.6))))
    assert "cannot be told" not in said and "only" not in said and "flatters" not in said


def test_words_of_people_and_models_cannot_break_the_page():
    hostile = "# <script>alert(1)</script>\n| a | b |\n```\n"
    policy = {**POLICY, "title": hostile, "lineage": {**POLICY["lineage"], "project": "`|\nx"}}
    text = card(policy, result(None), samples=[{"prompt": hostile, "response": hostile, "reward": 1.5}])
    outside = re.sub(r"(?ms)^(````+)text\n.*?^\1$", "", text)
    assert "<script>" not in outside.replace(r"\<script\>", "")
    assert len(re.findall(r"(?m)^# ", outside)) == 1
    assert "reward of the answer: 1.5" in text
    assert all(line.count("|") == 4 for line in outside.splitlines() if line.startswith("| prompts"))


def test_a_model_on_this_machine_is_not_offered_as_one_of_the_hub():
    assert "base_model" not in front(card({**POLICY, "base_model": "/models/mine"}, result(None)))
    assert "base_model" not in front(card({**POLICY, "base_model": "smollm2"}, result(None)))
    assert "resolve_model('smollm2')" in card({**POLICY, "base_model": "smollm2"}, result(None))


def test_the_last_samples_are_those_of_the_last_step(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    run = RunDir(tmp_path)
    for step in (1, 2):
        run.sample(step, prompt="Why?", prompt_id="1", response=f"at {step}")
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write('{"type": "sam')
    assert [each["response"] for each in last_samples(tmp_path / "events.jsonl")] == ["at 2"]
    assert last_samples(tmp_path / "none.jsonl") == []


def loaded(directory, monkeypatch, capsys):
    """Run the code of a card's loading section as it stands, in the card's directory; the model it made."""
    text = (directory / "README.md").read_text()
    [block] = re.findall(r"(?ms)^```python\n(.*?)^```$", text)
    script = directory.parent / "as_the_card_says.py"
    script.write_text(block)
    monkeypatch.chdir(directory)
    found = runpy.run_path(str(script))
    assert capsys.readouterr().out
    return found["model"]


def test_the_code_on_the_card_loads_the_policy_merged_or_not(start, tmp_path, tiny, monkeypatch, capsys):  # noqa: F811
    from lm.loading import load_policy

    directory = start("grpo", steps=2, learning_rate=0.05, save="last")
    work(RunDir(directory))
    text = (directory / "output" / "README.md").read_text()
    assert "On prompts kept out of training, before and after" in text and "## Samples" in text
    figures = json.loads((directory / "result.json").read_text())
    merging = write_run(
        tmp_path / "merging",
        {"algorithm": "merge"},
        model=tiny,
        adapter=directory / "output",
        models_dir=None,
        result=figures,
        title="Kinder",
    )
    work(RunDir(merging))
    merged_text = (merging / "output" / "README.md").read_text()
    assert "folded into the weights" in merged_text and front(merged_text)["library_name"] == "transformers"
    assert not list((merging / "output").glob("adapter*"))
    adapted, chat = load_policy(str(tiny), adapter=directory / "output")
    ids = torch.tensor([chat.prompt_ids([{"role": "user", "content": "Why?"}])])
    with torch.no_grad():
        expected = adapted(ids).logits
        plain = adapted.get_base_model()
        with adapted.disable_adapter():
            base = plain(ids).logits
        for output in (directory / "output", merging / "output"):
            model = loaded(output, monkeypatch, capsys)
            assert torch.allclose(model(ids).logits, expected, atol=1e-4)
    assert (expected - base).abs().max() > 1e-2


def test_every_offline_algorithm_leaves_a_card(tmp_path, dataset, tiny):
    for algorithm in ("sft", "dpo", "kto"):
        config = {"algorithm": algorithm, "lora": {"rank": 4}, "sample_every": 0, "comparisons_per_step": 8}
        directory = write_run(tmp_path / algorithm, config, dataset=dataset, model=tiny, adapter=None, models_dir=None)
        work(RunDir(directory))
        text = (directory / "output" / "README.md").read_text()
        assert "On preferences kept out of training" in text
        assert json.loads((directory / "output" / "policy.json").read_text())["dataset_sha256"] in text


def test_what_is_no_adapter_is_not_merged(tmp_path, tiny):
    from runs.child import UserError

    for number, (adapter, words) in enumerate(((None, "whole model already"), (tiny, "adapter"))):
        directory = write_run(
            tmp_path / str(number), {"algorithm": "merge"}, model=tiny, adapter=adapter, models_dir=None
        )
        with pytest.raises(UserError, match=words):
            work(RunDir(directory))
