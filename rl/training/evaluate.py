"""How a policy's responses fare: reward, distance from the reference, length, each with an interval over prompts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lm.chat import Chat
from lm.loading import load_policy
from lm.prefix import Group, backbone, response_logprobs, token_batches
from rewardmodel.training.interrupt import Interrupted, interruptible
from rl.training import estimators
from rl.training.config import EvaluationConfig
from rl.training.intervals import clustered_mean, paired_difference
from rl.training.prompts import is_conversation, read_lines
from rl.training.rewards import Rewards
from runs.child import RunDir, Stopped, UserError

SCORES, REFERENCE_SCORES = "scores.jsonl", "reference_scores.jsonl"
INTERVAL = "{:.0%} percentile bootstrap interval, prompts resampled with all their responses"


@dataclass
class Row:
    """One response and what is found out about it."""

    id: str
    prompt_id: str
    messages: list[dict[str, str]]
    text: str
    finished: bool
    figures: dict[str, float | None] = field(default_factory=dict)


def evaluate(run: RunDir, config: EvaluationConfig) -> None:
    """Measure the policy's responses and, where given, the reference's own responses to the same prompts.

    Inputs: "responses" and optionally "reference_responses", JSONL of {"id", "prompt_id", "messages", "text"} and
    optionally "finish_reason"; "reward_model"; "model" and "adapter" (the policy) and "reference" {"model", "adapter"},
    either of which may be absent where there are no weights to ask, as for an endpoint: then there is no KL.
    """
    rows = read_responses(run.inputs["responses"])
    before = read_responses(run.inputs["reference_responses"]) if run.inputs.get("reference_responses") else []
    try:
        _score(run, config, rows, before)
        compared = _compare(run, config, rows)
    except Interrupted:
        raise Stopped from None  # minutes of work at most, and nothing of it is worth keeping
    run.output.mkdir(parents=True, exist_ok=True)
    _write(run.output / SCORES, rows)
    if before:
        _write(run.output / REFERENCE_SCORES, before)
    figures = _means(rows, config)
    run.metrics(0, **{name: mean["value"] for name, mean in figures.items()})
    run.result(
        algorithm="evaluate",
        policy=figures,
        reference=_means(before, config) or None,
        difference=_differences(rows, before, config) or None,
        responses=len(rows),
        reference_responses=len(before),
        interval=INTERVAL.format(config.confidence),
        kl_compared=compared,
    )
    for row in rows[:4]:
        run.sample(0, prompt=row.messages[-1]["content"], response=row.text, reward=row.figures["reward"])


def read_responses(path: str | Path) -> list[Row]:
    """Read a JSONL file of responses. Raises UserError naming the line, or if there is none."""
    rows = []
    for number, line in read_lines(path):
        if not is_conversation(line.get("messages")) or not isinstance(line.get("text"), str):
            raise UserError(
                f"{Path(path).name}, line {number}: a response needs a text and the messages it answers, the last of "
                "them a user's."
            )
        rows.append(
            Row(
                id=str(line.get("id", number)),
                prompt_id=str(line.get("prompt_id", number)),
                messages=line["messages"],
                text=line["text"],
                finished=line.get("finish_reason") != "length",
            )
        )
    if not rows:
        raise UserError("There are no responses to evaluate. Generate responses with this policy first.")
    return rows


# figures by response ------------------------------------------------------------------------------------------------


def _score(run: RunDir, config: EvaluationConfig, *sides: Sequence[Row]) -> None:
    rewards = Rewards.load(run.inputs["reward_model"], config.dimension_weights)
    chat = rewards.scorer.net.chat
    total = sum(map(len, sides))
    run.progress(0, total, "scoring")
    for rows in sides:
        for places in _by_prompt(rows):
            here = [rows[place] for place in places]
            [found] = rewards.by_dimension(
                [(here[0].messages, [row.text for row in here])],
                batch_tokens=config.batch_tokens,
                stop=lambda: run.stop_requested,
            )
            for row, values in zip(here, found, strict=True):
                row.figures["reward"] = rewards.combine(values)
                for name, value in zip(rewards.dimensions, values, strict=True):
                    row.figures[f"reward/{name}"] = value
                row.figures["tokens"] = float(len(_response_ids(chat, row)))


def _compare(run: RunDir, config: EvaluationConfig, rows: Sequence[Row]) -> bool:
    """Fill in log-probs and KL. False, with a line in the log that says why, where there can be none."""
    policy = {"model": run.inputs.get("model"), "adapter": run.inputs.get("adapter")}
    other = run.inputs.get("reference") or {}
    other = {"model": other.get("model"), "adapter": other.get("adapter")}
    if not policy["model"] or not other["model"]:
        run.log("No KL: policy and reference must both be local models.")
        return False
    ours, chat = _logprobs(run, config, rows, policy, "policy")
    if other == policy:
        theirs = ours
    else:
        theirs, reference_chat = _logprobs(run, config, rows, other, "reference")
        if reference_chat.tokenizer.get_vocab() != chat.tokenizer.get_vocab():
            run.log("No KL: policy and reference have different tokenizers.")
            return False
    for row, mine, its in zip(rows, ours, theirs, strict=True):
        row.figures["logprob"] = float(mine.sum())
        row.figures["reference_logprob"] = float(its.sum())
        row.figures["kl"] = float(estimators.kl_k1(mine, its).sum())
        row.figures["kl_k3_per_token"] = float(estimators.kl_k3(mine, its).mean())
        row.figures["tokens"] = float(len(mine))
    return True


def _logprobs(
    run: RunDir, config: EvaluationConfig, rows: Sequence[Row], which: Mapping[str, Any], name: str
) -> tuple[list[Tensor], Chat]:
    """Log-prob of every token [R] of every row under one model, which is freed again before another is loaded."""
    try:
        model, chat = load_policy(
            which["model"], adapter=which["adapter"], models_dir=run.inputs.get("models_dir"), dtype=config.dtype
        )
    except ValueError as error:
        raise UserError(str(error)) from error
    places = _by_prompt(rows)
    groups = []
    for here in places:
        try:
            prompt, _ = chat.fit(rows[here[0]].messages, config.max_prompt_tokens)
        except ValueError as error:
            raise UserError(f"Prompt {rows[here[0]].prompt_id}: {error} Raise the longest prompt.") from error
        groups.append(Group(prompt, [_response_ids(chat, rows[place]) for place in here]))
    found: dict[int, Tensor] = {}
    with interruptible(backbone(model), lambda: run.stop_requested), torch.no_grad():
        for indices in token_batches(groups, config.batch_tokens):
            values = response_logprobs(model, [groups[i] for i in indices], temperature=config.temperature)
            for index, responses in zip(indices, values, strict=True):
                for place, tokens in zip(places[index], responses, strict=True):
                    found[place] = tokens.double().cpu()
            run.progress(len(found), len(rows), f"log-probs under the {name}")
    return [found[place] for place in range(len(rows))], chat


def _response_ids(chat: Chat, row: Row) -> list[int]:
    """The tokens that were sampled: a response that ran out of room never chose to end."""
    ids = chat.response_ids(row.text)
    return ids if row.finished or len(ids) == 1 else ids[:-1]


def _by_prompt(rows: Sequence[Row]) -> list[list[int]]:
    """Places of the rows that answer one prompt, so that it is run once for all of them."""
    together: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        key = row.prompt_id + "\n" + json.dumps(row.messages, sort_keys=True)
        together.setdefault(key, []).append(place)
    return list(together.values())


# figures over all ---------------------------------------------------------------------------------------------------


def _columns(rows: Sequence[Row]) -> dict[str, list[float]]:
    names = [name for name in rows[0].figures if name not in ("logprob", "reference_logprob")] if rows else []
    columns = {name: [row.figures[name] for row in rows] for name in names}
    if rows:
        columns["eos_rate"] = [float(row.finished) for row in rows]
    return {name: [float(value) for value in values if value is not None] for name, values in columns.items()}


def _means(rows: Sequence[Row], config: EvaluationConfig) -> dict[str, dict[str, float]]:
    clusters = [row.prompt_id for row in rows]
    return {
        name: clustered_mean(values, clusters, **_bootstrap(config)).plain() for name, values in _columns(rows).items()
    }


def _differences(rows: Sequence[Row], before: Sequence[Row], config: EvaluationConfig) -> dict[str, dict[str, float]]:
    """Policy less reference, paired by prompt, of every figure that both have."""
    ours, theirs = _columns(rows), _columns(before)
    found = {}
    for name in ours.keys() & theirs.keys():
        gap = paired_difference(
            ours[name],
            [row.prompt_id for row in rows],
            theirs[name],
            [row.prompt_id for row in before],
            **_bootstrap(config),
        )
        if gap is not None:
            found[name] = gap.plain()
    return found


def _bootstrap(config: EvaluationConfig) -> dict[str, Any]:
    return {"confidence": config.confidence, "resamples": config.resamples, "seed": config.seed}


def _write(path: Path, rows: Sequence[Row]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        for row in rows:
            line = {
                "id": row.id,
                "prompt_id": row.prompt_id,
                "text": row.text,
                "finished": row.finished,
                "kl": None,
                **row.figures,
                "tokens": int(row.figures["tokens"] or 0),
            }
            file.write(json.dumps(line, ensure_ascii=False, sort_keys=True) + "\n")
