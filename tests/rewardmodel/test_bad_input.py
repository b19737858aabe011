"""Whole trainings on what people really bring: too long, empty, too big, without template, with padding that ends."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, LlamaForCausalLM

from lm.chat import TEMPLATES
from rewardmodel.training.run import train_reward_model
from rewardmodel.training.scoring import load_scorer
from runs.child import EXIT_MACHINE, MachineError, RunDir, UserError, classify
from tests.rewardmodel.trainers import settings_of, trainer_for
from tests.rewardmodel.worlds import easy_rows, events, row, write_dataset, write_run
from tests.tiny import tiny_config, tiny_tokenizer

LONG = [
    {"role": "user", "content": "First of all, " * 8},
    {"role": "assistant", "content": "Yes?"},
    {"role": "user", "content": "And now?"},
]


def model_in(directory: Path, *, tokenizer=None, **changes) -> Path:
    LlamaForCausalLM(tiny_config(**changes)).save_pretrained(directory)
    (tokenizer or tiny_tokenizer()).save_pretrained(directory)
    return directory


def trained(directory: Path, rows: list[dict], start: Path, **settings) -> Path:
    data = write_dataset(directory / "data", rows)
    run = write_run(directory / "run", data, start, settings_of(**settings))
    train_reward_model(RunDir(run))
    return run


def result_of(run: Path) -> dict:
    return json.loads((run / "result.json").read_text())


def test_a_prompt_beyond_the_context_loses_whole_turns_is_counted_and_told(tmp_path):
    start = model_in(tmp_path / "model", max_position_embeddings=128)
    rows = [*easy_rows(train=4, test=2), {**row("long", "", ["a", "b"], [[1, 2]]), "prompt": LONG}]
    run = trained(tmp_path, rows, start)
    reward = json.loads((run / "output" / "reward.json").read_text())
    assert reward["max_prompt_tokens"] + reward["max_response_tokens"] == 128
    assert result_of(run)["cuts"]["prompts_cut"] == 1
    said = next(event["data"] for event in events(run, "log") if event["data"]["message"] == "Read the dataset.")
    assert (said["prompts_cut"], said["max_prompt_tokens"]) == (1, reward["max_prompt_tokens"])
    assert "1 of 7 prompts were longer than 64 tokens" in (run / "output" / "README.md").read_text()
    scorer = load_scorer(run / "output")
    kept = scorer.encode(LONG, ["a"])
    assert kept.prompt_cut
    assert kept.group.prompt == scorer.net.chat.prompt_ids(LONG[2:])


def test_an_empty_response_is_scored_and_counted(tmp_path, tiny):
    run = trained(tmp_path, [*easy_rows(train=3, test=1), row("e", "Hi", ["", "yes"], [[2, 1]])], tiny)
    assert result_of(run)["cuts"]["responses_empty"] == 1
    assert "Empty responses: 1." in (run / "output" / "README.md").read_text()


def exhausted(trainer) -> None:
    """Let every forward ask the allocator for more than any machine has."""
    outputs = trainer.net.outputs

    def greedy(groups, stream=0):
        torch.empty(2**50)
        return outputs(groups, stream)

    trainer.net.outputs = greedy


def test_out_of_memory_says_which_batch_tokens_to_use(tmp_path, dataset, tiny):
    trainer = trainer_for(tmp_path / "run", dataset, tiny, batch_tokens=400)
    exhausted(trainer)
    with pytest.raises(
        MachineError, match=r"ran out in a forward of (\d+) tokens. Set batch_tokens to (\d+)"
    ) as caught:
        trainer.fit()
    tokens, advised = (int(word) for word in str(caught.value).replace(":", " ").split() if word.isdecimal())
    assert advised == tokens // 2 < 400
    assert classify(caught.value)[::2] == ("machine", EXIT_MACHINE)


def test_out_of_memory_on_one_comparison_alone_says_that_it_is_too_long(tmp_path, dataset, tiny):
    trainer = trainer_for(tmp_path / "run", dataset, tiny, batch_tokens=16)
    exhausted(trainer)
    with pytest.raises(MachineError, match="one comparison alone.*lower max_prompt_tokens or max_response_tokens"):
        trainer.fit()


def test_out_of_memory_while_measuring_says_so_too(tmp_path, dataset, tiny):
    trainer = trainer_for(tmp_path / "run", dataset, tiny)
    exhausted(trainer)
    with pytest.raises(MachineError, match="batch_tokens"):
        trainer.measured(trainer.test)


def test_a_model_whose_padding_is_its_end_token_is_saved_with_another(tmp_path):
    tokenizer = tiny_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token
    start = model_in(tmp_path / "model", tokenizer=tokenizer, pad_token_id=2)
    assert AutoTokenizer.from_pretrained(start).pad_token_id == 2
    folder = trained(tmp_path, easy_rows(train=4, test=2), start) / "output"
    model, plain = AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert model.config.pad_token_id == plain.pad_token_id != plain.eos_token_id
    scorer = load_scorer(folder)
    asked = ([{"role": "user", "content": "Why?"}], ["", "yes", "no zzz no, and at some length"])
    group = scorer.group(*asked)
    batch = plain.pad({"input_ids": [group.prompt + ids for ids in group.responses]}, return_tensors="pt")
    with torch.no_grad():
        together = model.eval()(**batch).logits
    torch.testing.assert_close(together, torch.tensor(scorer.scores([asked])[0]), atol=1e-5, rtol=0)


def test_a_model_without_chat_template_asks_for_a_choice_and_takes_it(tmp_path):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = None
    start = model_in(tmp_path / "model", tokenizer=tokenizer)
    with pytest.raises(UserError, match=r"no chat template.*its setting chat_template \(dialogue\)"):
        trained(tmp_path / "refused", easy_rows(train=4, test=2), start)
    run = trained(tmp_path / "chosen", easy_rows(train=4, test=2), start, chat_template="dialogue")
    saved = AutoTokenizer.from_pretrained(run / "output")
    assert saved.chat_template == TEMPLATES["dialogue"]
    assert result_of(run)["accuracy"]["helpfulness"]["n"] > 0
