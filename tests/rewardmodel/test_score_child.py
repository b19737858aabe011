"""The child that scores a file: any format, in the file's order, whole or not at all, and on from where it was."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from rewardmodel.training.score import SCORES, score_file
from rewardmodel.training.scoring import load_scorer
from runs.child import RunDir, Stopped, UserError

ROWS = [
    {
        "prompt": f"Question {number}",
        "responses": [f"answer {i} " * (1 + (number + i) % 4) for i in range(1 + number % 3)],
    }
    for number in range(12)
]


def prepared(folder: Path, model: Path, file: Path, **config) -> RunDir:
    folder.mkdir(parents=True, exist_ok=True)
    inputs = {"reward_model": str(model), "file": str(file), "filename": file.name}
    (folder / "run.json").write_text(json.dumps({"run": 1, "kind": "score", "config": config, "inputs": inputs}))
    return RunDir(folder)


def written(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def lines(run: RunDir) -> list[dict]:
    return [json.loads(line) for line in (run.output / SCORES).read_text().splitlines()]


def result(run: RunDir) -> dict:
    return json.loads((run.path / "result.json").read_text())


def test_every_response_is_scored_in_the_order_of_the_file(tmp_path, trained_directory):
    run = prepared(tmp_path / "run", trained_directory, written(tmp_path / "rows.jsonl", ROWS), batch_tokens=100)
    score_file(run)
    found = lines(run)
    scorer = load_scorer(trained_directory)
    asked = [([{"role": "user", "content": row["prompt"]}], row["responses"]) for row in ROWS]
    for line, row, scores, rewards in zip(found, ROWS, scorer.scores(asked), scorer.rewards(asked), strict=True):
        assert [each["text"] for each in line["responses"]] == row["responses"]
        for each, score, reward in zip(line["responses"], scores, rewards, strict=True):
            assert list(each["scores"].values()) == pytest.approx(score, abs=1e-5)
            assert list(each["rewards"].values()) == pytest.approx(reward, abs=1e-5)
        helpful = [row[1] for row in scores]
        assert line["best"]["helpfulness"] == helpful.index(max(helpful))
    assert [line["line"] for line in found] == list(range(1, 13))
    said = result(run)
    assert (said["prompts"], said["responses"], said["skipped"]) == (12, 24, 0)
    rewards = [each["rewards"]["helpfulness"] for line in found for each in line["responses"]]
    mean = sum(rewards) / 24
    assert said["reward_mean"]["helpfulness"] == pytest.approx(mean)
    assert said["reward_std"]["helpfulness"] == pytest.approx((sum((r - mean) ** 2 for r in rewards) / 24) ** 0.5)


def test_the_best_response_of_each_prompt_is_kept_as_a_conversation(tmp_path, trained_directory):
    file = written(tmp_path / "rows.jsonl", ROWS)
    every = prepared(tmp_path / "all", trained_directory, file)
    best = prepared(tmp_path / "best", trained_directory, file, best_only=True, dimension="harmlessness")
    score_file(every)
    score_file(best)
    for line, kept in zip(lines(every), lines(best), strict=True):
        chosen = line["responses"][line["best"]["harmlessness"]]
        assert kept["messages"] == [*line["prompt"], {"role": "assistant", "content": chosen["text"]}]
        assert kept["rewards"] == pytest.approx(chosen["rewards"])
        assert kept["of"] == len(line["responses"])
    assert result(best)["responses"] == 12


def test_a_run_that_was_broken_off_goes_on_behind_its_last_whole_line(tmp_path, trained_directory):
    file = written(tmp_path / "rows.jsonl", ROWS)
    whole = prepared(tmp_path / "whole", trained_directory, file)
    score_file(whole)
    broken = prepared(tmp_path / "broken", trained_directory, file)
    broken.output.mkdir()
    text = (whole.output / SCORES).read_text().splitlines(keepends=True)
    (broken.output / SCORES).write_text("".join(text[:5]) + text[5][:40])
    score_file(broken)
    for ours, theirs in zip(lines(broken), lines(whole), strict=True):
        for a, b in zip(ours["responses"], theirs["responses"], strict=True):
            assert a["text"] == b["text"]
            assert a["rewards"] == pytest.approx(b["rewards"], abs=1e-5)
    assert result(broken)["reward_mean"] == pytest.approx(result(whole)["reward_mean"], abs=1e-5)
    assert result(broken)["responses"] == 24


def test_a_stop_keeps_what_is_scored(tmp_path, trained_directory):
    file = written(tmp_path / "rows.jsonl", ROWS)
    run = prepared(tmp_path / "run", trained_directory, file)
    run.stop_requested = True
    with pytest.raises(Stopped):
        score_file(run)
    assert not (run.path / "result.json").exists()


def test_pairs_of_a_published_format_in_a_table_are_scored(tmp_path, trained_directory):
    file = tmp_path / "pairs.csv"
    with open(file, "w", newline="") as out:
        table = csv.DictWriter(out, ["prompt", "chosen", "rejected"])
        table.writeheader()
        table.writerow({"prompt": "Why, then?", "chosen": "Because.", "rejected": "No, and\nno."})
    run = prepared(tmp_path / "run", trained_directory, file)
    score_file(run)
    [line] = lines(run)
    assert {each["text"] for each in line["responses"]} == {"Because.", "No, and\nno."}


def test_what_has_nothing_to_score_is_passed_over_and_said(tmp_path, trained_directory):
    rows = [*ROWS[:2], {"prompt": "Long?", "responses": ["", "y" * 200]}]
    run = prepared(tmp_path / "run", trained_directory, written(tmp_path / "rows.jsonl", rows))
    score_file(run)
    assert result(run)["responses_cut"] == 1
    assert [each["cut"] for each in lines(run)[2]["responses"]] == [False, True]


@pytest.mark.parametrize(
    ("text", "config", "words"),
    [
        ('{"prompt": "a", "responses": ["b"]}\n{"prompt": "a"\n', {}, "Line 2: Not valid JSON"),
        ('{"prompt": "a", "responses": ["b"]}\n{"prompt": "a", "responses": "b"}\n', {}, "Line 2: responses must be"),
        ('{"prompt": "a"}\n', {}, "1 prompts have no responses"),
        ("", {}, "empty"),
        ('{"prompt": "a", "responses": ["b"]}\n', {"best_only": True}, "Say by which"),
        ('{"prompt": "a", "responses": ["b"]}\n', {"dimension": "truth"}, "no dimension truth"),
    ],
)
def test_a_file_that_cannot_be_scored_is_refused_whole(tmp_path, trained_directory, text, config, words):
    file = tmp_path / "rows.jsonl"
    file.write_text(text)
    run = prepared(tmp_path / "run", trained_directory, file, **config)
    with pytest.raises(UserError, match=words):
        score_file(run)
    assert not (run.output / SCORES).exists() or not (run.output / SCORES).read_text()


def test_a_directory_that_is_no_reward_model_is_refused(tmp_path, tiny):
    shutil.copytree(tiny, tmp_path / "model")
    run = prepared(tmp_path / "run", tmp_path / "model", written(tmp_path / "rows.jsonl", ROWS))
    with pytest.raises(UserError, match="not a reward model"):
        score_file(run)
