"""Score a file's responses from the command line, here and now, however large it is. Needs no worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, Progress, TimeRemainingColumn

from annotate.formats.reading import FORMATS_IN
from config.env import BASE_DIR
from rewardmodel.selectors import reward_model_named
from rewardmodel.training.score_config import ScoreConfig
from runs import child
from runs.artifacts import artifact_path
from runs.schema import config_validated

FILE = "scores.jsonl"


class Command(BaseCommand):
    help = "Score the responses of a file of any import format with a reward model."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("reward_model", help="its name or its id")
        parser.add_argument("file", type=Path)
        parser.add_argument("--out", type=Path, help="where the lines go; FILE.scores.jsonl by default, - prints them")
        parser.add_argument("--format", default="", choices=["", *FORMATS_IN], metavar="FORMAT", help="recognised")
        parser.add_argument("--best-only", action="store_true", help="one line a prompt, with its best response")
        parser.add_argument("--dimension", default="", help="which says what is best")
        parser.add_argument("--batch-tokens", type=int, help="memory budget of one forward")
        parser.add_argument("--json", action="store_true", help="print the figures as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        reward_model, file = reward_model_named(options["reward_model"]), options["file"].resolve()
        if reward_model is None:
            raise CommandError(f"There is no reward model {options['reward_model']!r}.")
        if not file.is_file():
            raise CommandError(f"There is no file {file}.")
        out: Path = options["out"] or file.with_name(file.name + ".scores.jsonl")
        printed = str(out) == "-"
        if printed and options["json"]:
            raise CommandError("--json and --out - would both print here. Choose one.")
        if not printed and out.exists():
            raise CommandError(f"{out} exists already. Choose another with --out.")
        given = {name: options[name] for name in ("format", "best_only", "dimension", "batch_tokens")}
        try:
            config = config_validated(ScoreConfig, given)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        inputs = {"reward_model": str(artifact_path(reward_model.artifact)), "file": str(file), "filename": file.name}
        beside = None if printed else out.resolve().parent  # so that the last step is a rename
        with tempfile.TemporaryDirectory(prefix=".score-", dir=beside) as folder:
            run = Path(folder)
            child.write_json(
                run / child.SPEC, {"run": 0, "kind": "score", "config": config.model_dump(), "inputs": inputs}
            )
            _work(run)
            result = json.loads((run / child.RESULT).read_text("utf-8"))
            if printed:
                with open(run / "output" / FILE, encoding="utf-8") as lines:
                    for line in lines:
                        self.stdout.write(line, ending="")
                return
            os.replace(run / "output" / FILE, out)
        if options["json"]:
            self.stdout.write(json.dumps({"reward_model": reward_model.pk, "out": str(out), **result}))
            return
        self.stdout.write(f"{result['responses']} responses to {result['prompts']} prompts are scored in {out}")
        for reason in result["reasons"]:
            self.stderr.write(f"Passed over: {reason}")


def _work(run: Path) -> None:
    """Run the child to its end, showing how far it is. CommandError says why it failed."""
    with open(run / child.LOG, "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "rewardmodel.training.score", str(run)],
            cwd=BASE_DIR,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env={**os.environ, "PLUMBLINE_PARENT_PIPE": "1"},
        )
        try:
            columns = ("{task.description}", BarColumn(), "{task.completed:,.0f} of {task.total:,.0f}")
            console = Console(stderr=True)
            with Progress(
                *columns, TimeRemainingColumn(), console=console, transient=True, disable=not sys.stderr.isatty()
            ) as progress:
                task = progress.add_task("starting", total=0)
                while process.poll() is None:
                    time.sleep(0.2)
                    if (said := _last_progress(run / child.EVENTS)) is not None:
                        progress.update(task, completed=said["done"], total=said["total"], description=said["note"])
        finally:
            process.kill()
            process.wait()
    if process.returncode:
        raise CommandError(_reason(run, process.returncode))


def _last_progress(events: Path) -> dict[str, Any] | None:
    if not events.is_file():
        return None
    for line in reversed(events.read_text("utf-8").splitlines()[-20:]):
        try:
            event = json.loads(line)
        except ValueError:  # half-written
            continue
        if event["type"] == "progress":
            return event["data"]
    return None


def _reason(run: Path, code: int) -> str:
    if (run / child.ERROR).is_file():
        return str(json.loads((run / child.ERROR).read_text("utf-8"))["message"])
    log = (run / child.LOG).read_text("utf-8", "replace").strip().splitlines()
    return f"Scoring ended with code {code}. {log[-1] if log else ''}".strip()
