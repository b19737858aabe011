"""Do the algorithms learn? `python -m benchmarks.learning [--quick] [--json FILE] [--svg FILE]`.

A tiny random Llama (tests/tiny.py) is trained for a reward that is known exactly: a response earns a fifth for each of
the lengths 1 to 5 of which it has a run of lowercase letters. So the reward is the true objective, nothing can be
hacked, and whatever rises was learnt. Every algorithm runs with 3 seeds; after each part of the training the policy
answers prompts that it was not trained on, always with the same random streams. Shown are the objective before and
after the last step (no step is chosen by it), the gain paired by prompt with its 95% bootstrap interval, and the KL
from the start that it cost. An algorithm has learnt if the interval lies above 0 for every seed.

DPO learns from rankings that the known reward makes of eight samples of the untrained model to each prompt.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft import set_peft_model_state_dict
from safetensors.torch import load_file

from benchmarks.common import Result, machine, report
from lm.adapters import POLICY
from rl.training.actor import load_actor
from rl.training.checks import figure
from rl.training.config import DPOConfig, GRPOConfig, policy_config
from rl.training.judge import Judge
from rl.training.measuring import Measured, gain, measure
from rl.training.prompts import encode_prompts, held_out, read_prompts
from rl.training.rollout import answer
from rl.training.work import work
from runs.child import RunDir
from tests.tiny import tiny_model

SEEDS = (0, 1, 2)
RUNS = {
    "kind": "share",
    "name": "letters",
    "of": [{"kind": "pattern", "pattern": f"[a-z]{{{length}}}"} for length in range(1, 6)],
}
ONLINE = {
    "checks": [RUNS],
    "prompts_per_step": 8,
    "samples_per_prompt": 8,
    "max_response_tokens": 16,
    "learning_rate": 1e-2,
    "eos_penalty": 0.0,
    "lora": {"rank": 8},
    "sample_every": 0,
    "checkpoint_every": 100_000,
    "held_out_prompts": 64,
    "save": "last",
}
# KL keeps its price everywhere but in rejection sampling, which has none.
ALGORITHMS: dict[str, dict[str, Any]] = {
    "ppo": {"epochs": 2, "minibatches": 2, "kl_coef": 0.005, "critic": "zero"},
    "grpo": {"kl_coef": 0.005},
    "rloo": {"kl_coef": 0.005},
    "reinforce": {"kl_coef": 0.005},
    "best_of_n": {"keep": 2, "epochs": 2},
}
STEPS, QUICK_STEPS = 40, 12
LABELS = {
    "ppo": "PPO",
    "grpo": "GRPO",
    "rloo": "RLOO",
    "reinforce": "REINFORCE++",
    "best_of_n": "Best of n",
    "dpo": "DPO",
}


@dataclass(frozen=True)
class Curve:
    """One training: (part done, objective on held-out prompts, KL) at each measurement, and the gain at the end."""

    algorithm: str
    seed: int
    points: list[tuple[float, float, float]]
    outcome: dict[str, Any]

    @property
    def learnt(self) -> bool:
        return self.outcome["gain"]["low"] > 0


def write_prompts(path: Path, count: int = 256) -> Path:
    """Questions of different lengths."""
    rows = [
        {"id": str(number), "messages": [{"role": "user", "content": f"{'Why ' * (number % 4)}{number}?"}]}
        for number in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def train(folder: Path, config: dict[str, Any], **inputs: Any) -> Path:
    """Train as a run does, in this process; the run's directory."""
    folder.mkdir(parents=True)
    spec = {"run": 1, "kind": "policy", "seed": config["seed"], "config": config, "inputs": {"adapter": None, **inputs}}
    (folder / "run.json").write_text(json.dumps(spec), encoding="utf-8")
    work(RunDir(folder))
    return folder


def online(folder: Path, algorithm: str, seed: int, steps: int, **changes: Any) -> Curve:
    """Train with an algorithm that samples. `folder` has model/ and prompts.jsonl."""
    every = max(1, steps // 8)
    config = {"algorithm": algorithm, **ONLINE, **ALGORITHMS[algorithm], "steps": steps, "seed": seed, **changes}
    config["evaluate_every"] = every
    run = train(
        folder / f"{algorithm}-{seed}", config, model=str(folder / "model"), prompts=str(folder / "prompts.jsonl")
    )
    events = [json.loads(line) for line in (run / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    points = [
        (event["step"] / steps, event["data"]["test_reward"], event["data"]["test_kl"])
        for event in events
        if event["type"] == "metrics" and "test_reward" in event["data"]
    ]
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    return Curve(algorithm, seed, points, result["held_out"])


def offline(folder: Path, seed: int, epochs: Sequence[int]) -> Curve:
    """Rank samples of the untrained model by the known reward, and learn from those with DPO."""
    prepared = folder / f"dpo-{seed}"
    config: Any = GRPOConfig(**{**ONLINE, "seed": seed})
    actor = load_actor(config, {"model": str(folder / "model"), "adapter": None, "models_dir": None})
    prompts = encode_prompts(read_prompts(folder / "prompts.jsonl"), actor.chat, 512)
    to_train, kept = held_out(prompts, config.held_out_prompts, seed)
    judge = Judge(config, None)
    answers = answer(actor, to_train, config, "rankings", 8, stop=lambda: False)
    rows = []
    for prompt, some in zip(to_train, answers, strict=True):
        texts = [actor.chat.text(one.ids) for one in some]
        scores = [figure(config.checks[0], text) for text in texts]
        order = sorted(set(scores), reverse=True)
        ranking = {"ranks": [order.index(score) + 1 for score in scores], "weight": 1.0}
        rows.append(
            {
                "comparison": prompt.id,
                "dimension": "letters",
                "split": "train",
                "prompt": prompt.messages,
                "responses": [{"id": str(number), "text": text} for number, text in enumerate(texts)],
                "rankings": [ranking],
            }
        )
    prepared.mkdir(parents=True)
    (prepared / "rankings.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    before = measure(actor, judge, kept, config, 0)
    points, after = [(0.0, before.figures["test_reward"], 0.0)], before
    for count in epochs:
        settings = {"algorithm": "dpo", "beta": 0.05, "learning_rate": 1e-2, "epochs": count, "seed": seed}
        settings |= {"lora": {"rank": 8}, "sample_every": 0, "checkpoint_every": 100_000}
        run = train(prepared / f"epochs-{count}", settings, model=str(folder / "model"), dataset=str(prepared))
        after = _measured(folder, run, config, judge, kept, count)
        points.append((count / epochs[-1], after.figures["test_reward"], after.figures["test_kl"]))
    return Curve("dpo", seed, points, gain(before, after))


def _measured(folder: Path, run: Path, config: Any, judge: Judge, kept: Any, step: int) -> Measured:
    """What a saved adapter does on the held-out prompts, held against the bare base."""
    settings: DPOConfig = policy_config.validate_python(json.loads((run / "run.json").read_text())["config"])
    actor = load_actor(settings, {"model": str(folder / "model"), "adapter": None, "models_dir": None})
    weights = load_file(run / "output" / "adapter_model.safetensors")
    set_peft_model_state_dict(actor.model, weights, adapter_name=POLICY)
    return measure(actor, judge, kept, config, step)


def curves(quick: bool) -> Iterable[Curve]:
    """Train everything, one after the other."""
    seeds = SEEDS[:1] if quick else SEEDS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tiny_model(folder / "model")
        write_prompts(folder / "prompts.jsonl")
        for algorithm in ALGORITHMS:
            for seed in seeds:
                yield online(folder, algorithm, seed, QUICK_STEPS if quick else STEPS)
        for seed in seeds:
            yield offline(folder, seed, (1,) if quick else (1, 2))


def results(found: Sequence[Curve]) -> list[Result]:
    """One row an algorithm: the least certain seed's lower bound of the gain, which must lie above 0."""
    rows = []
    for algorithm in dict.fromkeys(curve.algorithm for curve in found):
        of = [curve for curve in found if curve.algorithm == algorithm]
        for curve in of:
            before, after, kl = (curve.outcome[name]["value"] for name in ("before", "after", "kl"))
            rise = curve.outcome["gain"]
            case = (
                f"{LABELS[algorithm]}, seed {curve.seed}: {before:.3f} to {after:.3f} at KL {kl:.2f}; "
                f"gain {rise['value']:.3f} [{rise['low']:.3f}, {rise['high']:.3f}]"
            )
            rows.append(Result(case, rise["low"], "lower bound of the gain", target=0.0, met=curve.learnt))
    return rows


# the chart ----------------------------------------------------------------------------------------------------------

COLOURS = ("#3b5bdb", "#e8590c", "#2b8a3e", "#ae3ec9", "#c92a2a", "#0b7285")


def svg(found: Sequence[Curve]) -> str:
    """The objective against the KL from the start, a line an algorithm and seed. Up and to the left is better."""
    names = list(dict.fromkeys(curve.algorithm for curve in found))
    colour = dict(zip(names, COLOURS, strict=False))
    most = max(kl for curve in found for _, _, kl in curve.points) or 1.0

    def place(kl: float, objective: float) -> str:
        return f"{60 + 560 * max(0.0, kl) / most:.1f},{360 - 320 * objective:.1f}"

    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 420" font-family="system-ui, sans-serif" '
        'font-size="12"><rect width="760" height="420" fill="#fff"/>',
        '<path d="M60 40V360H620" fill="none" stroke="#868e96"/>',
    ]
    for tick in range(5):
        kl, objective = most * tick / 4, tick / 4
        parts.append(f'<text x="{60 + 140 * tick}" y="378" text-anchor="middle">{kl:.3g}</text>')
        parts.append(f'<text x="52" y="{364 - 80 * tick}" text-anchor="end">{objective:.2f}</text>')
    parts.append('<text x="340" y="402" text-anchor="middle">KL from the start, nats per response</text>')
    parts.append('<text x="60" y="24">True objective on held-out prompts (higher is better)</text>')
    for curve in found:
        line = " ".join(place(kl, objective) for _, objective, kl in curve.points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour[curve.algorithm]}" stroke-width="1.5"/>')
    for number, name in enumerate(names):
        y = 60 + 20 * number
        parts.append(f'<path d="M640 {y}h24" stroke="{colour[name]}" stroke-width="2"/>')
        parts.append(f'<text x="670" y="{y + 4}">{LABELS[name]}</text>')
    return "".join(parts) + "</svg>\n"


def main() -> None:
    """Train, print the table, write the figures and the chart."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning")
    parser.add_argument("--quick", action="store_true", help="one seed and fewer steps")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures and curves here")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the curves here")
    options = parser.parse_args()
    found = list(curves(options.quick))
    report("learning", results(found))
    if options.json:
        content = {"machine": machine(), "curves": [curve.__dict__ for curve in found]}
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if options.svg:
        options.svg.write_text(svg(found), encoding="utf-8")


if __name__ == "__main__":
    main()
