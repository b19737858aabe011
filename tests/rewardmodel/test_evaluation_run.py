"""A whole evaluation by the child: every file it leaves, and what it refuses."""

import json
from pathlib import Path

import pytest

from rewardmodel.training.evaluation import INDEX, ITEMS, REPORT, evaluate_reward_model
from rewardmodel.training.scoring import load_scorer
from rewardmodel.training.test_sets import dataset_test_set, file_test_set, matched
from runs.child import RunDir, Stopped, UserError
from tests.rewardmodel.worlds import easy_rows, row, write_dataset


def prepared(folder: Path, model: Path, config: dict | None = None, **inputs) -> RunDir:
    folder.mkdir(parents=True, exist_ok=True)
    given = {name: str(value) for name, value in {"reward_model": model, **inputs}.items()}
    spec = {"run": 1, "kind": "reward_evaluation", "config": config or {}, "inputs": given}
    (folder / "run.json").write_text(json.dumps(spec))
    return RunDir(folder)


def report(run: RunDir) -> dict:
    return json.loads((run.output / REPORT).read_text())


def items(run: RunDir) -> list[dict]:
    return [json.loads(line) for line in (run.output / ITEMS).read_text().splitlines()]


def written(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    return path


def test_a_dataset_version_is_measured_on_its_held_out_prompts(tmp_path, trained_directory, dataset_of_two):
    run = prepared(tmp_path / "run", trained_directory, dataset=dataset_of_two, training=dataset_of_two, name="Easy v1")
    evaluate_reward_model(run)
    found = report(run)
    assert found["test_set"] == "Easy v1"
    assert found["counts"] == {"comparisons": 6, "prompts": 6, "responses": 18, "pairs": 36, "passed_over": 0}
    assert found["overlap"]["exact"] == 0
    trained = json.loads((trained_directory.parent / "result.json").read_text())
    for dimension in ("harmlessness", "helpfulness"):
        each = found["dimensions"][dimension]
        assert each["accuracy"] == pytest.approx(trained["accuracy"][dimension]), "as the training run measured it"
        assert each["longer"] == pytest.approx(trained["baseline_longer"][dimension])
        assert (each["pairs"], each["ties"]) == (18, 0)
        assert each["ceiling"]["people"] is None and each["ceiling"]["single"] == 18
        [curve] = each["best_of_n"]
        assert (curve["k"], curve["comparisons"]) == (3, 6)
        assert curve["curve"][0]["model"]["value"] == 0.5
        assert curve["curve"][2]["best"]["value"] == 1.0
    assert json.loads((run.path / "result.json").read_text())["accuracy"].keys() == found["dimensions"].keys()


def test_a_line_for_each_pair_has_what_people_and_model_say_of_it(tmp_path, trained_directory, dataset_of_two):
    run = prepared(tmp_path / "run", trained_directory, dataset=dataset_of_two)
    evaluate_reward_model(run)
    lines = items(run)
    assert len(lines) == 36
    first = lines[0]
    assert (first["comparison"], first["dimension"], first["split"]) == ("12", "harmlessness", "test")
    assert (first["i"], first["j"], first["p"], first["judgements"], first["weight"]) == (0, 1, 1.0, 1, 1.0)
    assert [each["id"] for each in first["responses"]] == ["0", "1"]
    texts = [each["text"] for each in first["responses"]]
    [scores] = load_scorer(trained_directory).scores([(first["prompt"], texts)])
    assert first["score_i"] == pytest.approx(scores[0][0], abs=1e-5)
    assert first["score_j"] == pytest.approx(scores[1][0], abs=1e-5)
    assert 0 < first["probability"] < 1
    assert first["right"] == float(first["score_i"] > first["score_j"])
    assert first["length_i"] == len(texts[0]) + 1, "bytes and the token that ends the turn"
    index = json.loads((run.output / INDEX).read_text())
    with open(run.output / ITEMS, "rb") as file:
        for line, (offset, size, dimension, right, *_) in zip(lines, index["rows"], strict=True):
            file.seek(offset)
            assert json.loads(file.read(size)) == line
            assert (index["dimensions"][dimension], right) == (line["dimension"], line["right"])


def test_a_file_of_pairs_is_measured_against_the_score_that_was_named(tmp_path, trained_directory):
    rows = [{"prompt": f"Why {n}?", "chosen": f"yes yes {n}", "rejected": "no zzz no" * (n % 2)} for n in range(6)]
    file = written(tmp_path / "pairs.jsonl", rows)
    run = prepared(tmp_path / "run", trained_directory, {"dimension": "harmlessness"}, file=file, name="pairs.jsonl")
    evaluate_reward_model(run)
    found = report(run)
    assert list(found["dimensions"]) == ["harmlessness"]
    assert found["unjudged"] == ["helpfulness"]
    assert found["cuts"]["responses_empty"] == 3
    assert [line["comparison"] for line in items(run)] == [f"line {n}" for n in range(1, 7)]
    assert {line["dimension"] for line in items(run)} == {"harmlessness"}
    assert {line["judgements"] for line in items(run)} == {1}, "a plain pair is one judgement, not a share of several"


def test_prompts_that_the_model_was_trained_on_are_found_and_left_out(tmp_path, trained_directory, dataset_of_two):
    held_out = easy_rows(train=0, test=4)
    known = row("100", "question  ??? 3", ["yes", "no"], [[1, 2]], split="test")
    other = write_dataset(
        tmp_path / "other",
        [
            *[
                {**each, "comparison": f"t{n}", "prompt": [{"role": "user", "content": f"Something new {n}"}]}
                for n, each in enumerate(held_out)
            ],
            known,
        ],
    )
    run = prepared(tmp_path / "run", trained_directory, dataset=other, training=dataset_of_two)
    evaluate_reward_model(run)
    found = report(run)
    assert found["overlap"] == {"prompts": 5, "exact": 1, "near": 0, "comparisons": 1}
    assert found["dimensions"]["helpfulness"]["accuracy"]["n"] == 13
    assert found["dimensions"]["helpfulness"]["without_overlap"]["accuracy"]["n"] == 12
    assert [line["overlap"] for line in items(run)] == [""] * 12 + ["exact"]


def test_a_second_model_is_held_beside_the_first(tmp_path, trained_directory, dataset_of_two):
    inputs = {"dataset": dataset_of_two, "second": trained_directory, "second_name": "Twin"}
    run = prepared(tmp_path / "run", trained_directory, **inputs)
    evaluate_reward_model(run)
    beside = report(run)["dimensions"]["helpfulness"]["second"]
    assert beside["same_order"]["value"] == beside["tau"]["value"] == 1.0
    assert (beside["differ"], beside["ours_right"]) == (0, None)
    assert beside["accuracy"] == beside["second_accuracy"]
    assert all(line["second_score_i"] == pytest.approx(line["score_i"], abs=1e-5) for line in items(run))


def test_a_run_that_was_broken_off_goes_on_behind_its_last_score(tmp_path, trained_directory, dataset_of_two):
    whole = prepared(tmp_path / "whole", trained_directory, dataset=dataset_of_two)
    evaluate_reward_model(whole)
    broken = prepared(tmp_path / "broken", trained_directory, dataset=dataset_of_two)
    kept = (whole.path / "scored.jsonl").read_text().splitlines(keepends=True)
    (broken.path / "scored.jsonl").write_text("".join(kept[:4]) + kept[4][:30])
    evaluate_reward_model(broken)
    assert "Continued" in (broken.path / "events.jsonl").read_text()
    for ours, theirs in zip(items(broken), items(whole), strict=True):
        assert ours["score_i"] == pytest.approx(theirs["score_i"], abs=1e-5)
    stopped = prepared(tmp_path / "stopped", trained_directory, dataset=dataset_of_two)
    stopped.stop_requested = True
    with pytest.raises(Stopped):
        evaluate_reward_model(stopped)
    assert not (stopped.path / "result.json").exists()


@pytest.mark.parametrize(
    ("text", "config", "words"),
    [
        ('{"prompt": "a"}\n', {}, "no preference to test with"),
        ('{"prompt": "a", "responses": ["b", "c"]}\n', {}, "no preference to test with"),
        ('{"prompt": "a", "chosen": "b", "rejected": "c"}\n{"prompt": \n', {}, "Line 2: Not valid JSON"),
        ("", {}, "empty"),
        ('{"prompt": "a", "chosen": "b", "rejected": "c"}\n', {"dimension": "truth"}, "has no dimension truth"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path, trained_directory, text, config, words):
    file = tmp_path / "file.jsonl"
    file.write_text(text)
    run = prepared(tmp_path / "run", trained_directory, config, file=file)
    with pytest.raises(UserError, match=words):
        evaluate_reward_model(run)
    assert not run.output.exists() or not list(run.output.iterdir())


def test_a_file_beyond_reason_is_refused_on_the_way(tmp_path, monkeypatch):
    rows = [{"prompt": f"Why {n}?", "chosen": "yes", "rejected": "no"} for n in range(4)]
    file = written(tmp_path / "pairs.jsonl", rows)
    assert len(file_test_set(file).comparisons) == 4
    monkeypatch.setattr("rewardmodel.training.test_sets.MOST_COMPARISONS", 3)
    with pytest.raises(UserError, match="has more than 3 comparisons.* by line 4. Evaluate on a part"):
        file_test_set(file)
    monkeypatch.setattr("rewardmodel.training.test_sets.MOST_COMPARISONS", 4)
    monkeypatch.setattr("rewardmodel.training.test_sets.MOST_CHARACTERS", 9)
    with pytest.raises(UserError, match="by line 2. Evaluate on a part"):
        file_test_set(file)


def test_comparisons_about_something_else_are_counted_as_passed_over(tmp_path):
    both = [*easy_rows(train=0, test=2), {**easy_rows(train=0, test=3)[-1], "dimension": "truth", "comparison": "99"}]
    test = dataset_test_set(write_dataset(tmp_path / "both", both), "test")
    known = [name for name in test.dimensions if name != "truth"]
    found = matched(test, known, "")
    assert found.passed_over == len(test.comparisons) - len(found.comparisons) > 0
    assert "about something else" in found.reasons[-1]


def test_judgements_about_something_else_are_held_against_nothing_unasked(tmp_path, trained_directory):
    other = [{**each, "dimension": "truth"} for each in easy_rows(train=0, test=3)]
    dataset = write_dataset(tmp_path / "other", other)
    with pytest.raises(UserError, match="are about truth, and the reward model scores harmlessness, helpfulness"):
        evaluate_reward_model(prepared(tmp_path / "1", trained_directory, dataset=dataset))
    run = prepared(tmp_path / "2", trained_directory, {"dimension": "helpfulness"}, dataset=dataset)
    evaluate_reward_model(run)
    assert list(report(run)["dimensions"]) == ["helpfulness"]


def test_a_dataset_without_held_out_pairs_or_with_ties_only_is_refused(tmp_path, trained_directory):
    train = write_dataset(tmp_path / "train", easy_rows(train=3, test=0))
    with pytest.raises(UserError, match="has no held-out comparison: all 3 are in its train split"):
        evaluate_reward_model(prepared(tmp_path / "1", trained_directory, dataset=train))
    run = prepared(tmp_path / "2", trained_directory, {"split": "all"}, dataset=train)
    evaluate_reward_model(run)
    assert report(run)["counts"]["comparisons"] == 3
    ties = write_dataset(tmp_path / "ties", [row("1", "Why?", ["a", "b"], [[1, 1]], split="test")])
    with pytest.raises(UserError, match="all that it says are ties"):
        evaluate_reward_model(prepared(tmp_path / "3", trained_directory, dataset=ties))


def test_a_second_model_that_scores_something_else_is_refused(tmp_path, trained_directory, dataset_of_two):
    second = tmp_path / "second"
    second.mkdir()
    (second / "reward.json").write_text(json.dumps({"dimensions": ["truth"]}))
    run = prepared(tmp_path / "run", trained_directory, dataset=dataset_of_two, second=second)
    with pytest.raises(UserError, match="there is nothing to compare"):
        evaluate_reward_model(run)


def test_a_context_that_is_too_short_for_the_template_is_said(tmp_path, trained_directory, dataset_of_two):
    import shutil

    model = tmp_path / "model"
    shutil.copytree(trained_directory, model)
    card = json.loads((model / "reward.json").read_text())
    (model / "reward.json").write_text(json.dumps({**card, "max_prompt_tokens": 8}))
    run = prepared(tmp_path / "run", model, dataset=dataset_of_two)
    with pytest.raises(UserError, match="Comparison 12: The chat template alone needs"):
        evaluate_reward_model(run)


def test_what_is_cut_is_counted(tmp_path, trained_directory):
    rows = [row("1", "Long? " * 60, ["y" * 200, "no"], [[1, 2]], split="test")]
    run = prepared(tmp_path / "run", trained_directory, dataset=write_dataset(tmp_path / "long", rows))
    evaluate_reward_model(run)
    assert report(run)["cuts"] == {"prompts_cut": 1, "responses_cut": 1, "responses_empty": 0}
