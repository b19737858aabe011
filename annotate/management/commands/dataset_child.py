"""The child process of a dataset run; the executor starts it, people use build_dataset."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand
from django.db import connection, transaction

from annotate.datasets.build import Record, write_dataset
from annotate.datasets.config import DatasetConfig
from annotate.datasets.reading import dataset_records, dataset_strata
from annotate.datasets.selectors import comparisons_for, dataset_pseudonyms
from annotate.projects.models import Project
from annotate.quality.services import quality_report_refresh
from annotate.review.models import Withdrawal
from runs.child import RunDir, Stopped, UserError, child_main

PATIENCE = 60  # seconds to wait for another process that makes the same report


class Command(BaseCommand):
    help = "Build the dataset of a run directory (started by the executor)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("run_dir")

    def handle(self, *args: Any, **options: Any) -> None:
        child_main(build, [options["run_dir"]])


def build(run: RunDir) -> None:
    """Write output/ from one snapshot of the database, so that a judgement is wholly in or wholly out."""
    config = DatasetConfig.model_validate(run.config)
    if config.weights == "reliability":
        _estimate(run)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        project = Project.objects.get(pk=run.inputs["project"])
        total = comparisons_for(project, config).count()
        dimensions = [
            key
            for key in project.dimensions.values_list("key", flat=True)
            if not config.dimensions or key in config.dimensions
        ]
        pseudonyms = dataset_pseudonyms(project, config)
        records = _watched(run, dataset_records(project, config, pseudonyms=pseudonyms), total)
        used: set[str] = set()
        strata = dataset_strata(project, config)
        counts = write_dataset(
            run.output, records, config, name=project.name, dimensions=dimensions, used=used, strata=strata
        )
        withdrawals = Withdrawal.objects.filter(project=project, restored_at=None)
        known = list(withdrawals.order_by("pk").values_list("pk", flat=True))
    if not counts["dimensions"]:
        raise UserError("No comparison has enough judgements that place two responses. Lower the least judgements.")
    annotators = [pk for pk, name in pseudonyms.items() if name in used]
    run.result(counts=counts, annotators=annotators, withdrawals=known)


def _estimate(run: RunDir) -> None:
    """Estimate reliabilities from the judgements there are now, so that the same judgements give the same weights."""
    project = Project.objects.get(pk=run.inputs["project"])
    for _ in range(PATIENCE):
        if quality_report_refresh(project=project):
            return
        if run.stop_requested:
            raise Stopped
        time.sleep(1)  # another process is at it
    raise UserError("The reliability of annotators could not be estimated; the project's quality page says why.")


def _watched(run: RunDir, records: Iterator[Record], total: int) -> Iterator[Record]:
    for done, record in enumerate(records, start=1):
        if run.stop_requested:
            raise Stopped
        yield record
        if done % 500 == 0 or done == total:
            run.progress(done, total, "comparisons")
