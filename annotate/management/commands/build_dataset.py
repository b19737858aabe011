"""Build a project's next dataset version from the command line, here and now."""

from __future__ import annotations

import json
import os
import socket
import typing
from argparse import SUPPRESS, ArgumentParser
from typing import Any, Literal

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.forms import ValidationError as FormError

from annotate.datasets.config import DatasetConfig
from annotate.datasets.forms import PeopleField
from annotate.datasets.models import DatasetVersion
from annotate.datasets.selectors import dataset_preview
from annotate.datasets.services import dataset_config, dataset_run_start
from annotate.management.commands import _progress
from annotate.projects.models import Project
from runs.executor import run_execute
from runs.models import Run

SWITCHES = {"use_adjudications": "--no-adjudications", "include_extra": "--no-extra"}  # on by default
PEOPLE = ("annotators", "exclude_annotators")


class Command(BaseCommand):
    help = "Build a project's next dataset version. Needs no worker."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project", help="the project's slug")
        for name, field in DatasetConfig.model_fields.items():
            _add(parser, name, field.annotation, (field.description or "").replace("%", "%%"))
        parser.add_argument("--count", action="store_true", help="only count what the filters find; build nothing")
        parser.add_argument("--json", action="store_true", help="print the result as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        project = Project.objects.filter(slug=options["project"]).first()
        if project is None:
            raise CommandError(f"There is no project with the slug {options['project']!r}.")
        try:
            config = {name: options[name] for name in DatasetConfig.model_fields if name in options}
            config |= {name: PeopleField().to_python(config[name]) for name in PEOPLE if name in config}
            if options["count"]:
                self._count(project, config, as_json=options["json"])
                return
            run = dataset_run_start(project=project, config=config)
        except (ValidationError, FormError) as error:
            raise CommandError(_said(error)) from None
        # A worker may be faster than this process; whoever claims the run builds it.
        with _progress.run_watched(run):
            run_execute(run_id=run.pk, worker=f"build_dataset@{socket.gethostname()}:{os.getpid()}")
        run.refresh_from_db()
        if run.state != Run.State.SUCCEEDED:
            raise CommandError(f"Run {run.pk} is {run.state}. {run.error}".strip())
        version = DatasetVersion.objects.get(run=run)
        if options["json"]:
            self.stdout.write(json.dumps({"version": version.pk, "sha256": version.sha256, "counts": version.counts}))
        else:
            pairs = sum(version.pair_counts.values())
            self.stdout.write(f"{version}: {version.prompt_count} prompts, {pairs} pairs, sha256 {version.sha256}")

    def _count(self, project: Project, config: dict[str, Any], *, as_json: bool) -> None:
        found = dataset_preview(project, dataset_config(project, config))
        lines = (f"{count} {name}" for name, count in found.items())
        self.stdout.write(json.dumps(found) if as_json else "At most " + ", ".join(lines))


def _add(parser: ArgumentParser, name: str, kind: Any, description: str) -> None:
    """The option of one setting; it is left to the schema to say what its value may be."""
    flag = "--" + name.replace("_", "-")
    shared: dict[str, Any] = {"dest": name, "default": SUPPRESS, "help": description}
    if kind is bool:
        action = "store_false" if name in SWITCHES else "store_true"
        parser.add_argument(SWITCHES.get(name, flag), action=action, **shared)
    elif typing.get_origin(kind) is list:
        meta = "USERNAME" if name in PEOPLE else name.removeprefix("exclude_").removesuffix("s").upper()
        parser.add_argument(flag.removesuffix("s"), action="append", metavar=meta, **shared)
    elif typing.get_origin(kind) is Literal:
        parser.add_argument(flag, choices=typing.get_args(kind), **shared)
    else:
        parser.add_argument(flag, metavar="VALUE", **shared)


def _said(error: ValidationError) -> str:
    if not hasattr(error, "error_dict"):
        return " ".join(error.messages)
    fields = error.message_dict.items()
    return " ".join(
        message if name == "__all__" else f"{name}: {message}" for name, messages in fields for message in messages
    )
