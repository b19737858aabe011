"""Generators, the runs that make them write, and what they wrote."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse

from annotate.projects.models import Project, Prompt
from runs.models import Artifact, Run


class Generator(models.Model):
    """What writes responses: a local model (with or without an adapter), an endpoint, or an import."""

    class Kind(models.TextChoices):
        LOCAL = "local", "local model"
        ENDPOINT = "endpoint", "OpenAI-compatible endpoint"
        IMPORT = "import", "imported responses"
        EDIT = "edit", "edited by annotators"

    SILENT = (Kind.IMPORT, Kind.EDIT)  # they stand for responses that came from elsewhere

    name = models.CharField(max_length=120, unique=True)
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.LOCAL)
    description = models.CharField(max_length=300, blank=True)
    model = models.CharField(
        max_length=500, blank=True, help_text="A known name, a directory with a model, or a Hugging Face hub id."
    )
    adapter = models.ForeignKey(Artifact, on_delete=models.PROTECT, null=True, blank=True, related_name="generators")
    endpoint_url = models.URLField(max_length=500, blank=True)
    endpoint_model = models.CharField(max_length=200, blank=True)
    api_key_env = models.CharField(
        max_length=100, blank=True, help_text="Name of the environment variable that holds the key; never the key."
    )
    produced_by = models.ForeignKey(Run, on_delete=models.SET_NULL, null=True, blank=True, related_name="generators")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=(
                    (Q(kind="local") & ~Q(model=""))
                    | (Q(kind="endpoint") & ~Q(endpoint_url="") & ~Q(endpoint_model=""))
                    | Q(kind__in=["import", "edit"])
                ),
                name="generator_has_its_source",
            )
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("annotate:generator-detail", args=[self.pk])


class GenerationRun(Run):
    """Write responses to a project's prompts, and put them into comparisons when asked."""

    class Comparisons(models.TextChoices):
        NONE = "none", "none"
        OWN = "own", "from this run's responses"
        MIXED = "mixed", "from this run's and other generators' responses"

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="generation_runs")
    generator = models.ForeignKey(Generator, on_delete=models.PROTECT, related_name="runs")
    comparisons = models.CharField(max_length=10, choices=Comparisons, default=Comparisons.OWN)
    mix_with = models.ManyToManyField(Generator, blank=True, related_name="mixed_into")
    round = models.PositiveSmallIntegerField(default=1, help_text="The round its comparisons belong to.")
    selection = models.JSONField(default=dict, blank=True, help_text="Which prompts: tags, only unanswered, limit.")


class Response(models.Model):
    """One generator's answer to one prompt."""

    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="responses")
    generator = models.ForeignKey(Generator, on_delete=models.PROTECT, related_name="responses")
    run = models.ForeignKey(GenerationRun, on_delete=models.SET_NULL, null=True, blank=True, related_name="responses")
    text = models.TextField(blank=True)
    content_hash = models.CharField(max_length=64, help_text="sha256 of the text")
    sample_index = models.PositiveSmallIntegerField(default=0)
    sampling = models.JSONField(default=dict, blank=True, help_text="temperature, top_p, ..., seed")
    finish_reason = models.CharField(max_length=10, blank=True)
    tokens = models.PositiveIntegerField(null=True, blank=True)
    metadata = models.JSONField(
        default=dict, db_default={}, blank=True, help_text="What an import said of it: a label, an id, scores, ..."
    )
    edited_from = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="edits",
        help_text="What a person improved.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            # A run that is finished twice (redelivered, resumed) must not ingest twice.
            models.UniqueConstraint(
                fields=["run", "prompt", "sample_index"], condition=Q(run__isnull=False), name="response_once_per_run"
            ),
            models.UniqueConstraint(
                fields=["prompt", "generator", "content_hash"],
                condition=Q(run__isnull=True, edited_from__isnull=True),
                name="response_imported_once",
            ),
            models.UniqueConstraint(
                fields=["edited_from", "generator", "content_hash"],
                condition=Q(run__isnull=True, edited_from__isnull=False),
                name="response_edited_once",
            ),
        ]

    def __str__(self) -> str:
        return self.text[:80]
