"""Comparisons whose right answer is known: to qualify annotators, and to keep an eye on quality."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from annotate.ranking.models import Comparison


class Gold(models.Model):
    """The known answer of a comparison whose purpose is qualification or gold."""

    comparison = models.OneToOneField(Comparison, on_delete=models.CASCADE, related_name="gold")
    rankings = models.JSONField(help_text="{dimension key: {response id: rank}}, as in a judgement.")
    explanation = models.TextField(blank=True, help_text="Why; shown with feedback.")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"gold of {self.comparison}"
