"""Scoring a file: `python -m rewardmodel.training.score RUN_DIR`, the child of a score run.

Inputs {"reward_model": directory, "file", "filename"}; the file may be of any format that annotate.formats reads. It is
looked through once before anything is scored, then streamed: neither texts nor scores are ever all in memory. The
output is `scores.jsonl`, a line for every prompt with responses, in the order of the file. A run that was broken off
goes on behind its last whole line.
"""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any

from annotate.formats.jsonl import Findings
from annotate.formats.reading import read_records
from annotate.formats.records import Record
from rewardmodel.training.score_config import ScoreConfig
from rewardmodel.training.scoring import Conversation, Scored, Scorer, load_scorer
from runs.child import RunDir, Stopped, UserError, child_main

SCORES = "scores.jsonl"
COMPLAINTS = 5
REPORT_SECONDS = 1.0


@dataclass
class Tally:
    """What a scoring has come to so far; made from its lines, so that a resumed one counts those of before."""

    dimensions: tuple[str, ...]
    prompts: int = 0
    responses: int = 0
    prompts_cut: int = 0
    responses_cut: int = 0
    means: dict[str, float] = field(default_factory=dict)
    squares: dict[str, float] = field(default_factory=dict)

    def add(self, line: dict[str, Any]) -> None:
        """Count a line, its rewards by the running mean and sum of squares of Welford (1962)."""
        self.prompts += 1
        self.prompts_cut += line["prompt_cut"]
        for each in line.get("responses", [line]):
            self.responses += 1
            self.responses_cut += each["cut"]
            for name in self.dimensions:
                reward, mean = each["rewards"][name], self.means.get(name, 0.0)
                self.means[name] = mean + (reward - mean) / self.responses
                self.squares[name] = self.squares.get(name, 0.0) + (reward - mean) * (reward - self.means[name])

    def result(self) -> dict[str, Any]:
        """Its figures."""
        spread = {name: math.sqrt(total / self.responses) for name, total in self.squares.items()}
        counts = {name: getattr(self, name) for name in ("prompts", "responses", "prompts_cut", "responses_cut")}
        return {**counts, "reward_mean": self.means, "reward_std": spread}


def score_file(run: RunDir) -> None:
    """Score the file of `run` and leave `output/scores.jsonl`. Raises UserError for what cannot be scored."""
    config = ScoreConfig.model_validate(run.config)
    path, filename = Path(run.inputs["file"]), str(run.inputs.get("filename", ""))
    run.progress(0, 0, "reading the file")
    total, skipped = look_through(path, config, filename)
    run.check_stop()
    run.progress(0, total, "loading the model")
    scorer = load_scorer(run.inputs["reward_model"])
    column = best_column(scorer.dimensions, config)
    run.output.mkdir(parents=True, exist_ok=True)
    tally = Tally(scorer.dimensions)
    with open(run.output / SCORES, "a+b") as output:
        done = kept_lines(output, tally)
        if done:
            run.log("Continued behind what was scored before.", prompts=done)
        _score(run, scorer, config, column, path, filename, output, tally, done=done, total=total)
    run.progress(total, total, "scored")
    run.result(**tally.result(), dimensions=list(scorer.dimensions), members=scorer.members, **skipped)


def look_through(path: Path, config: ScoreConfig, filename: str = "") -> tuple[int, dict[str, Any]]:
    """How many prompts with responses a file has, and what is passed over: {"skipped", "reasons"}.

    Raises UserError that names the lines that are wrong: nothing of such a file is scored.
    """
    findings = Findings()
    count = unanswered = 0
    for record in _records(path, config, filename, findings):
        count += bool(record.responses)
        unanswered += not record.responses
    if findings.error_count:
        said = " ".join(str(problem) for problem in findings.errors[:COMPLAINTS])
        more = findings.error_count - min(len(findings.errors), COMPLAINTS)
        rest = f" And {more} more." if more else ""
        raise UserError(f"{filename or path.name} cannot be scored. {said}{rest}")
    reasons = [str(problem) for problem in findings.skipped[:COMPLAINTS]]
    if unanswered:
        reasons.append(f"{unanswered} prompts have no responses.")
    if not count:
        why = " ".join(reasons) or "It has no prompt."
        raise UserError(f"{filename or path.name} has no response to score. {why}")
    return count, {"skipped": findings.skipped_count + unanswered, "reasons": reasons}


def best_column(dimensions: Sequence[str], config: ScoreConfig) -> int:
    """Which dimension says what is best. Raises UserError if the model has none of that name, or must be told."""
    if config.dimension and config.dimension not in dimensions:
        raise UserError(f"The reward model has no dimension {config.dimension}. It scores {', '.join(dimensions)}.")
    if config.best_only and not config.dimension and len(dimensions) > 1:
        raise UserError(f"The reward model scores {', '.join(dimensions)}. Say by which of them a response is best.")
    return dimensions.index(config.dimension) if config.dimension else 0


def kept_lines(output: IO[bytes], tally: Tally) -> int:
    """How many whole lines an earlier attempt wrote. What comes after the last of them is cut off."""
    output.seek(0)
    whole = lines = 0
    for raw in output:
        if not raw.endswith(b"\n"):
            break
        tally.add(json.loads(raw))
        whole += len(raw)
        lines += 1
    output.truncate(whole)
    output.seek(0, 2)
    return lines


def line_of(
    record: Record, scored: Scored, scorer: Scorer, *, column: int | None = None, shift: Sequence[float] | None = None
) -> dict[str, Any]:
    """A line of scores.jsonl. With `column`, only the response that is best by it, as a conversation."""
    shift = scorer.shift if shift is None else shift
    rows = scored.scores
    spread = scored.disagreement if scorer.members > 1 else None

    def figures(place: int) -> dict[str, Any]:
        names = scorer.dimensions
        found = {
            "scores": dict(zip(names, rows[place], strict=True)),
            "rewards": {name: value - low for name, value, low in zip(names, rows[place], shift, strict=True)},
            "cut": scored.responses_cut[place],
        }
        return found | ({"disagreement": dict(zip(names, spread[place], strict=True))} if spread else {})

    def best(index: int) -> int:
        return max(range(len(rows)), key=lambda place: rows[place][index])

    about = {key: value for key in ("source_id", "tags") if (value := getattr(record, key))}
    if column is not None:
        place = best(column)
        answer = {"role": "assistant", "content": record.responses[place].text}
        line = {"messages": [*record.prompt, answer], **figures(place), "of": len(rows)}
    else:
        responses = []
        for place, response in enumerate(record.responses):
            named = {key: value for key in ("id", "generator") if (value := getattr(response, key))}
            responses.append({"text": response.text, **named, **figures(place)})
        chosen = {name: best(index) for index, name in enumerate(scorer.dimensions)}
        line = {"prompt": record.prompt, "responses": responses, "best": chosen}
    return {**line, "prompt_cut": scored.prompt_cut, "line": record.line, **about}


def _score(
    run: RunDir,
    scorer: Scorer,
    config: ScoreConfig,
    column: int,
    path: Path,
    filename: str,
    output: IO[bytes],
    tally: Tally,
    *,
    done: int,
    total: int,
) -> None:
    on_gpu = scorer.net.classifier.device.type == "cuda"
    batch_tokens = config.batch_tokens or (16384 if on_gpu else 2048)
    held: deque[Record] = deque()

    def conversations() -> Iterator[Conversation]:
        records = (each for each in _records(path, config, filename, Findings()) if each.responses)
        for record in islice(records, done, None):
            held.append(record)
            yield record.prompt, [response.text for response in record.responses]

    shift, said = scorer.shift, 0.0
    try:
        for scored in scorer.stream(conversations(), batch_tokens=batch_tokens, stop=lambda: run.stop_requested):
            record = held.popleft()
            line = line_of(record, scored, scorer, column=column if config.best_only else None, shift=shift)
            output.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
            tally.add(line)
            if time.monotonic() - said > REPORT_SECONDS:
                output.flush()
                run.progress(tally.prompts, total, "scoring")
                said = time.monotonic()
    except InterruptedError:
        output.flush()
        raise Stopped from None
    except ValueError as error:
        where = f"Line {held[-1].line}: " if held else ""
        raise UserError(f"{filename or path.name} cannot be scored. {where}{error}") from error


def _records(path: Path, config: ScoreConfig, filename: str, findings: Findings) -> Iterator[Record]:
    with open(path, "rb") as file:
        yield from read_records(file, findings, format=config.format, keep_empty=True, filename=filename or path.name)


if __name__ == "__main__":
    child_main(score_file)
