"""Import prompts from the command line. The file is streamed, so its size does not matter."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from annotate.projects.models import Project
from annotate.projects.services import prompts_import


class Command(BaseCommand):
    help = "Import a JSON Lines file of prompts into a project: all of it, or nothing if a line is wrong."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project", help="the project's slug")
        parser.add_argument("file", type=Path)
        parser.add_argument("--json", action="store_true", help="print the result as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        project = Project.objects.filter(slug=options["project"]).first()
        if project is None:
            raise CommandError(f"There is no project with the slug {options['project']!r}.")
        path: Path = options["file"]
        try:
            with path.open("rb") as file:
                report = prompts_import(project=project, data=file, filename=path.name)
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}.") from None
        except ValidationError as error:
            raise CommandError("\n".join(error.messages)) from None
        if options["json"]:
            self.stdout.write(json.dumps(asdict(report)))
        else:
            self.stdout.write(
                f"{report.created:,} new prompts, {report.existing:,} that were there already, "
                f"{report.repeated:,} repeated lines"
            )
