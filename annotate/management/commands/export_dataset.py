"""Copy a dataset version out of the artifact storage, as it is or in another format."""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from annotate.datasets.exports import export_counted, export_options
from annotate.datasets.forms import ExportForm
from annotate.datasets.models import DatasetVersion
from annotate.formats.writing import FORMATS_OUT
from annotate.management.commands import _progress
from runs.artifacts import artifact_open

PIECE = 2**20


class Command(BaseCommand):
    help = "Write a dataset version into a folder: its own files or, with --format, those of another format."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("version", type=int, help="the version's id, as in its address")
        parser.add_argument("folder", type=Path)
        parser.add_argument("--format", choices=list(FORMATS_OUT), help="the version's own files by default")
        parser.add_argument("--dimension", default="", help="only this one (with --format)")
        parser.add_argument("--split", default="", help="only this side: train or test (with --format)")
        parser.add_argument("--responses", default="best", choices=[key for key, _ in ExportForm.RESPONSES])
        parser.add_argument("--json", action="store_true", help="print the result as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        version = DatasetVersion.objects.select_related("project", "artifact").filter(pk=options["version"]).first()
        if version is None:
            raise CommandError(f"There is no dataset version {options['version']}.")
        folder: Path = options["folder"]
        left_out: Counter[str] = Counter()
        key = options["format"]
        given = {name: options[name] for name in ("dimension", "split", "responses")}
        if key is None and (given["dimension"] or given["split"]):
            raise CommandError("--dimension and --split need a --format.")
        if key is None:
            names = [file["path"] for file in version.artifact.manifest["files"]] + ["manifest.json"]
            files = ((name, _pieces(version, name)) for name in names)
        else:
            form = ExportForm(version, {"as": key, **given})
            if not form.is_valid():
                raise CommandError(" ".join(message for errors in form.errors.values() for message in errors))
            settings = export_options(version, **form.options())
            names = [file.name(settings) for file in FORMATS_OUT[key].files]
            files = export_counted(version, key, settings, left_out)
        standing = [name for name in names if (folder / name).exists()]
        if standing:
            raise CommandError(f"{folder / standing[0]} exists already. Choose another folder.")
        sizes = _write(folder, files)
        if options["json"]:
            found = {"version": version.pk, "format": key, "files": sizes, "left_out": dict(left_out)}
            self.stdout.write(json.dumps(found))
            return
        self.stdout.write(f"{version} is in {folder}")
        for reason, count in sorted(left_out.items()):
            self.stdout.write(f"Left out: {count} {reason}")


def _pieces(version: DatasetVersion, name: str) -> Iterator[bytes]:
    with artifact_open(version.artifact, name) as source:
        while piece := source.read(PIECE):
            yield piece


def _write(folder: Path, files: Iterator[tuple[str, Iterator[bytes]]]) -> dict[str, int]:
    """Write files, each aside first, so that none stands there half; returns their sizes."""
    sizes: dict[str, int] = {}
    for name, chunks in files:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(target.name + ".partial")
        sizes[name] = 0
        try:
            with _progress.bytes_shown(name) as advance, open(partial, "wb") as file:
                for chunk in chunks:
                    file.write(chunk)
                    sizes[name] += len(chunk)
                    advance(len(chunk))
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)
    return sizes
