"""Reward training and scoring against TRL: `python -m benchmarks.reward_training [--quick] [--json FILE]`.

What is timed is what a user runs. Ours is `rewardmodel.training.train.Trainer.fit`, which a run's child process calls.
The peer is the loop of TRL's `RewardTrainer.train`, unchanged, on pairs that are token ids already; a ranking of K
becomes its K(K-1)/2 pairs, as TRL wants it. `rows` is the K-wise loss written by hand on plain transformers: the K
sequences of a comparison, padded, in one forward. All start from the same weights (a random model with the
configuration of SmolLM2-135M), see the same ids, and train in float32 with two threads, AdamW, clipping at 1 and no
gradient checkpointing: the whole model, or with LoRA the same adapter. A step has as few comparisons as make at least
eight pairs, which is TRL's default batch.

Each side is a process of its own, so that its peak memory is its own, and they take their steps in turn. Every step's
loss is compared before a time counts. Figures are medians over the steps after the first.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from annotate.pairs import edges
from benchmarks.common import Result, against_peer, report
from benchmarks.sides import THREADS, Side, Turn, Turns, alternate, by_step, median, serve, started
from runs.child import RunDir, write_json

DIMENSION = "quality"
SMOLLM2_135M = {
    "vocab_size": 49152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "max_position_embeddings": 8192,
    "rope_parameters": {"rope_type": "default", "rope_theta": 100000.0},
    "rms_norm_eps": 1e-5,
    "initializer_range": 0.041666666666666664,
}
# Losses of the first step, and of later ones: AdamW divides by the gradient's size, and so turns rounding into steps.
SAME_LOSS, SAME_LATER_LOSS, SAME_SCORE = 1e-4, 2e-2, 1e-4


@dataclass(frozen=True)
class Case:
    """What one row of the table measures. pairs_per_forward: TRL's batch, the one with which it is fastest here."""

    name: str
    k: int
    prompt: int
    response: int
    target: float
    comparisons: int
    pairs_per_forward: int
    method: str = "full"
    model: str = "135m"

    @property
    def pairs(self) -> int:
        return self.comparisons * self.k * (self.k - 1) // 2


TRAINING = (
    Case("k4", 4, 256, 64, 5.0, 2, 2),
    Case("k9", 9, 128, 32, 15.0, 1, 4),
    Case("k4-long", 4, 64, 192, 2.5, 2, 4),
    Case("k2", 2, 256, 64, 1.4, 8, 2),
    Case("k4-lora", 4, 256, 64, 5.0, 2, 2, method="lora"),
)
SCORING = Case("scoring", 4, 256, 64, 2.0, 8, 2)


def cases(quick: bool, names: Sequence[str] = ()) -> list[Result]:
    """Measure the named cases (all, if none is named); `quick` does so on a tiny model with small sizes."""
    found: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="plumbline-reward-") as folder:
        write_model(Path(folder) / "model", quick)
        for case in (*TRAINING, SCORING):
            if names and case.name not in names:
                continue
            if quick:
                case = replace(case, prompt=case.prompt // 8, response=case.response // 8, model="tiny")
            measure = scoring if case.name == SCORING.name else training
            found += measure(case, Path(folder), 2 if quick else 4)
    return found


def training(case: Case, folder: Path, steps: int) -> list[Result]:
    """Comparisons a second and peak memory, ours against TRL and against padded rows."""
    taken = side_by_side(case, folder, ("ours", "trl", "rows"), steps)
    ours = taken["ours"]
    for name, theirs in taken.items():
        for number, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
            allowed = SAME_LATER_LOSS if number else SAME_LOSS
            if not abs(mine.value["loss"] - other.value["loss"]) <= allowed:
                losses = f"{mine.value['loss']}, and with {name} {other.value['loss']}"
                raise SystemExit(f"{case.name}: step {number + 1} has loss {losses}")
    label = f"{case.name}: K={case.k} P={case.prompt} R={case.response}, {case.method}"
    rates = {name: case.comparisons / median(each[1:]) for name, each in taken.items()}
    spent = {name: median(each[1:], lambda turn: turn.cpu) / case.comparisons for name, each in taken.items()}
    peak = {name: each[-1].peak / 2**30 for name, each in taken.items()}
    return [
        against_peer(f"{label}: TRL", rates["ours"], rates["trl"], "comparisons/s", case.target, more_is_better=True),
        against_peer(
            f"{label}: TRL, CPU", spent["ours"], spent["trl"], "CPU s each", case.target, more_is_better=False
        ),
        against_peer(f"{label}: TRL, peak memory", peak["ours"], peak["trl"], "GiB", 1.0, more_is_better=False),
        Result(f"{label}: padded rows", rates["ours"], "comparisons/s", rates["rows"], rates["ours"] / rates["rows"]),
    ]


def scoring(case: Case, folder: Path, steps: int) -> list[Result]:
    """Comparisons scored a second, ours against a loop over batches of padded rows in plain transformers."""
    taken = side_by_side(case, folder, ("scorer", "loop"), steps)
    for mine, other in zip(taken["scorer"], taken["loop"], strict=True):
        apart = max(abs(a - b) for a, b in zip(mine.value, other.value, strict=True))
        if not apart <= SAME_SCORE:
            raise SystemExit(f"{case.name}: scores are {apart} apart")
    label = f"{case.name}: K={case.k} P={case.prompt} R={case.response}"
    rates = {name: case.comparisons / median(each[1:]) for name, each in taken.items()}
    peak = {name: each[-1].peak / 2**30 for name, each in taken.items()}
    return [
        against_peer(
            f"{label}: plain loop", rates["scorer"], rates["loop"], "comparisons/s", case.target, more_is_better=True
        ),
        against_peer(f"{label}: peak memory", peak["scorer"], peak["loop"], "GiB", 1.0, more_is_better=False),
    ]


def side_by_side(case: Case, folder: Path, names: Sequence[str], steps: int) -> dict[str, list[Turn]]:
    """What each side gave in each step, the first included."""
    what = {**asdict(case), "folder": str(folder)}
    sides = [Side("benchmarks.reward_training", name, what) for name in names]
    with started(*sides):
        return dict(zip(names, alternate(sides, steps, warm_up=0), strict=True))


# what both sides start from -----------------------------------------------------------------------------------------


def write_model(directory: Path, quick: bool) -> None:
    """A random model: tiny, or of the shape of SmolLM2-135M. Ids are made up, so any tokenizer does."""
    import torch
    from transformers import LlamaForCausalLM

    from tests.tiny import tiny_config, tiny_tokenizer

    torch.manual_seed(0)
    LlamaForCausalLM(tiny_config(**({} if quick else SMOLLM2_135M))).save_pretrained(directory)
    tiny_tokenizer().save_pretrained(directory)


def made_up(case: Case) -> list[tuple[list[int], list[list[int]]]]:
    """Prompt and responses of each comparison, the best response first. A response ends with the end token, 2."""
    ids = random.Random(0)  # noqa: S311
    highest = 258 if case.model == "tiny" else 49151

    def some(count: int) -> list[int]:
        return [ids.randint(3, highest) for _ in range(count)]

    return [
        (some(case.prompt), [[*some(case.response - 1), 2] for _ in range(case.k)]) for _ in range(case.comparisons)
    ]


def reward_net(case: Case, folder: Path, method: str) -> tuple[Any, Any]:
    """The product's configuration, and the network that every side trains, with the same score head."""
    from rewardmodel.training.config import RewardConfig
    from rewardmodel.training.model import new_reward_net

    config = RewardConfig(
        method=method,
        epochs=100,
        learning_rate=1e-5,
        schedule="constant",
        warmup_ratio=0.0,
        comparisons_per_step=case.comparisons,
        gradient_checkpointing="never",
        checkpoint_every=1_000_000,
        dtype="float32",
    )
    return config, new_reward_net(config, (DIMENSION,), str(folder / "model"))


# the sides: a turn is a step -----------------------------------------------------------------------------------------


def ours(case: Case, folder: Path, turns: Turns) -> None:
    """The trainer of a run. A run writes its metrics once a step: there this one answers."""
    from lm.prefix import Group
    from rewardmodel.training.data import Comparison, Encoded
    from rewardmodel.training.train import Trainer

    class ByStep(RunDir):
        def metrics(self, step: int, **values: float) -> None:
            super().metrics(step, **values)
            turns.give({"loss": values["loss"]})
            turns.wait()

    config, net = reward_net(case, folder, case.method)
    ranking = {"ranks": list(range(1, case.k + 1)), "weight": 1.0}
    train = []
    for number, (prompt, responses) in enumerate(made_up(case)):
        comparison = Comparison(
            id=str(number),
            split="train",
            prompt=[{"role": "user", "content": str(number)}],
            responses=[""] * case.k,
            rankings={DIMENSION: [ranking]},
            edges={DIMENSION: edges([ranking], case.k)},
        )
        train.append(Encoded(comparison, Group(prompt, responses)))
    with tempfile.TemporaryDirectory(dir=folder) as run:
        write_json(Path(run) / "run.json", {"run": 0, "kind": "reward_model", "seed": 0, "config": {}, "inputs": {}})
        trainer = Trainer(ByStep(run), config, net, train, [])
        turns.wait()
        trainer.fit()


def trl(case: Case, folder: Path, turns: Turns) -> None:
    """TRL's own loop. A callback waits before each step and gives its loss after it."""
    from datasets import Dataset
    from peft import LoraConfig
    from trl import RewardConfig, RewardTrainer

    config, net = reward_net(case, folder, "full")
    rows = [
        {"chosen_ids": prompt + responses[i], "rejected_ids": prompt + responses[j]}
        for prompt, responses in made_up(case)
        for i in range(case.k)
        for j in range(i + 1, case.k)
    ]
    assert case.pairs == len(rows) and not case.pairs % case.pairs_per_forward
    lora = LoraConfig(
        task_type="SEQ_CLS",
        r=config.lora.rank,
        lora_alpha=config.lora.alpha,
        lora_dropout=config.lora.dropout,
        target_modules="all-linear",
        modules_to_save=["score"],
    )
    trainer = RewardTrainer(
        model=net.classifier,
        args=RewardConfig(
            output_dir=str(folder / "trl"),
            num_train_epochs=config.epochs,
            learning_rate=config.learning_rate,
            lr_scheduler_type="constant",
            per_device_train_batch_size=case.pairs_per_forward,
            gradient_accumulation_steps=case.pairs // case.pairs_per_forward,
            max_grad_norm=config.max_grad_norm,
            weight_decay=config.weight_decay,
            max_length=None,
            gradient_checkpointing=False,
            bf16=False,
            use_cpu=True,
            dataloader_pin_memory=False,
            save_strategy="no",
            logging_steps=1,
            disable_tqdm=True,
            report_to=[],
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=net.chat.tokenizer,
        peft_config=lora if case.method == "lora" else None,
        callbacks=[by_step(turns)],
    )
    trainer.train()


def rows(case: Case, folder: Path, turns: Turns) -> None:
    """The K-wise loss on plain transformers: K padded rows a comparison."""
    import torch

    from lm.optim import make_optimizer
    from rewardmodel.training.losses import bradley_terry

    config, net = reward_net(case, folder, case.method)
    model = net.classifier.train()
    optimizer = make_optimizer(model.parameters(), config.learning_rate, config.weight_decay)
    ranked = edges([{"ranks": list(range(1, case.k + 1)), "weight": 1.0}], case.k)
    sequences = [[prompt + response for response in responses] for prompt, responses in made_up(case)]
    while True:
        turns.wait()
        total = 0.0
        for each in sequences:
            scores = _logits(model, each)
            loss = bradley_terry(scores, ranked) / case.comparisons
            loss.backward()
            total += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        turns.give({"loss": total})


def scorer(case: Case, folder: Path, turns: Turns) -> None:
    """The scorer behind the API, the reward server and PPO, with as many tokens in a forward as these give a CPU."""
    from lm.prefix import Group
    from rewardmodel.training.scoring import Scorer

    _, net = reward_net(case, folder, "head")
    ready = Scorer(net, {})
    groups = [Group(prompt, responses) for prompt, responses in made_up(case)]
    while True:
        turns.wait()
        found = ready.score_groups(groups, batch_tokens=2048)
        turns.give([score for each in found for (score,) in each])


def loop(case: Case, folder: Path, turns: Turns) -> None:
    """Batches of padded rows through plain transformers."""
    import torch

    _, net = reward_net(case, folder, "head")
    model = net.classifier.eval()
    sequences = [prompt + response for prompt, responses in made_up(case) for response in responses]
    size = 2 * case.pairs_per_forward
    while True:
        turns.wait()
        with torch.no_grad():
            parts = [_logits(model, sequences[first : first + size]) for first in range(0, len(sequences), size)]
        turns.give(torch.cat(parts).tolist())


def _logits(model: Any, sequences: Sequence[list[int]]) -> Any:
    """The classifier's logits [B] of sequences of ids, padded on the right."""
    import torch

    width = max(map(len, sequences))
    ids = torch.tensor([[*each, *[model.config.pad_token_id] * (width - len(each))] for each in sequences])
    mask = torch.tensor([[1] * len(each) + [0] * (width - len(each)) for each in sequences])
    return model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, 0]


SIDES: dict[str, Callable[[Case, Path, Turns], None]] = {
    "ours": ours,
    "trl": trl,
    "rows": rows,
    "scorer": scorer,
    "loop": loop,
}


def take_part(side: str, what: dict[str, Any], turns: Turns) -> None:
    """Be one of the sides."""
    import torch

    torch.set_num_threads(THREADS)
    folder = Path(what.pop("folder"))
    SIDES[side](Case(**what), folder, turns)


def main() -> None:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reward_training")
    parser.add_argument("--quick", action="store_true", help="a tiny model and small sizes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    names = [case.name for case in (*TRAINING, SCORING)]
    parser.add_argument("--cases", nargs="+", default=[], choices=names, help="only these")
    options = parser.parse_args()
    report("reward training", cases(options.quick, options.cases), options.json)


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in SIDES:
        serve({name: partial(take_part, name) for name in SIDES})
    else:
        main()
