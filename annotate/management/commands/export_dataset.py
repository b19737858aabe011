"""Copy a dataset version out of the artifact storage."""

from __future__ import annotations

import shutil
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from annotate.datasets.models import DatasetVersion
from runs.artifacts import artifact_open


class Command(BaseCommand):
    help = "Write the files of a dataset version into a folder."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("version", type=int, help="the version's id, as in its address")
        parser.add_argument("folder", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        version = DatasetVersion.objects.filter(pk=options["version"]).first()
        if version is None:
            raise CommandError(f"There is no dataset version {options['version']}.")
        folder: Path = options["folder"]
        names = [file["path"] for file in version.artifact.manifest["files"]] + ["manifest.json"]
        standing = [name for name in names if (folder / name).exists()]
        if standing:
            raise CommandError(f"{folder / standing[0]} exists already. Choose another folder.")
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            with artifact_open(version.artifact, name) as source, open(folder / name, "wb") as target:
                shutil.copyfileobj(source, target)
        self.stdout.write(f"{version} is in {folder}")
