"""Background work with a life of its own, what it reports, and what it leaves behind."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from runs.states import ACTIVE, CLAIMED, FINISHED, State


class Run(models.Model):
    """The parent of all kinds of runs: GenerationRun, RewardModelRun and the like extend it.

    State changes go through runs.services only, which check the transition table and the claim.
    """

    State = State

    class Fault(models.TextChoices):
        USER = "user", "your input"
        MACHINE = "machine", "the machine"
        OURS = "ours", "Plumbline"

    class Queue(models.TextChoices):
        DEFAULT = "default", "default"
        GPU = "gpu", "gpu"

    kind = models.CharField(max_length=40)
    title = models.CharField(max_length=200)
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    fault = models.CharField(max_length=7, choices=Fault, blank=True)
    error = models.TextField(blank=True, help_text="what went wrong and what to do, for people")
    error_detail = models.TextField(blank=True, help_text="traceback and last log lines")
    queue = models.CharField(max_length=7, choices=Queue, default=Queue.DEFAULT)
    config = models.JSONField(default=dict)
    seed = models.BigIntegerField(default=0)
    attempt = models.PositiveSmallIntegerField(default=0)
    max_attempts = models.PositiveSmallIntegerField(default=3)
    not_before = models.DateTimeField(null=True, blank=True, help_text="back-off after a failure of the machine")
    progress_done = models.BigIntegerField(default=0)
    progress_total = models.BigIntegerField(default=0)
    progress_note = models.CharField(max_length=200, blank=True)
    # Where this attempt's present stretch of progress began: the time left is estimated from there.
    progress_from = models.BigIntegerField(default=0)
    progress_from_at = models.DateTimeField(null=True, blank=True)
    claim = models.UUIDField(null=True, blank=True, help_text="who may write: a fresh one for every attempt")
    worker = models.CharField(max_length=200, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="runs",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    queued_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True, help_text="of the latest attempt")
    finished_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    events_offset = models.BigIntegerField(default=0, help_text="bytes of events.jsonl that are in the database")
    result = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["state", "queue", "id"], name="run_waiting"),
            models.Index(fields=["kind", "-id"], name="run_kind"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=State.values), name="run_state_known"),
            models.CheckConstraint(
                condition=Q(state__in=CLAIMED, claim__isnull=False, heartbeat_at__isnull=False)
                | Q(~Q(state__in=CLAIMED), claim__isnull=True),
                name="run_claimed_while_running",
            ),
            models.CheckConstraint(
                condition=Q(state__in=FINISHED, finished_at__isnull=False)
                | Q(~Q(state__in=FINISHED), finished_at__isnull=True),
                name="run_finished_has_time",
            ),
            models.CheckConstraint(
                condition=Q(state=State.FAILED) ^ Q(fault=""),
                name="run_failed_has_fault",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.title} (run {self.pk})"

    def get_absolute_url(self) -> str:
        return reverse("runs:detail", args=[self.pk])

    @property
    def directory(self) -> Path:
        """Where the child works. It exists on the machine of the worker, which need not be this one."""
        return settings.RUNS_DIR / str(self.pk)

    @property
    def is_active(self) -> bool:
        return self.state in ACTIVE

    @property
    def can_cancel(self) -> bool:
        return self.state in (State.QUEUED, State.RUNNING)

    @property
    def can_retry(self) -> bool:
        return self.state in (State.FAILED, State.CANCELLED)

    @property
    def duration(self) -> timedelta | None:
        """How long the latest attempt took, or has taken so far."""
        if self.started_at is None:
            return None
        return (self.finished_at or timezone.now()) - self.started_at

    @property
    def share_done(self) -> float | None:
        """Progress in 0..1; None while the total is unknown."""
        if self.state == State.SUCCEEDED:
            return 1.0
        return min(self.progress_done / self.progress_total, 1.0) if self.progress_total > 0 else None


class RunEvent(models.Model):
    """One thing that a run reported, in the order it happened."""

    class Type(models.TextChoices):
        METRICS = "metrics"
        SAMPLE = "sample"
        LOG = "log"
        STATE = "state"

    run = models.ForeignKey(Run, models.CASCADE, related_name="events")
    type = models.CharField(max_length=7, choices=Type)
    step = models.BigIntegerField(null=True, blank=True)
    data = models.JSONField(default=dict)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["run", "type", "id"], name="run_events")]

    def __str__(self) -> str:
        return f"{self.type} of run {self.run_id} at step {self.step}"


class Artifact(models.Model):
    """A directory that a run produced. The row exists only for complete ones: the manifest is written last."""

    run = models.ForeignKey(Run, models.PROTECT, related_name="artifacts")
    kind = models.CharField(max_length=40)
    name = models.CharField(max_length=300, unique=True, help_text="folder in the artifact storage")
    sha256 = models.CharField(max_length=64, db_index=True, help_text="over the sorted hashes of its files")
    size = models.BigIntegerField()
    manifest = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["run", "kind"], name="artifact_once_per_run"),
            models.CheckConstraint(condition=Q(sha256__regex=r"^[0-9a-f]{64}$"), name="artifact_sha256"),
            models.CheckConstraint(condition=Q(size__gte=0), name="artifact_size"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.sha256[:12]}"
