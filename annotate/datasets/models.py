"""Dataset versions and the runs that build them."""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.urls import reverse

from annotate.projects.models import Project
from runs.models import Artifact, Run


class DatasetRun(Run):
    """Freeze a project's judgements into a dataset version. Its config is annotate.datasets.config.DatasetConfig."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="dataset_runs")

    @property
    def filters(self) -> dict[str, Any]:
        return self.config


class DatasetVersion(models.Model):
    """An immutable snapshot of rankings and pairs."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="dataset_versions")
    number = models.PositiveIntegerField()
    run = models.OneToOneField(DatasetRun, on_delete=models.PROTECT, related_name="version")
    artifact = models.ForeignKey(Artifact, on_delete=models.PROTECT, related_name="dataset_versions")
    sha256 = models.CharField(max_length=64, help_text="Of the content: the same data and filters give the same.")
    counts = models.JSONField(default=dict)
    annotators = ArrayField(
        models.BigIntegerField(), default=list, blank=True, help_text="Ids of those whose judgements are in it."
    )
    stale_since = models.DateTimeField(null=True, blank=True, help_text="When work that is in it was withdrawn.")
    stale_reason = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["project", "number"], name="dataset_version_number_once")]

    def __str__(self) -> str:
        return f"{self.project} v{self.number}"

    def get_absolute_url(self) -> str:
        return reverse("annotate:dataset-detail", args=[self.pk])

    @property
    def prompt_count(self) -> int:
        return sum(self.counts["prompts"].values())

    @property
    def pair_counts(self) -> dict[str, int]:
        """Pairs of all dimensions by split."""
        tallies = self.counts["dimensions"].values()
        return {split: sum(tally["pairs"][split] for tally in tallies) for split in ("train", "test")}
