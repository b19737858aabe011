"""The generation run: K responses to every prompt of a file, by a local model or an endpoint.

    inputs   {"prompts": JSONL of {"id", "messages"}, "models_dir", and either "model" with "adapter" (or null),
              or "endpoint": {"url", "model", "api_key_env"}}
    output   responses.jsonl of {"prompt_id", "sample_index", "text", "tokens", "finish_reason", "seed"}

The lines of a prompt are written together when all of its responses are there, so a run that is continued skips the
prompts it finds and, each response having a seed of its own, ends with what it would have had in one go.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lm.checks import check_adapter, check_model
from lm.config import GenerationConfig
from lm.endpoint import Endpoint
from lm.seeds import seed_of
from runs.child import RunDir, Stopped, UserError

RESPONSES = "responses.jsonl"

# Text, tokens, finish reason and seed of one response.
_Row = tuple[str, int | None, str, int]


@dataclass(frozen=True)
class Prompt:
    """A conversation to answer, under the id that its responses carry."""

    id: str
    messages: list[dict[str, str]]


@dataclass
class _Tally:
    """What the run reports about its own work (of this attempt, where it took several)."""

    total: int
    done: int
    k: int
    started: float = field(default_factory=time.monotonic)
    responses: int = 0
    tokens: int = 0
    finished: int = 0
    truncated: int = 0

    @property
    def seconds(self) -> float:
        return max(time.monotonic() - self.started, 1e-9)


def generate(run: RunDir) -> None:
    """Do the generation run in `run`. Raises UserError, MachineError or Stopped as `runs.child` wants it."""
    try:
        config = GenerationConfig.model_validate(run.config)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"The configuration is wrong at {'.'.join(map(str, first['loc']))}: {first['msg']}.") from error
    prompts = read_prompts(Path(run.inputs["prompts"]))
    output = run.output / RESPONSES
    known = {prompt.id for prompt in prompts}
    kept = keep_complete(output, config.k, known)
    waiting = [prompt for prompt in prompts if prompt.id not in kept]
    if kept:
        run.log(f"Continuing: {len(kept)} of {len(prompts)} prompts have their responses.")
    tally = _Tally(total=len(prompts), done=len(kept), k=config.k)
    run.progress(tally.done, tally.total)
    if waiting:
        work = _from_endpoint if run.inputs.get("endpoint") else _from_model
        work(run, config, waiting, output, tally)
    if tally.done < tally.total:
        raise Stopped
    put_in_order(output, [prompt.id for prompt in prompts])
    run.result(
        prompts=tally.total,
        responses=tally.total * config.k,
        new_responses=tally.responses,
        tokens=tally.tokens,
        tokens_per_second=tally.tokens / tally.seconds,
        finished_share=tally.finished / max(1, tally.responses),
        truncated_prompts=tally.truncated,
        seconds=tally.seconds,
    )


def _from_model(run: RunDir, config: GenerationConfig, prompts: list[Prompt], output: Path, tally: _Tally) -> None:
    inputs = run.inputs
    models_dir = inputs.get("models_dir")
    try:
        check_model(inputs["model"], Path(models_dir) if models_dir else None)
        if inputs.get("adapter"):
            check_adapter(inputs["adapter"])
    except ValueError as error:
        raise UserError(str(error)) from error
    # Imported here, so that a run on an endpoint, or with a name that is wrong, needs no torch.
    import torch

    from lm.loading import load_policy
    from lm.prefix import unwrap
    from lm.sampler import Sample, sample

    try:
        model, chat = load_policy(
            inputs["model"],
            adapter=inputs.get("adapter") or None,
            models_dir=models_dir,
            device=inputs.get("device", "auto"),
            dtype=config.dtype,
        )
        limit = getattr(unwrap(model).config, "max_position_embeddings", 2048)
        if limit <= config.sampling.max_tokens:
            raise ValueError(
                f"The model reads {limit} tokens, and responses of {config.sampling.max_tokens} leave none."
            )
        fitted = [chat.fit(prompt.messages, limit - config.sampling.max_tokens) for prompt in prompts]
    except ValueError as error:
        raise UserError(str(error)) from error
    tally.truncated = sum(truncated for _, truncated in fitted)
    if tally.truncated:
        run.log(f"{tally.truncated} prompts are longer than the model reads; their oldest turns are left out.")
    # Prompts of like length, longest first: the cache is as wide as its widest prompt.
    order = sorted(range(len(prompts)), key=lambda number: (-len(fitted[number][0]), number))
    seeds = [_seeds(config, prompts[number]) for number in order]
    torch.manual_seed(config.seed)
    tally.started = time.monotonic()

    def on_prompt(number: int, samples: list[Sample]) -> None:
        rows: list[_Row] = [
            (chat.text(one.ids), len(one.ids), "stop" if one.finished else "length", seed)
            for one, seed in zip(samples, seeds[number], strict=True)
        ]
        _record(run, output, prompts[order[number]], rows, tally)

    sample(
        model,
        chat,
        [fitted[number][0] for number in order],
        config.k,
        config.sampling,
        [seed for of_prompt in seeds for seed in of_prompt],
        rows=config.rows,
        stop=lambda: run.stop_requested,
        on_prompt=on_prompt,
    )


def _from_endpoint(run: RunDir, config: GenerationConfig, prompts: list[Prompt], output: Path, tally: _Tally) -> None:
    settings = run.inputs["endpoint"]
    endpoint = Endpoint(
        settings["url"],
        settings["model"],
        settings.get("api_key_env") or None,
        per_minute=config.requests_per_minute,
    )
    seeds = [_seeds(config, prompt) for prompt in prompts]

    def on_prompt(number: int, completions: Sequence[Any]) -> None:
        rows: list[_Row] = [
            (one.text, one.tokens, one.finish_reason, seed)
            for one, seed in zip(completions, seeds[number], strict=True)
        ]
        _record(run, output, prompts[number], rows, tally)

    endpoint.sample(
        [prompt.messages for prompt in prompts],
        config.k,
        config.sampling,
        [seed for of_prompt in seeds for seed in of_prompt],
        parallel=config.requests_together,
        stop=lambda: run.stop_requested,
        on_prompt=on_prompt,
    )


def _seeds(config: GenerationConfig, prompt: Prompt) -> list[int]:
    return [seed_of(config.seed, prompt.id, index) for index in range(config.k)]


def _record(run: RunDir, output: Path, prompt: Prompt, rows: list[_Row], tally: _Tally) -> None:
    """Append the responses of one prompt in one write, and tell how far the run is."""
    lines = [
        {
            "prompt_id": prompt.id,
            "sample_index": index,
            "text": text,
            "tokens": tokens,
            "finish_reason": reason,
            "seed": seed,
        }
        for index, (text, tokens, reason, seed) in enumerate(rows)
    ]
    with open(output, "a", encoding="utf-8") as file:
        file.write("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
        file.flush()
        os.fsync(file.fileno())
    tally.done += 1
    tally.responses += len(rows)
    tally.tokens += sum(tokens or 0 for _, tokens, _, _ in rows)
    tally.finished += sum(reason == "stop" for _, _, reason, _ in rows)
    rate = tally.tokens / tally.seconds
    run.progress(tally.done, tally.total, f"{rate:,.0f} tokens/s")
    run.metrics(
        tally.done,
        tokens_per_second=rate,
        response_tokens=sum(tokens or 0 for _, tokens, _, _ in rows) / len(rows),
        finished_share=sum(reason == "stop" for _, _, reason, _ in rows) / len(rows),
    )
    if tally.done <= 8:
        run.sample(tally.done, prompt=prompt.messages[-1]["content"], response=rows[0][0])


def read_prompts(path: Path) -> list[Prompt]:
    """Prompts of a JSONL file. Raises UserError with the line number of the first that is wrong."""
    prompts: list[Prompt] = []
    seen: set[str] = set()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The prompts in {path} cannot be read: {error}.") from error
    # Not splitlines: a text may hold other line separators than the newline that ends a JSON line.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
            prompt = Prompt(str(value["id"]), [_message(one) for one in value["messages"]])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path.name}, line {number}: not a prompt with id and messages ({error}).") from error
        if not prompt.messages or prompt.messages[-1]["role"] != "user":
            raise UserError(f"{path.name}, line {number}: a prompt must end with a user turn.")
        if prompt.id in seen:
            raise UserError(f"{path.name}, line {number}: the id {prompt.id} is used twice.")
        seen.add(prompt.id)
        prompts.append(prompt)
    if not prompts:
        raise UserError(f"{path.name} holds no prompts.")
    return prompts


def _message(value: Any) -> dict[str, str]:
    role, content = value["role"], value["content"]
    if not isinstance(role, str) or not isinstance(content, str):
        raise TypeError("role and content must be texts")
    return {"role": role, "content": content}


def keep_complete(output: Path, k: int, known: set[str]) -> set[str]:
    """Ids of prompts whose `k` responses are all in `output`; whatever else is in it (a torn last line) is dropped."""
    if not output.exists():
        return set()
    lines = _lines(output)
    complete = {
        prompt: of_prompt
        for prompt, of_prompt in lines.items()
        if prompt in known and sorted(index for index, _ in of_prompt) == list(range(k))
    }
    _replace(output, [line for of_prompt in complete.values() for _, line in of_prompt])
    return set(complete)


def put_in_order(output: Path, ids: Sequence[str]) -> None:
    """Sort by prompt, as in the prompts file, and sample: the file is the same however the responses were made."""
    lines = _lines(output)
    _replace(output, [line for prompt in ids for _, line in sorted(lines[prompt])])


def _lines(output: Path) -> dict[str, list[tuple[int, str]]]:
    """The whole lines of `output` with their sample indices, by prompt."""
    lines: dict[str, list[tuple[int, str]]] = {}
    for line in output.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            value = json.loads(line)
            lines.setdefault(value["prompt_id"], []).append((int(value["sample_index"]), line))
        except (ValueError, KeyError, TypeError):
            continue
    return lines


def _replace(output: Path, lines: Sequence[str]) -> None:
    partial = output.with_name(output.name + ".partial")
    with open(partial, "w", encoding="utf-8") as file:
        file.write("".join(line + "\n" for line in lines))
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, output)
