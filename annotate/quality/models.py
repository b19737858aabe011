"""What is known about the quality of a project's judgements, computed in the background and kept."""

from __future__ import annotations

from django.db import models

from annotate.projects.models import Project


class QualityReport(models.Model):
    """The latest statistics of a project. Pages show them with their age, and never compute them themselves."""

    project = models.OneToOneField(Project, on_delete=models.CASCADE, related_name="quality_report")
    data = models.JSONField(default=dict, blank=True, help_text="See annotate.quality.report.")
    watermark = models.BigIntegerField(default=0, help_text="Id of the last judgement it has seen.")
    judgements = models.PositiveIntegerField(default=0)
    seconds = models.FloatField(null=True, blank=True, help_text="How long it took.")
    error = models.TextField(blank=True, help_text="Why the last try failed; the data is then of an earlier one.")
    requested_at = models.DateTimeField(null=True, blank=True)
    computed_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"quality of {self.project}"
