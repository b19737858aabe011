"""Import published rankings from the command line. The file is streamed, so its size does not matter."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from annotate.formats.rankings import FORMATS
from annotate.imports import rankings_import
from annotate.projects.models import Project


class Command(BaseCommand):
    help = "Import published rankings (Anthropic HH pairs, Open-Assistant trees) into a project, once each."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project", help="the project's slug")
        parser.add_argument("file", type=Path)
        parser.add_argument("--format", choices=sorted(FORMATS), required=True)
        parser.add_argument("--dimension", default="", help="what they rank by; default: what the format usually means")
        parser.add_argument("--limit", type=int, help="only the first so many comparisons")
        parser.add_argument("--json", action="store_true", help="print the result as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        project = Project.objects.filter(slug=options["project"]).first()
        if project is None:
            raise CommandError(f"There is no project with the slug {options['project']!r}.")
        if options["limit"] is not None and options["limit"] < 1:
            raise CommandError("--limit must be 1 or more.")
        path: Path = options["file"]
        try:
            with path.open("rb") as file:
                report = rankings_import(
                    project=project,
                    data=file,
                    format=options["format"],
                    dimension=options["dimension"],
                    limit=options["limit"],
                    filename=path.name,
                )
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}.") from None
        except ValidationError as error:
            raise CommandError("\n".join(error.messages)) from None
        if options["json"]:
            self.stdout.write(json.dumps(asdict(report)))
        else:
            self.stdout.write(
                f"{report.comparisons:,} comparisons ({report.existing:,} were there already), {report.prompts:,} new "
                f"prompts, {report.responses:,} new responses, {report.skipped:,} lines skipped"
            )
