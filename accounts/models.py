"""Who uses Plumbline, and what admins and reviewers did with it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.db import models


class User(AbstractUser):
    """A person, or something that stands in for one.

    The admin role is Django's `is_staff`; everybody else is an annotator.
    """

    class Kind(models.TextChoices):
        HUMAN = "human", "person"
        SIMULATED = "simulated", "simulated annotator"
        IMPORT = "import", "imported judgements"

    kind = models.CharField(
        max_length=10,
        choices=Kind,
        default=Kind.HUMAN,
        help_text="Simulated annotators and imports are labelled as such wherever their work appears.",
    )

    language = models.CharField(
        max_length=10,
        blank=True,
        choices=settings.LANGUAGES,
        help_text="Of the pages; empty: what the browser asks for.",
    )

    @property
    def role(self) -> str:
        return "admin" if self.is_staff else "annotator"


class AuditEntry(models.Model):
    """Who did what to what. Written beside the act, in its transaction; never changed."""

    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    action = models.CharField(max_length=60, help_text="noun.verb, such as membership.paused")
    subject = models.CharField(max_length=200, help_text="What it was done to, in words that outlive the row.")
    scope = models.CharField(max_length=60, blank=True, help_text="Where it belongs, such as project:3.")
    details = models.JSONField(default=dict, blank=True)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "audit entries"
        indexes = [
            models.Index(fields=["scope", "-id"], name="audit_by_scope"),
            models.Index(fields=["actor", "-id"], name="audit_by_actor"),
        ]

    def __str__(self) -> str:
        return f"{self.action}: {self.subject}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("An audit entry is never changed.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise TypeError("An audit entry is never deleted.")
