"""What happens to judgements after they were made: decided between, or withdrawn."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from annotate.projects.models import Project
from annotate.ranking.models import Comparison


class Adjudication(models.Model):
    """A reviewer's decision where annotators disagree. It stands beside their judgements and changes none of them."""

    comparison = models.ForeignKey(Comparison, on_delete=models.PROTECT, related_name="adjudications")
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="adjudications")
    rankings = models.JSONField(help_text="{dimension key: {response id: rank}}, as in a judgement.")
    all_bad = models.JSONField(default=list, blank=True)
    rationale = models.TextField(blank=True)
    is_current = models.BooleanField(default=True)
    supersedes = models.OneToOneField(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="superseded_by"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["comparison"], condition=Q(is_current=True), name="adjudication_one_current"
            )
        ]

    def __str__(self) -> str:
        return f"decision on {self.comparison}"


class Withdrawal(models.Model):
    """An annotator's work taken out of a project. The judgements stay on record and can be put back."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="withdrawals")
    annotator = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="withdrawals")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    reason = models.CharField(max_length=300)
    count = models.PositiveIntegerField(help_text="Judgements that were withdrawn.")
    created_at = models.DateTimeField(auto_now_add=True)
    restored_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"work of {self.annotator} in {self.project}"

    @property
    def explanation(self) -> str:
        """Why what contains this work is stale."""
        return f"Work of {self.annotator} was withdrawn: {self.reason}"[:300]
