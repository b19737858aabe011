"""Let a generator answer a project's prompts from the command line, here and now."""

from __future__ import annotations

import json
import os
import socket
from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from annotate.generation.models import GenerationRun, Generator
from annotate.generation.services import generation_run_start
from annotate.projects.models import Project
from runs.executor import run_execute
from runs.models import Run


class Command(BaseCommand):
    help = "Let a generator write K responses to each prompt of a project. Needs no worker."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project", help="the project's slug")
        parser.add_argument("generator", help="the generator's name")
        parser.add_argument("--k", type=int, help="responses per prompt; the project's K by default")
        parser.add_argument("--temperature", type=float)
        parser.add_argument("--top-p", type=float)
        parser.add_argument("--max-tokens", type=int)
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--comparisons", choices=["own", "none"], default=GenerationRun.Comparisons.OWN)
        parser.add_argument("--limit", type=int, default=0, help="only the first so many prompts")
        parser.add_argument("--json", action="store_true", help="print the result as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        project = Project.objects.filter(slug=options["project"]).first()
        generator = Generator.objects.filter(name=options["generator"]).first()
        if project is None or generator is None:
            missing = "project with the slug" if project is None else "generator called"
            raise CommandError(f"There is no {missing} {options['project' if project is None else 'generator']!r}.")
        sampling = {name: options[name] for name in ("temperature", "top_p", "max_tokens") if options[name] is not None}
        config = {"sampling": sampling, "seed": options["seed"], "k": options["k"] or project.k}
        try:
            run = generation_run_start(
                project=project,
                generator=generator,
                config=config,
                comparisons=options["comparisons"],
                selection={"limit": options["limit"]} if options["limit"] else {},
            )
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        # A worker may be faster than this process; whoever claims the run carries it out.
        run_execute(run_id=run.pk, worker=f"generate@{socket.gethostname()}:{os.getpid()}")
        run.refresh_from_db()
        if run.state != Run.State.SUCCEEDED:
            raise CommandError(f"Run {run.pk} is {run.state}. {run.error}".strip())
        if options["json"]:
            self.stdout.write(json.dumps({"run": run.pk, **run.result}))
        else:
            done = run.result
            self.stdout.write(f"{done['responses']} responses, {done['comparisons']} comparisons")
