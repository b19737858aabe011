"""The child process of an import run; the executor starts it, people use import_dataset."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand

from accounts.models import User
from annotate.importing.models import Import
from annotate.importing.services import BUSY, import_perform
from runs.child import MachineError, RunDir, Stopped, UserError, child_main


class Command(BaseCommand):
    help = "Import the file of a run directory (started by the executor)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("run_dir")

    def handle(self, *args: Any, **options: Any) -> None:
        child_main(perform, [options["run_dir"]])


def perform(run: RunDir) -> None:
    """Import the file, all of it in one transaction: a process that dies leaves nothing behind."""
    upload = Import.objects.get(pk=run.inputs["import"])
    if not upload.upload and upload.state != Import.State.DONE:
        raise UserError("The file is no longer here. Upload it again.")

    def watch(done: int) -> None:
        if run.stop_requested:
            raise Stopped
        run.progress(done // 1000, upload.size // 1000, "kB read")

    user = User.objects.filter(pk=run.inputs["user"]).first()
    try:
        upload = import_perform(upload=upload, user=user, watch=watch)
    except ValidationError as error:
        said = [message for messages in error.message_dict.values() for message in messages]
        if said == [BUSY]:
            raise MachineError(BUSY) from None
        raise UserError("\n".join(said)) from None
    counts = {name: upload.report[name] for name in ("records", "error_count", "skipped_count", "seconds")}
    run.result(**counts, **{f"new_{name}": count for name, count in upload.report["new"].items()})
