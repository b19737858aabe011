"""Import files from the command line. They are read where they lie, so their size does not matter."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from annotate.formats.reading import FORMATS_IN
from annotate.importing.complaints import Complaints
from annotate.importing.models import Import
from annotate.importing.preview import settings_of_entry
from annotate.importing.reading import dataset_info
from annotate.importing.services import Source, clean_name, file_import
from annotate.importing.settings import ImportSettings
from annotate.management.commands import _progress
from annotate.projects.models import Project
from runs.schema import config_validated

INFO, VERSION = "dataset_info.json", "rankings.jsonl"


@dataclass(frozen=True)
class Job:
    path: Path
    settings: ImportSettings
    companion: Path | None = None


class Command(BaseCommand):
    help = (
        "Import prompts, responses, rankings, pairs, labels or demonstrations. Each file is imported as a whole, or "
        "not at all where a row of it is wrong, unless --good-rows. What is there already is never doubled."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "files", nargs="+", type=Path, metavar="FILE",
            help=f"a file, or a folder with {INFO} (LLaMA-Factory) or {VERSION} (a dataset version)",
        )  # fmt: skip
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument(
            "--format", default="", choices=["", *FORMATS_IN], metavar="KEY", help="see docs/formats.md"
        )
        parser.add_argument("--map", action="append", default=[], metavar="COLUMN=THEIRS", help="the file's column")
        parser.add_argument(
            "--dimension", action="append", default=[], metavar="[THEIRS=]KEY",
            help="what judgements are about; THEIRS=KEY says which of the project's dimensions the file's is, "
            "THEIRS= leaves it out",
        )  # fmt: skip
        parser.add_argument("--companion", type=Path, metavar="FILE", help="the file of texts that votes refer to")
        parser.add_argument("--good-rows", action="store_true", help="import what is right where rows are wrong")
        parser.add_argument("--keep-empty", action="store_true", help="keep empty responses")
        parser.add_argument("--queue", action="store_true", help="make open comparisons of unjudged responses")
        parser.add_argument("--round", type=int, default=1, help="of the comparisons that --queue makes")
        parser.add_argument("--limit", type=int, help="only the first so many records of each file")
        parser.add_argument("--complaints", type=Path, metavar="FILE", help="write every complaint there, as CSV")
        parser.add_argument("--json", action="store_true", help="print a report a line for each file")

    def handle(self, *args: Any, **options: Any) -> None:
        project = Project.objects.filter(slug=options["project"]).first()
        if project is None:
            raise CommandError(f"There is no project with the slug {options['project']!r}.")
        try:
            settings = config_validated(ImportSettings, _settings(options))
            jobs = [job for path in options["files"] for job in _jobs(path, settings, options["companion"])]
        except ValidationError as error:
            raise CommandError(_said(error)) from None
        for job in jobs:
            report = self._import(project, job, options["complaints"])
            self.stdout.write(json.dumps({"file": str(job.path), **report}) if options["json"] else _words(job, report))

    def _import(self, project: Project, job: Job, complaints: Path | None) -> dict[str, Any]:
        try:
            with job.path.open("rb") as file, _progress.read_shown(job.path.name, job.path.stat().st_size) as watch:
                second = job.companion.open("rb") if job.companion else None
                sink = complaints.open("ab") if complaints else None
                try:
                    report = file_import(
                        project=project,
                        source=Source(file, clean_name(job.path.name), second),
                        settings=job.settings,
                        findings=Complaints(sink=sink),
                        watch=watch,
                    )
                finally:
                    for opened in (second, sink):
                        if opened:
                            opened.close()
        except OSError as error:
            raise CommandError(f"{error.filename or job.path} cannot be read: {error.strerror}.") from None
        except ValidationError as error:
            raise CommandError(f"{job.path}: nothing was imported.\n{_said(error)}") from None
        Import.objects.create(
            project=project,
            state=Import.State.DONE,
            format=report["format"],
            filename=clean_name(job.path.name),
            size=job.path.stat().st_size,
            settings=job.settings.model_dump(mode="json"),
            report=report,
            imported_at=timezone.now(),
        )
        return report


def _settings(options: dict[str, Any]) -> dict[str, Any]:
    named = [given.partition("=") for given in options["dimension"]]
    plain = [name for name, sign, _ in named if not sign]
    if len(plain) > 1:
        raise CommandError("Give one --dimension KEY, or several THEIRS=KEY.")
    columns = [given.partition("=") for given in options["map"]]
    if wrong := next((name for name, sign, to in columns if not (sign and name and to)), None):
        raise CommandError(f"--map {wrong}: write COLUMN=THEIRS, the format's column and the file's.")
    return {
        "format": options["format"],
        "mapping": {name: to for name, _, to in columns},
        "dimension": plain[0] if plain else "",
        "dimensions": {name: to for name, sign, to in named if sign},
        **{name: options[name] for name in ("good_rows", "keep_empty", "queue", "round", "limit")},
    }


def _jobs(path: Path, settings: ImportSettings, companion: Path | None) -> Iterator[Job]:
    """What there is to import at a path; of a folder, what its own description says."""
    if not path.is_dir():
        yield Job(path, settings, companion)
        return
    if (path / VERSION).is_file():
        yield Job(path / VERSION, settings.model_copy(update={"format": "rankings"}))
        return
    if not (path / INFO).is_file():
        raise CommandError(f"{path} is a folder with neither {INFO} nor {VERSION}. Name the files one by one.")
    with (path / INFO).open("rb") as file:
        info = dataset_info(file)
    found = {name: path / Path(str(entry.get("file_name", ""))).name for name, entry in info.items()}
    there = {name: file for name, file in found.items() if file.is_file() and file.name != INFO}
    if not there:
        raise CommandError(f"{path / INFO} names no file that is in its folder.")
    for name, file in there.items():
        yield Job(file, settings_of_entry(settings, info, name))


def _said(error: ValidationError) -> str:
    fields = error.message_dict if hasattr(error, "error_dict") else {"": error.messages}
    return "\n".join(message for messages in fields.values() for message in messages)


def _words(job: Job, report: dict[str, Any]) -> str:
    made = ", ".join(f"{count:,} {name}" for name, count in report["new"].items() if count) or "nothing"
    there = ", ".join(f"{count:,} {name}" for name, count in report["known"].items() if count)
    wrong = [
        f"{report[name]:,} rows {what}"
        for name, what in (("error_count", "wrong and left out"), ("skipped_count", "passed over"))
        if report[name]
    ]
    parts = [f"{job.path}: {report['records']:,} records as {report['format']}; new: {made}"]
    parts += [f"there already: {there}"] if there else []
    return "; ".join([*parts, *wrong])
