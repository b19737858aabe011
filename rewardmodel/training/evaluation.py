"""Measuring a reward model: `python -m rewardmodel.training.evaluation RUN_DIR`, the child of an evaluation.

Inputs {"reward_model": directory, and "dataset": directory or "file"; "name" of the test set; "second": directory of
another reward model and "second_name"; "training": directory of the dataset that the model learned from}. The output:

    report.json        every figure
    items.jsonl        every pair with texts, scores and what people say, a line each
    items.index.json   where each line is and what it can be filtered by

Scores are kept in the run's directory as they come, so that a run that was broken off goes on behind the last.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from math import isnan, nan
from pathlib import Path
from typing import Any

from rewardmodel.training.calibration import calibration
from rewardmodel.training.data import Comparison, read_comparisons
from rewardmodel.training.evaluate import by_length, head_to_head
from rewardmodel.training.evaluation_config import EvaluationConfig
from rewardmodel.training.measures import (
    FIFTH,
    Json,
    ScoredPair,
    accuracies,
    against_second,
    best_of_n,
    ceiling,
    distribution,
    length_correlations,
    scored_pairs,
    slices,
)
from rewardmodel.training.overlap import overlaps
from rewardmodel.training.scoring import Conversation, Scorer, load_scorer
from rewardmodel.training.test_sets import TestSet, dataset_test_set, file_test_set, matched
from runs.child import RunDir, Stopped, UserError, child_main, write_json

FORMAT = "plumbline-reward-evaluation/1"
REPORT, ITEMS, INDEX = "report.json", "items.jsonl", "items.index.json"
REPORT_SECONDS = 1.0


@dataclass(frozen=True)
class ScoredComparison:
    """What one model says of a comparison. scores: K rows of one score a dimension; lengths: in tokens."""

    scores: list[list[float]]
    lengths: list[int]
    prompt_cut: bool
    responses_cut: list[bool]


@dataclass(frozen=True)
class Measured:
    """A model and what it says of a test set."""

    dimensions: tuple[str, ...]
    scored: list[ScoredComparison]
    shift: tuple[float, ...] = ()
    members: int = 1

    @property
    def scores(self) -> list[list[list[float]]]:
        """[comparison][K][dimension]"""
        return [each.scores for each in self.scored]

    @property
    def lengths(self) -> list[list[int]]:
        """[comparison][K] tokens"""
        return [each.lengths for each in self.scored]

    def pairs(self, test: TestSet, dimensions: Sequence[str] = ()) -> list[ScoredPair]:
        """Every pair of the test set, on its own dimensions or on these; nan where it has no score for one."""
        places = [self.dimensions.index(name) if name in self.dimensions else None for name in dimensions]
        scores = self.scores
        if dimensions:
            scores = [[[nan if at is None else row[at] for at in places] for row in rows] for rows in scores]
        return scored_pairs(test.comparisons, scores, dimensions or self.dimensions, self.lengths)


def evaluate_reward_model(run: RunDir) -> None:
    """Measure the reward model of `run` and leave report, items and index. Raises UserError for what cannot be."""
    config = EvaluationConfig.model_validate(run.config)
    run.progress(0, 0, "reading the test set")
    test = _test_set(run, config)
    run.check_stop()
    run.progress(0, 0, "loading the model")
    scorer = load_scorer(run.inputs["reward_model"])
    test = matched(test, scorer.dimensions, config.dimension)
    shared = _shared_dimensions(run, scorer, test)
    total = len(test.comparisons) * (2 if shared else 1)
    ours = score_all(run, scorer, test, "scored", config, total=total)
    model = Measured(scorer.dimensions, ours, tuple(scorer.shift), scorer.members)
    del scorer  # its memory, before the second's
    second = None
    if shared:
        run.progress(len(ours), total, "loading the second model")
        other = load_scorer(run.inputs["second"])
        theirs = score_all(run, other, test, "scored-by-second", config, done=len(ours), total=total)
        second = Measured(other.dimensions, theirs)
    run.progress(total, total, "measuring")
    marks = _overlap_marks(run, test.comparisons)
    report = measured(test, model, second, marks)
    report |= {"format": FORMAT, "members": model.members, "second": run.inputs.get("second_name") if second else None}
    run.output.mkdir(parents=True, exist_ok=True)
    write_items(run.output, model.pairs(test), second.pairs(test, model.dimensions) if second else None, marks)
    write_json(run.output / REPORT, report)
    run.result(**summary(report))


def measured(test: TestSet, model: Measured, second: Measured | None = None, marks: Sequence[str] = ()) -> Json:
    """Every figure: {"dimensions": {name: {...}}, "counts", "cuts", "overlap", ...}.

    marks: of each comparison, how its prompt overlaps the training data; () where that is not known.
    """
    comparisons, scores, lengths, dimensions = test.comparisons, model.scores, model.lengths, model.dimensions
    longer = by_length(comparisons, dimensions)
    pairs = model.pairs(test)
    better = head_to_head(comparisons, scores, longer, dimensions)
    found: dict[str, Json] = {}
    for column, dimension in enumerate(dimensions):
        mine = [pair for pair in pairs if pair.dimension == dimension]
        if not mine:
            continue
        entry: Json = {
            **accuracies(mine),
            "better_than_longer": better.get(dimension),
            "pairs": sum(pair.p != 0.5 for pair in mine),
            "ties": sum(pair.p == 0.5 for pair in mine),
            "ceiling": ceiling(comparisons, scores, column, dimension),
            "slices": slices(mine),
            "calibration": calibration(mine),
            "distribution": distribution(mine, model.shift[column] if model.shift else 0.0),
            "length_correlation": length_correlations(comparisons, scores, lengths, column, dimension),
            "best_of_n": best_of_n(comparisons, scores, column, dimension),
        }
        if marks:
            new = [pair for pair in mine if not marks[pair.number]]
            entry["without_overlap"] = accuracies(new) if len(new) < len(mine) else None
        if second and dimension in second.dimensions:
            columns = (column, list(second.dimensions).index(dimension))
            entry["second"] = against_second(comparisons, scores, second.scores, columns, dimension)
        found[dimension] = entry
    prompts = {comparison.prompt_key for comparison in comparisons}
    return {
        "test_set": test.name,
        "dimensions": found,
        "unjudged": [dimension for dimension in dimensions if dimension not in found],
        "counts": {
            "comparisons": len(comparisons),
            "prompts": len(prompts),
            "responses": sum(len(comparison.responses) for comparison in comparisons),
            "pairs": len(pairs),
            "passed_over": test.passed_over,
        },
        "reasons": list(test.reasons),
        "cuts": {
            "prompts_cut": sum(each.prompt_cut for each in model.scored),
            "responses_cut": sum(sum(each.responses_cut) for each in model.scored),
            "responses_empty": sum(length == 1 for each in lengths for length in each),
        },
        "overlap": _overlap_counts(comparisons, marks) if marks else None,
        "interval": "95%, prompts drawn or counted as wholes",
    }


def summary(report: Json) -> Json:
    """What lists show of a report: the result of the run."""
    per = report["dimensions"]
    return {
        "accuracy": {name: each["accuracy"] for name, each in per.items()},
        "baseline_longer": {name: each["longer"] for name, each in per.items()},
        "better_than_longer": {name: each["better_than_longer"] for name, each in per.items()},
        "people": {name: each["ceiling"]["people"] for name, each in per.items()},
        "ece": {name: each["calibration"]["ece"] for name, each in per.items()},
        "overlap": report["overlap"],
        "counts": report["counts"],
        "cuts": report["cuts"],
        "dimensions": list(per),
        "interval": report["interval"],
    }


# scoring --------------------------------------------------------------------------------------------------------------


def score_all(
    run: RunDir, scorer: Scorer, test: TestSet, name: str, config: EvaluationConfig, *, total: int, done: int = 0
) -> list[ScoredComparison]:
    """Scores of every comparison, those that an earlier attempt kept first. Raises UserError for what does not fit."""
    path = run.path / f"{name}.jsonl"
    found = _kept(path)
    if found:
        run.log("Continued behind what was scored before.", comparisons=len(found))
    on_gpu = scorer.net.classifier.device.type == "cuda"
    batch_tokens = config.batch_tokens or (16384 if on_gpu else 2048)
    last, said = "", 0.0

    def conversations() -> Iterator[Conversation]:
        nonlocal last
        for comparison in test.comparisons[len(found) :]:
            last = comparison.id
            yield comparison.prompt, comparison.responses

    waiting = conversations()
    with open(path, "a", encoding="utf-8") as kept:
        try:
            for scored in scorer.stream(waiting, batch_tokens=batch_tokens, stop=lambda: run.stop_requested):
                one = ScoredComparison(
                    scored.scores, list(scored.lengths), scored.prompt_cut, list(scored.responses_cut)
                )
                _check_finite(one, test.comparisons[len(found)])
                found.append(one)
                kept.write(json.dumps(asdict(one)) + "\n")
                if time.monotonic() - said > REPORT_SECONDS:
                    kept.flush()
                    run.progress(done + len(found), total, "scoring")
                    said = time.monotonic()
        except InterruptedError:
            raise Stopped from None
        except ValueError as error:
            raise UserError(f"{test.name} cannot be scored. Comparison {last}: {error}") from error
    return found


def _kept(path: Path) -> list[ScoredComparison]:
    """What an earlier attempt scored. A line that was broken off is cut off."""
    found, whole = [], 0
    if path.is_file():
        with open(path, "rb+") as file:
            for raw in file:
                if not raw.endswith(b"\n"):
                    break
                found.append(ScoredComparison(**json.loads(raw)))
                whole += len(raw)
            file.truncate(whole)
    return found


def _check_finite(scored: ScoredComparison, comparison: Comparison) -> None:
    if not all(abs(score) < float("inf") for row in scored.scores for score in row):
        raise UserError(
            f"The reward model scores comparison {comparison.id} as no number. It is broken: train it again."
        )


def _test_set(run: RunDir, config: EvaluationConfig) -> TestSet:
    name = str(run.inputs.get("name") or "")
    if "file" in run.inputs:
        return file_test_set(run.inputs["file"], format=config.format, filename=name)
    return dataset_test_set(run.inputs["dataset"], config.split, name)


def _shared_dimensions(run: RunDir, scorer: Scorer, test: TestSet) -> list[str]:
    """The tested dimensions that the second model scores too; [] without one. Raises UserError if it shares none."""
    if not run.inputs.get("second"):
        return []
    try:
        theirs = json.loads((Path(run.inputs["second"]) / "reward.json").read_text(encoding="utf-8"))["dimensions"]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{run.inputs['second']} is not a reward model: its card cannot be read ({error}).") from error
    shared = [name for name in test.dimensions if name in theirs]
    if not shared:
        raise UserError(
            f"The second reward model scores {', '.join(theirs)}, and the test is of {', '.join(test.dimensions)}: "
            "there is nothing to compare. Choose one that shares a dimension."
        )
    return shared


# overlap --------------------------------------------------------------------------------------------------------------


def _overlap_marks(run: RunDir, comparisons: Sequence[Comparison]) -> list[str]:
    """Of each comparison how its prompt overlaps what the model was trained on; [] where that is not known."""
    if not run.inputs.get("training"):
        return []
    trained = (each.prompt for each in read_comparisons(run.inputs["training"]) if each.split == "train")
    return overlaps([comparison.prompt for comparison in comparisons], trained)


def _overlap_counts(comparisons: Sequence[Comparison], marks: Sequence[str]) -> Json:
    by_prompt = {comparison.prompt_key: mark for comparison, mark in zip(comparisons, marks, strict=True)}
    return {
        "prompts": len(by_prompt),
        "exact": sum(mark == "exact" for mark in by_prompt.values()),
        "near": sum(mark == "near" for mark in by_prompt.values()),
        "comparisons": sum(bool(mark) for mark in marks),
    }


# items ----------------------------------------------------------------------------------------------------------------


def write_items(
    folder: Path,
    pairs: Sequence[ScoredPair],
    second: Sequence[ScoredPair] | None,
    marks: Sequence[str] = (),
) -> None:
    """Write items.jsonl, a line for each pair in the order of the test set, and the index that pages filter by.

    The index: {"dimensions", "tags": names, "rows": [[offset, bytes, dimension, right, confidence, preferred is
    "shorter" | "alike" | "longer" | "", tags, models differ, distance of the scores], ...]}, dimension and tags by
    number. The distance goes on telling pairs apart where the confidence is 1 in every digit.
    """
    tags: dict[str, int] = {}
    dimensions: dict[str, int] = {}
    rows, offset = [], 0
    with open(folder / ITEMS, "wb") as file:
        for number, pair in enumerate(pairs):
            other = second[number] if second and not isnan(second[number].score_i) else None
            line = item(pair, marks[pair.number] if marks else "", other)
            raw = json.dumps(line, ensure_ascii=False).encode() + b"\n"
            file.write(raw)
            rows.append(
                [
                    offset,
                    len(raw),
                    dimensions.setdefault(pair.dimension, len(dimensions)),
                    line["right"],
                    round(max(pair.probability, 1 - pair.probability), 6),
                    length_class(pair),
                    [tags.setdefault(tag, len(tags)) for tag in pair.comparison.tags],
                    other is not None and (pair.score_i - pair.score_j) * (other.score_i - other.score_j) < 0,
                    round(abs(pair.score_i - pair.score_j), 6),
                ]
            )
            offset += len(raw)
    index = {"dimensions": list(dimensions), "tags": list(tags), "rows": rows}
    (folder / INDEX).write_text(json.dumps(index, ensure_ascii=False), encoding="utf-8")


def item(pair: ScoredPair, overlap: str = "", second: ScoredPair | None = None) -> dict[str, Any]:
    """A line of items.jsonl."""
    comparison = pair.comparison
    names = comparison.response_ids or ("",) * len(comparison.responses)
    line: dict[str, Any] = {
        "comparison": comparison.id,
        "dimension": pair.dimension,
        "split": comparison.split,
        "prompt": comparison.prompt,
        "responses": [{"id": names[place], "text": comparison.responses[place]} for place in (pair.i, pair.j)],
        "i": pair.i,
        "j": pair.j,
        "p": pair.p,
        "weight": pair.weight,
        "margin": pair.margin,
        "judgements": pair.judgements,
        "score_i": pair.score_i,
        "score_j": pair.score_j,
        "probability": pair.probability,
        "right": pair.right,
        "length_i": pair.length_i,
        "length_j": pair.length_j,
        "tags": list(comparison.tags),
        "language": comparison.language,
        "overlap": overlap,
    }
    if second is not None:
        line |= {"second_score_i": second.score_i, "second_score_j": second.score_j, "second_right": second.right}
    return line


def length_class(pair: ScoredPair) -> str:
    """Whether the preferred response is the shorter or the longer one, or "alike" within a fifth; "" of a tie."""
    if pair.p == 0.5:
        return ""
    preferred, other = pair.preferred_length
    return "shorter" if preferred * FIFTH < other else "longer" if preferred > other * FIFTH else "alike"


if __name__ == "__main__":
    child_main(evaluate_reward_model)
