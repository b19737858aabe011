"""Build a project's next dataset version from the command line, here and now."""

from __future__ import annotations

import json
import os
import socket
from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from annotate.datasets.models import DatasetVersion
from annotate.datasets.services import dataset_run_start
from annotate.projects.models import Project
from runs.executor import run_execute
from runs.models import Run


class Command(BaseCommand):
    help = "Build a project's next dataset version. Needs no worker."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project", help="the project's slug")
        parser.add_argument("--test-fraction", type=float, default=0.2)
        parser.add_argument("--dimension", action="append", default=[], dest="dimensions")
        parser.add_argument("--source", action="append", default=[], dest="sources")
        parser.add_argument("--keep-ties", action="store_true")
        parser.add_argument("--weights", choices=["equal", "reliability"], default="equal")
        parser.add_argument("--no-adjudications", action="store_false", dest="use_adjudications")
        parser.add_argument("--no-extra", action="store_false", dest="include_extra")
        parser.add_argument("--json", action="store_true", help="print the result as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        project = Project.objects.filter(slug=options["project"]).first()
        if project is None:
            raise CommandError(f"There is no project with the slug {options['project']!r}.")
        names = ("test_fraction", "dimensions", "sources", "keep_ties", "weights", "use_adjudications", "include_extra")
        config = {name: options[name] for name in names}
        try:
            run = dataset_run_start(project=project, config=config)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        # A worker may be faster than this process; whoever claims the run builds it.
        run_execute(run_id=run.pk, worker=f"build_dataset@{socket.gethostname()}:{os.getpid()}")
        run.refresh_from_db()
        if run.state != Run.State.SUCCEEDED:
            raise CommandError(f"Run {run.pk} is {run.state}. {run.error}".strip())
        version = DatasetVersion.objects.get(run=run)
        if options["json"]:
            self.stdout.write(json.dumps({"version": version.pk, "sha256": version.sha256, "counts": version.counts}))
        else:
            self.stdout.write(f"{version}: {version.prompt_count} prompts, sha256 {version.sha256}")
