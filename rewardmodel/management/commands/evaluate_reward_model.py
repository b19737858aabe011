"""Evaluate a reward model from the command line, here and now; the result has its page as any other."""

from __future__ import annotations

import json
import os
import socket
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from annotate.datasets.models import DatasetVersion
from annotate.formats.limits import size
from annotate.formats.reading import FORMATS_IN
from rewardmodel.evaluation.selectors import evaluation_artifact, evaluation_report
from rewardmodel.evaluation.services import LARGEST_HERE, reward_evaluation_start
from rewardmodel.models import RewardEvaluation
from rewardmodel.selectors import reward_model_named
from runs.executor import run_execute
from runs.models import Run


class Command(BaseCommand):
    help = "Measure a reward model on held-out preferences or on a file of them. Needs no worker."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("reward_model", help="its name or its id")
        parser.add_argument("file", type=Path, nargs="?", help="pairs, rankings or ratings in any import format")
        parser.add_argument("--dataset", metavar="ID", type=int, help="id of a dataset version; its own by default")
        parser.add_argument("--split", choices=["test", "all"], default="test")
        parser.add_argument("--second", default="", metavar="NAME", help="another reward model to hold it against")
        parser.add_argument(
            "--dimension", default="", help="the score that judgements of another name are held against"
        )
        parser.add_argument("--format", default="", choices=["", *FORMATS_IN], metavar="FORMAT", help="recognised")
        parser.add_argument("--batch-tokens", type=int, help="memory budget of one forward")
        parser.add_argument("--title", default="")
        parser.add_argument("--json", action="store_true", help="print the whole report as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        reward_model = reward_model_named(options["reward_model"])
        if reward_model is None:
            raise CommandError(f"There is no reward model {options['reward_model']!r}.")
        second = reward_model_named(options["second"]) if options["second"] else None
        if options["second"] and second is None:
            raise CommandError(f"There is no reward model {options['second']!r}.")
        given = {name: options[name] for name in ("split", "dimension", "format", "batch_tokens")}
        try:
            run = reward_evaluation_start(
                reward_model=reward_model,
                dataset_version=_version(options["dataset"]),
                data=_content(options["file"]),
                filename=options["file"].name if options["file"] else "",
                second=second,
                config=given,
                title=options["title"],
                largest=LARGEST_HERE,
            )
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        # A worker may be faster than this process; whoever claims the run carries it out.
        run_execute(run_id=run.pk, worker=f"evaluate@{socket.gethostname()}:{os.getpid()}")
        run.refresh_from_db()
        if run.state != Run.State.SUCCEEDED:
            raise CommandError(f"Run {run.pk} is {run.state}. {run.error}".strip())
        if options["json"]:
            report = evaluation_report(evaluation_artifact(run))
            self.stdout.write(json.dumps({"run": run.pk, "url": run.get_evaluation_url(), **report}))
        else:
            self._say(run)

    def _say(self, run: RewardEvaluation) -> None:
        for row in run.rows:
            self.stdout.write(
                f"{row['dimension']}: accuracy {_interval(row['accuracy'])}, choosing the longer "
                f"{_interval(row['longer'])}, two people {_interval(row['people']) or 'not known'}"
            )
        overlap = run.result["overlap"]
        if overlap and (overlap["exact"] or overlap["near"]):
            self.stdout.write(
                f"{overlap['exact']} of {overlap['prompts']} prompts are in the training data, "
                f"{overlap['near']} nearly."
            )
        self.stdout.write(f"The whole of it is at {run.get_evaluation_url()}")


def _version(pk: int | None) -> DatasetVersion | None:
    if pk is None:
        return None
    found = DatasetVersion.objects.select_related("project", "artifact").filter(pk=pk).first()
    if found is None:
        raise CommandError(f"There is no dataset version with the id {pk}.")
    return found


def _content(file: Path | None) -> bytes | None:
    if file is None:
        return None
    if not file.is_file():
        raise CommandError(f"There is no file {file}.")
    if file.stat().st_size > LARGEST_HERE:
        raise CommandError(f"{file} is larger than {size(LARGEST_HERE)}. Split it, or import it as a dataset.")
    return file.read_bytes()


def _interval(found: dict[str, Any] | None) -> str:
    if not found:
        return ""
    if found["low"] is None:
        return f"{100 * found['value']:.1f} %"
    return f"{100 * found['value']:.1f} % [{100 * found['low']:.1f}, {100 * found['high']:.1f}]"
