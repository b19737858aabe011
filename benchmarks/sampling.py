"""Sampling against `generate`:
`python -m benchmarks.sampling [--quick] [--json FILE] [--models DIR] [--turns N] [--cases NAME ...]`.

Four prompts, eight responses to each, with natural stops: a response is over when the model ends its turn, at the
latest after 256 tokens. Ours is `lm.sampler.sample`. The peer is transformers' `generate` with
`num_return_sequences=8` on the four prompts as one batch, padded on the left, so all 32 rows run side by side.
Counted are useful tokens: those of the responses up to and with their end token. What `generate` computes for a row
that has ended is not.

Both run SmolLM2-135M-Instruct (its own stops need its own weights) in float32 with two threads, each in a process of
its own, in turns. A turn of ours and the same turn of the peer draw different responses, so speeds are compared over
the tokens of all turns.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import Result, against_peer, report
from benchmarks.sides import Side, Turn, Turns, alternate, serve, started

K = 8
QUESTIONS = (
    "What is the capital of France, and what is it known for?",
    "My friend is sad because her cat died. What could I say to her? Keep it to two sentences.",
    "Explain to a ten year old why the sky is blue.",
    "Write a short email that asks my landlord to repair the heating.",
)
# As PPO and GRPO sample, and as responses for annotators are sampled.
WAYS: dict[str, dict[str, float]] = {
    "training": {"temperature": 1.0, "top_p": 1.0},
    "annotating": {"temperature": 0.8, "top_p": 0.95},
}
TARGET = 3.0


def cases(model: str, models_dir: str, names: Sequence[str], *, quick: bool, turns: int) -> list[Result]:
    """Useful tokens a second, CPU seconds and memory, for each way of sampling (all, if none is named)."""
    found = []
    for name, sampling in WAYS.items():
        if names and name not in names:
            continue
        what = {"model": model, "models_dir": models_dir, "max_tokens": 16 if quick else 256, **sampling}
        sides = [Side("benchmarks.sampling", side, what) for side in ("ours", "generate")]
        with started(*sides):
            ours, peer = alternate(sides, turns, warm_up=0)  # each warms up by itself, with a few tokens
        label = f"temperature {sampling['temperature']:g}, top-p {sampling['top_p']:g}"
        found += compared(f"4 prompts x {K}, {label}", ours, peer)
    return found


def compared(case: str, ours: list[Turn], peer: list[Turn]) -> list[Result]:
    def per_token(turns: list[Turn], spent: str) -> float:
        return sum(getattr(turn, spent) for turn in turns) / sum(turn.value["tokens"] for turn in turns)

    speeds = [1 / per_token(turns, "seconds") for turns in (ours, peer)]
    cpu = [1000 * per_token(turns, "cpu") for turns in (ours, peer)]
    peaks = [turns[-1].peak / 2**30 for turns in (ours, peer)]
    lengths = [sum(turn.value["tokens"] for turn in turns) / (4 * K * len(turns)) for turns in (ours, peer)]
    return [
        against_peer(case, *speeds, "useful tokens/s", TARGET, more_is_better=True),
        Result(f"{case}: CPU", cpu[0], "ms a token", cpu[1], cpu[1] / cpu[0]),
        Result(f"{case}: peak memory", peaks[0], "GiB", peaks[1], peaks[1] / peaks[0]),
        Result(f"{case}: mean length", lengths[0], "tokens", lengths[1]),
    ]


# sides --------------------------------------------------------------------------------------------------------------


def ours(what: dict[str, Any], turns: Turns) -> None:
    from lm.config import Sampling
    from lm.sampler import sample
    from lm.seeds import seed_of

    model, chat, prompts = _loaded(what)

    def once(number: int, longest: int) -> int:
        sampling = Sampling(temperature=what["temperature"], top_p=what["top_p"], max_tokens=longest)
        seeds = [seed_of(number, str(place), member) for place in range(len(prompts)) for member in range(K)]
        found = sample(model, chat, prompts, K, sampling, seeds)
        return sum(len(one.ids) for some in found for one in some)

    _by_turn(turns, once, what["max_tokens"])


def generate(what: dict[str, Any], turns: Turns) -> None:
    import torch

    model, chat, prompts = _loaded(what)
    width = max(map(len, prompts))
    ids = torch.tensor([[chat.pad_id] * (width - len(each)) + each for each in prompts])
    mask = torch.tensor([[0] * (width - len(each)) + [1] * len(each) for each in prompts])

    def once(number: int, longest: int) -> int:
        torch.manual_seed(number)
        with torch.no_grad():
            found = model.generate(
                input_ids=ids,
                attention_mask=mask,
                do_sample=True,
                temperature=what["temperature"],
                top_p=what["top_p"],
                top_k=0,
                max_new_tokens=longest,
                num_return_sequences=K,
                eos_token_id=chat.end_id,
                pad_token_id=chat.pad_id,
            )[:, width:]
        ended = found == chat.end_id
        length = torch.where(ended.any(1), ended.int().argmax(1) + 1, found.shape[1])
        return int(length.sum())

    _by_turn(turns, once, what["max_tokens"])


def _by_turn(turns: Turns, once: Callable[[int, int], int], longest: int) -> None:
    once(0, 4)
    for number in itertools.count(1):
        turns.wait()
        turns.give({"tokens": once(number, longest)})


def _loaded(what: dict[str, Any]) -> tuple[Any, Any, list[list[int]]]:
    from lm.loading import load_policy

    model, chat = load_policy(what["model"], models_dir=what["models_dir"], device="cpu", dtype="float32")
    return model, chat, [chat.prompt_ids([{"role": "user", "content": question}]) for question in QUESTIONS]


# command ------------------------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sampling")
    parser.add_argument("--quick", action="store_true", help="a tiny random model and short responses")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    parser.add_argument("--models", default="var/models", metavar="DIR", help="where packaged models are unpacked")
    parser.add_argument(
        "--cases", nargs="*", default=[], choices=list(WAYS), help="how responses are drawn; default: all"
    )
    parser.add_argument("--turns", type=int, default=3, help="measured turns of each side")
    options = parser.parse_args()
    if not options.quick:
        model = "smollm2-135m-instruct"
        results = cases(model, options.models, options.cases, quick=False, turns=options.turns)
        report("sampling", results, options.json)
        return
    from tests.tiny import tiny_model

    with tempfile.TemporaryDirectory() as folder:
        results = cases(str(tiny_model(folder)), options.models, options.cases, quick=True, turns=1)
    report("sampling", results, options.json)


if __name__ == "__main__":
    import sys

    if sys.argv[1:2] in (["ours"], ["generate"]):
        serve({"ours": ours, "generate": generate})
    else:
        main()
