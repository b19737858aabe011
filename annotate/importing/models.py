"""Files on their way in, and the runs that import the large ones."""

from __future__ import annotations

from django.conf import settings as django_settings
from django.db import models
from django.urls import reverse

from annotate.projects.models import Project
from runs.models import Run


class Import(models.Model):
    """One file, perhaps with a second one that it refers to: first previewed, then imported or refused."""

    class State(models.TextChoices):
        PREVIEW = "preview", "waiting for confirmation"
        STARTED = "started", "being imported"
        DONE = "done", "imported"
        REFUSED = "refused", "not imported"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="imports")
    state = models.CharField(max_length=10, choices=State, default=State.PREVIEW)
    format = models.CharField(max_length=40, blank=True, help_text="What it was recognised as, or was said to be.")
    filename = models.CharField(max_length=200, blank=True)
    sha256 = models.CharField(max_length=64, blank=True)
    size = models.PositiveBigIntegerField(help_text="bytes")
    upload = models.CharField(max_length=200, blank=True, help_text="The file in the upload storage, until imported.")
    companion_filename = models.CharField(max_length=200, blank=True)
    companion = models.CharField(max_length=200, blank=True, help_text="The second file in the upload storage.")
    settings = models.JSONField(default=dict, blank=True, help_text="annotate.importing.settings.ImportSettings")
    report = models.JSONField(default=dict, blank=True, help_text="What came of it.")
    complaints = models.CharField(max_length=200, blank=True, help_text="All complaints as CSV, in the upload storage.")
    created_by = models.ForeignKey(
        django_settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    imported_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.filename or f"import {self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("annotate:import-preview", args=[self.project.slug, self.pk])


class ImportRun(Run):
    """Import a file that is too large for a page to wait for."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="import_runs")
    source = models.ForeignKey(Import, on_delete=models.PROTECT, related_name="runs")
