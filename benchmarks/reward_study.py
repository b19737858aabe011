"""Held-out accuracy on real preferences, ours against TRL's RewardTrainer: `python -m benchmarks.reward_study WORK`.

Both sides start from the same model, see the same token ids of the same pairs for the same number of epochs and about
as many steps, and train a LoRA of the same shape with the same learning rate and schedule. Ours sees comparisons, each
with all its responses in one forward; TRL sees their pairs. Both saved models are then scored on the same test split.

    python -m benchmarks.reward_study WORK                       # subset sizes for a CPU: about 70 minutes of one core
    python -m benchmarks.reward_study WORK --sides ours          # one side; the sides may run at the same time
    python -m benchmarks.reward_study WORK --report              # the table of what is there
    python -m benchmarks.reward_study WORK --full                # all pairs, hardly cut: for a GPU

WORK keeps the data, checkpoints, models and scores. An interrupted study continues where it was. The data are read from
PLUMBLINE_DATA: `hh` is the harmless-base test split of Anthropic HH (2,303 usable pairs), `finegrained` is the
development set of FineGrainedRLHF (500 questions with four answers; the preferences of 22 of them go round in circles
and stay pairs). Splits go by the hash of the prompt: the first prompts in that order are the test split, so that it
stays the same whatever the size of the training split.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from annotate.formats.jsonl import Findings
from annotate.formats.reading import read_records
from annotate.formats.records import Record
from annotate.pairs import canonical, place_of
from benchmarks.common import machine
from config.env import BASE_DIR
from runs.child import write_json

SALT = "reward study"
SIDES = ("ours", "trl")


@dataclass(frozen=True)
class Study:
    """One dataset's sizes. comparisons_per_step: TRL's batch is as many pairs as those comparisons have on average."""

    dataset: str
    file: str
    dimension: str
    train: int
    test: int
    comparisons_per_step: int
    max_prompt_tokens: int
    max_response_tokens: int
    epochs: int = 1
    learning_rate: float = 2e-4
    rank: int = 16
    alpha: float = 32.0
    seed: int = 0
    model: str = "smollm2-135m-instruct"


CPU_SIZES = (
    Study("hh", "hh_rlhf_harmless_test/test.jsonl.gz", "harmlessness", 1000, 312, 8, 96, 64),
    Study("finegrained", "finegrained_rlhf_qa/dev_feedback.json", "preference", 200, 200, 4, 96, 64),
)
FULL = {"hh": {"train": 2000, "test": 312}, "finegrained": {"train": 350, "test": 150}}
FULL_LENGTHS = {"max_prompt_tokens": 1280, "max_response_tokens": 640}


# the data -----------------------------------------------------------------------------------------------------------


def write_data(study: Study, folder: Path, data: Path) -> Path:
    """The study's rankings.jsonl, as a dataset version has it, in `folder`/data. Made once."""
    target = folder / "data" / "rankings.jsonl"
    if target.is_file():
        return target.parent
    from lm.loading import load_chat

    chat = load_chat(study.model, _models_dir())
    findings = Findings()
    with open(data / study.file, "rb") as file:
        records = list(read_records(file, findings, dimension=study.dimension))
    if findings.error_count:
        raise SystemExit(f"{study.file}: {findings.errors[0]}")
    by_prompt: dict[str, list[Record]] = {}
    for record in records:
        by_prompt.setdefault(canonical(record.prompt), []).append(record)
    ordered = [record for key in sorted(by_prompt, key=lambda key: place_of(key, SALT)) for record in by_prompt[key]]
    test = study.test  # a prompt's records stay together
    while 0 < test < len(ordered) and canonical(ordered[test].prompt) == canonical(ordered[test - 1].prompt):
        test += 1
    chosen = [(record, "test") for record in ordered[:test]]
    chosen += [(record, "train") for record in ordered[test : test + study.train]]
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".rankings-{os.getpid()}")
    with open(partial, "w", encoding="utf-8") as file:
        for record, split in chosen:
            file.write(json.dumps(_line(record, split, study, chat), ensure_ascii=False) + "\n")
    partial.replace(target)
    return target.parent


def _line(record: Record, split: str, study: Study, chat: Any) -> dict[str, Any]:
    n = len(record.responses)
    prompt = [dict(turn) for turn in record.prompt]
    if study.dataset == "finegrained":  # the question stands before its passages, and a cut prompt loses its beginning
        prompt = [_cut_end(prompt[-1], study.max_prompt_tokens, chat)]
    if record.rankings:
        rankings = [{"ranks": list(ranking.ranks), "weight": ranking.weight} for ranking in record.rankings]
    else:  # not a weak order: every pair says what it says
        soft = [[pair.chosen, pair.rejected, pair.preference] for pair in record.pairs]
        soft = [[i, j, p] if i < j else [j, i, 1 - p] for i, j, p in soft]
        rankings = [{"ranks": [1] * n, "weight": 1.0, "soft": soft}]
    return {
        "comparison": str(record.line),
        "dimension": study.dimension,
        "split": split,
        "prompt": prompt,
        "responses": [{"id": f"{record.line}-{i}", "text": each.text} for i, each in enumerate(record.responses)],
        "rankings": rankings,
    }


def _cut_end(turn: dict[str, str], longest: int, chat: Any) -> dict[str, str]:
    """The turn with as much of the beginning of its text as a prompt of `longest` tokens holds."""
    ids = chat.tokenizer(turn["content"], add_special_tokens=False)["input_ids"]
    while len(chat.prompt_ids([turn])) > longest:
        ids = ids[: len(ids) - max(1, len(chat.prompt_ids([turn])) - longest)]
        turn = {**turn, "content": chat.text(ids).rstrip("\ufffd")}
    return turn


# the two sides ------------------------------------------------------------------------------------------------------


def train_ours(study: Study, data: Path, folder: Path) -> Path:
    """A reward-model run of the product, by its own child process."""
    run = folder / "run"
    run.mkdir(parents=True, exist_ok=True)
    config = {
        "epochs": study.epochs,
        "learning_rate": study.learning_rate,
        "comparisons_per_step": study.comparisons_per_step,
        "lora": {"rank": study.rank, "alpha": study.alpha},
        "max_prompt_tokens": study.max_prompt_tokens,
        "max_response_tokens": study.max_response_tokens,
        "checkpoint_every": 10,
        "seed": study.seed,
    }
    inputs = {"dataset": str(data.resolve()), "model": study.model, "models_dir": _models_dir()}
    spec = {"run": 0, "kind": "reward_model", "seed": study.seed, "config": config, "inputs": inputs}
    write_json(run / "run.json", spec)
    _child([sys.executable, "-m", "rewardmodel.training", str(run)], folder, "training")
    return run / "output"


def train_trl(study: Study, data: Path, folder: Path) -> Path:
    """TRL's RewardTrainer on the pairs, in a process of its own."""
    write_json(folder / "study.json", {"study": asdict(study), "data": str(data)})
    _child([sys.executable, "-m", "benchmarks.reward_study", str(folder), "--trl-child"], folder, "training")
    return folder / "output"


def trl_child(folder: Path) -> None:
    """Train with TRL, and save the merged model as a reward-model directory, so that one scorer reads both sides."""
    import shutil

    from datasets import Dataset
    from peft import LoraConfig
    from trl import RewardConfig, RewardTrainer

    from lm.loading import load_chat, resolve_model
    from rewardmodel.training.data import encode, read_rankings
    from rewardmodel.training.model import RewardNet
    from rewardmodel.training.saving import save_net

    given = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    study = Study(**given["study"])
    chat = load_chat(study.model, _models_dir())
    train = read_rankings(given["data"]).train
    rows = []
    for comparison in train:
        limits = {"max_prompt_tokens": study.max_prompt_tokens, "max_response_tokens": study.max_response_tokens}
        group = encode(comparison, chat, **limits).group
        for edge in comparison.edges[study.dimension]:
            if edge.p != 0.5:
                chosen, rejected = (edge.i, edge.j) if edge.p > 0.5 else (edge.j, edge.i)
                ids = [group.prompt + group.responses[index] for index in (chosen, rejected)]
                rows.append({"chosen_ids": ids[0], "rejected_ids": ids[1]})
    on_gpu = _on_gpu()
    pairs_per_step = study.comparisons_per_step * len(rows) / len(train)
    micro = 32 if on_gpu else 4
    trainer = RewardTrainer(
        model=resolve_model(study.model, _models_dir()),
        args=RewardConfig(
            output_dir=str(folder / "checkpoints"),
            num_train_epochs=study.epochs,
            learning_rate=study.learning_rate,
            lr_scheduler_type="cosine",
            warmup_steps=0.05,
            per_device_train_batch_size=min(micro, round(pairs_per_step)),
            gradient_accumulation_steps=max(1, round(pairs_per_step / micro)),
            max_grad_norm=1.0,
            weight_decay=0.0,
            max_length=study.max_prompt_tokens + study.max_response_tokens,
            gradient_checkpointing=False,
            bf16=on_gpu,
            use_cpu=not on_gpu,
            save_steps=10,
            save_total_limit=1,
            logging_steps=5,
            report_to=[],
            seed=study.seed,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=chat.tokenizer,
        peft_config=LoraConfig(
            task_type="SEQ_CLS",
            r=study.rank,
            lora_alpha=study.alpha,
            lora_dropout=0.0,
            target_modules="all-linear",
            modules_to_save=["score"],
        ),
    )
    saved = any((folder / "checkpoints").glob("checkpoint-*"))
    done = trainer.train(resume_from_checkpoint=True if saved else None)
    output = folder / "output"
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    merged: Any = trainer.model
    plain = merged.merge_and_unload()
    save_net(RewardNet(plain, chat, [study.dimension]), output, plain.dtype)
    card = {
        "format": "plumbline-reward-model/1",
        "dimensions": [study.dimension],
        "shift": {study.dimension: 0.0},
        "max_prompt_tokens": study.max_prompt_tokens,
        "max_response_tokens": study.max_response_tokens,
    }
    write_json(output / "reward.json", card)
    write_json(folder / "result.json", {"steps": done.global_step, "pairs": len(rows), "loss": done.training_loss})


def _child(command: list[str], folder: Path, what: str) -> None:
    """Run to the end, adding its CPU seconds to `what`.json: a run that was broken off is continued."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with open(folder / f"{what}.log", "ab") as log:
        code = subprocess.run(command, cwd=BASE_DIR, stdout=log, stderr=log).returncode
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    file = folder / f"{what}.json"
    known = json.loads(file.read_text())["cpu_seconds"] if file.is_file() else 0.0
    write_json(file, {"cpu_seconds": known + spent, "peak_rss_bytes": after.ru_maxrss * 1024})
    if code:
        raise SystemExit(f"{' '.join(command)} ended with code {code}: see {folder / what}.log")


# scoring and the table ----------------------------------------------------------------------------------------------


def score_side(study: Study, data: Path, model: Path, folder: Path) -> None:
    """Scores of the test split, one list a comparison, by the saved model."""
    from rewardmodel.training.data import read_rankings
    from rewardmodel.training.scoring import load_scorer

    comparisons = read_rankings(data).test
    scorer = load_scorer(model)
    conversations = [(item.prompt, item.responses) for item in comparisons]
    scores = scorer.scores(conversations, batch_tokens=65536 if _on_gpu() else 2048)
    write_json(folder / "scores.json", scores)


def figures(study: Study, folder: Path) -> dict[str, Any]:
    """What is known so far: accuracy of each side and of the longer response, and the sides held against each other."""
    from rewardmodel.training.data import read_rankings
    from rewardmodel.training.evaluate import accuracy, by_length, head_to_head

    rankings = read_rankings(folder / "data")
    test, dimensions = rankings.test, (study.dimension,)
    lengths = by_length(test, dimensions)
    sides = {side: json.loads(file.read_text()) for side in SIDES if (file := folder / side / "scores.json").is_file()}
    found: dict[str, Any] = {
        "study": asdict(study),
        "comparisons": {"train": len(rankings.train), "test": len(test)},
        "pairs": {"train": _pairs(rankings.train, study), "test": _pairs(test, study)},
        "longer": accuracy(test, lengths, dimensions)[study.dimension],
        "sides": {},
    }
    for side, scores in sides.items():
        known = json.loads((folder / side / "training.json").read_text())
        run = folder / side / ("run/result.json" if side == "ours" else "result.json")
        found["sides"][side] = {
            "accuracy": accuracy(test, scores, dimensions)[study.dimension],
            "better_than_longer": head_to_head(test, scores, lengths, dimensions)[study.dimension],
            "steps": json.loads(run.read_text())["steps"],
            **known,
        }
    if len(sides) == len(SIDES):
        found["ours_better_than_trl"] = head_to_head(test, sides["ours"], sides["trl"], dimensions)[study.dimension]
    return found


def _pairs(comparisons: Sequence[Any], study: Study) -> int:
    return sum(edge.p != 0.5 for item in comparisons for edge in item.edges[study.dimension])


def report(found: Sequence[dict[str, Any]], file: Path | None) -> None:
    """Print the table; write the JSON."""
    from rich.console import Console
    from rich.table import Table

    table = Table("dataset", "scorer", "held-out accuracy", "pairs / prompts", "steps", "CPU min", title="reward study")
    for each in found:
        name = each["study"]["dataset"]
        table.add_row(name, "the longer one", *_share(each["longer"]), "", "")
        for side, values in each["sides"].items():
            minutes = f"{values['cpu_seconds'] / 60:.1f}"
            table.add_row(name, side, *_share(values["accuracy"]), str(values["steps"]), minutes)
        if "ours_better_than_trl" in each:
            share = each["ours_better_than_trl"]
            text = f"{share['value']:.3f} [{share['low']:.3f}, {share['high']:.3f}]"
            table.add_row(name, "ours right more often than trl", text, f"{share['n']} prompts differ", "", "")
    Console(width=120).print(table)
    if file:
        write_json(file, {"machine": machine(), "results": list(found)})


def _share(estimate: dict[str, float]) -> tuple[str, str]:
    figure = f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"
    return figure, f"{estimate['n']} / {estimate['prompts']}"


def _models_dir() -> str:
    return os.environ.get("PLUMBLINE_MODELS_DIR", str(BASE_DIR / "var" / "models"))


def _on_gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available())


# the command --------------------------------------------------------------------------------------------------------


def studies(options: argparse.Namespace) -> Iterator[Study]:
    """The datasets asked for, at the sizes asked for."""
    for study in CPU_SIZES:
        if study.dataset not in options.datasets:
            continue
        if options.full:
            study = replace(study, **FULL[study.dataset], **FULL_LENGTHS)
        names = ("train", "test", "epochs", "seed", "model", "learning_rate", "rank", "comparisons_per_step")
        names += ("max_prompt_tokens", "max_response_tokens")
        given = {name: value for name in names if (value := getattr(options, name)) is not None}
        yield replace(study, **given)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reward_study", description=__doc__.partition("\n")[0])
    parser.add_argument("work", type=Path, help="folder that keeps data, models and scores")
    parser.add_argument("--datasets", nargs="+", default=["hh", "finegrained"], choices=["hh", "finegrained"])
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=SIDES)
    parser.add_argument("--full", action="store_true", help="the sizes for a GPU")
    parser.add_argument("--report", action="store_true", help="only print the table of what is there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    for name in ("train", "test", "epochs", "seed", "rank", "comparisons-per-step"):
        parser.add_argument(f"--{name}", type=int)
    for name in ("max-prompt-tokens", "max-response-tokens"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--model")
    parser.add_argument("--trl-child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.trl_child:
        trl_child(options.work)
        return
    data = Path(os.environ.get("PLUMBLINE_DATA", BASE_DIR.parent / "shared" / "data"))
    wanted = list(studies(options))
    for study in wanted:
        folder = options.work / study.dataset
        for side in options.sides if not options.report else ():
            here = folder / side
            here.mkdir(parents=True, exist_ok=True)
            if (here / "scores.json").is_file():
                continue
            prepared = write_data(study, folder, data)
            model = {"ours": train_ours, "trl": train_trl}[side](study, prepared, here)
            score_side(study, prepared, model, here)
    report([figures(study, options.work / study.dataset) for study in wanted], options.json)


if __name__ == "__main__":
    main()
