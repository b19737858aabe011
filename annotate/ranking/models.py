"""Comparisons, who holds them, and what was judged."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from annotate.generation.models import GenerationRun, Response
from annotate.projects.models import Guidelines, Project, Prompt


class Comparison(models.Model):
    """K responses to one prompt, to be ranked together by `overlap` annotators."""

    class Purpose(models.TextChoices):
        WORK = "work", "work"
        QUALIFICATION = "qualification", "qualification"
        GOLD = "gold", "hidden gold"

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="comparisons")
    prompt = models.ForeignKey(Prompt, on_delete=models.PROTECT, related_name="comparisons")
    run = models.ForeignKey(
        GenerationRun, on_delete=models.SET_NULL, null=True, blank=True, related_name="made_comparisons"
    )
    responses = models.ManyToManyField(Response, through="ComparisonResponse", related_name="comparisons")
    round = models.PositiveSmallIntegerField(default=1)
    priority = models.SmallIntegerField(default=0, help_text="Higher is handed out first.")
    overlap = models.PositiveSmallIntegerField(default=1, help_text="How many judgements it needs.")
    is_closed = models.BooleanField("closed", default=False, help_text="It has its judgements, or needs none.")
    purpose = models.CharField(
        max_length=14,
        choices=Purpose,
        default=Purpose.WORK,
        help_text="Gold and qualification comparisons have a known answer, are closed, and are given to everybody.",
    )
    disagreement = models.FloatField(
        null=True,
        blank=True,
        help_text="Share of contested pairs among its judgements, 0 to 1; empty with fewer than 2.",
    )
    dedup_key = models.CharField(
        max_length=64, null=True, blank=True, editable=False, help_text="Where it came from, so that it is made once."
    )
    tags = ArrayField(
        models.CharField(max_length=60),
        default=list,
        db_default=[],
        blank=True,
        help_text="Of its own, beside those of its prompt.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["project", "dedup_key"], name="comparison_made_once"),
            models.CheckConstraint(condition=Q(overlap__gte=1), name="comparison_overlap_positive"),
            # The queue of work is the open ones, so gold has to be closed to stay out of it.
            models.CheckConstraint(condition=Q(purpose="work") | Q(is_closed=True), name="comparison_gold_is_closed"),
        ]
        indexes = [
            # Handing out reads the first open rows in this order with SKIP LOCKED; closed ones must not be walked over.
            models.Index(
                fields=["project", "-priority", "id"], condition=Q(is_closed=False), name="comparison_open_in_order"
            ),
            models.Index(fields=["project", "round", "id"], name="comparison_by_round"),
            models.Index(fields=["project", "id"], condition=~Q(purpose="work"), name="comparison_gold"),
            models.Index(
                fields=["project", "-disagreement", "id"],
                condition=Q(disagreement__gt=0),
                name="comparison_by_disagreement",
            ),
        ]

    def __str__(self) -> str:
        return f"comparison {self.pk}"


class ComparisonResponse(models.Model):
    """A response's place in a comparison. Positions 0..K-1 are the order of exports, not what annotators see."""

    comparison = models.ForeignKey(Comparison, on_delete=models.CASCADE, related_name="members")
    response = models.ForeignKey(Response, on_delete=models.PROTECT, related_name="memberships")
    position = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["comparison", "position"]
        constraints = [
            models.UniqueConstraint(fields=["comparison", "position"], name="comparison_position_once"),
            models.UniqueConstraint(fields=["comparison", "response"], name="comparison_response_once"),
        ]

    def __str__(self) -> str:
        return f"response {self.response_id} in comparison {self.comparison_id}"


class Assignment(models.Model):
    """One annotator's lease on one comparison."""

    class State(models.TextChoices):
        ACTIVE = "active", "active"
        SUBMITTED = "submitted", "submitted"
        SKIPPED = "skipped", "skipped"
        RELEASED = "released", "released"

    comparison = models.ForeignKey(Comparison, on_delete=models.CASCADE, related_name="assignments")
    annotator = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="assignments")
    slot = models.PositiveSmallIntegerField(null=True, blank=True, help_text="Which of the `overlap` places it takes.")
    state = models.CharField(max_length=10, choices=State, default=State.ACTIVE)
    number = models.PositiveIntegerField(
        default=0,
        editable=False,
        help_text="Its place in the row of all that its annotator was handed, 1 is the first.",
    )
    display_order = models.JSONField(default=list, help_text="Response ids in the order this annotator sees them.")
    draft = models.JSONField(default=dict, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True, help_text="When it was first on screen.")
    skip_reason = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["comparison", "annotator"], name="assignment_once_per_annotator"),
            # The database itself keeps a comparison from having more judgements than its overlap.
            models.UniqueConstraint(
                fields=["comparison", "slot"],
                condition=Q(state__in=["active", "submitted"], slot__isnull=False),
                name="assignment_slot_once",
            ),
        ]
        indexes = [
            models.Index(fields=["lease_expires_at"], condition=Q(state="active"), name="assignment_active_lease"),
            models.Index(fields=["annotator", "state"], name="assignment_by_annotator"),
            models.Index(fields=["annotator", "-number"], name="assignment_in_row"),
        ]

    def __str__(self) -> str:
        return f"{self.annotator} on {self.comparison}"


class Judgement(models.Model):
    """What an annotator submitted. It is never overwritten; a later one supersedes it."""

    class Source(models.TextChoices):
        HUMAN = "human", "person"
        SIMULATED = "simulated", "simulated annotator"
        IMPORT = "import", "import"

    comparison = models.ForeignKey(Comparison, on_delete=models.PROTECT, related_name="judgements")
    annotator = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="judgements")
    assignment = models.ForeignKey(
        Assignment, on_delete=models.SET_NULL, null=True, blank=True, related_name="judgements"
    )
    rankings = models.JSONField(help_text="{dimension key: {response id: rank}}; 1 is best, equal numbers are ties.")
    strengths = models.JSONField(
        default=dict, blank=True, help_text="{dimension key: {response id: how much better than the next group, 0-3}}"
    )
    ratings = models.JSONField(
        default=dict,
        blank=True,
        help_text="{key of a dimension or an attribute: {response id: points}}; more is better.",
    )
    flags = models.JSONField(
        default=list, blank=True, help_text='[{"flag": key, "response": id}, ...]; no response: it is about the prompt.'
    )
    rationale = models.TextField(blank=True)
    all_bad = models.JSONField(
        default=list, blank=True, help_text="Keys of the dimensions on which none of the responses is acceptable."
    )
    edit = models.ForeignKey(
        Response, on_delete=models.PROTECT, null=True, blank=True, related_name="+", help_text="The best one, improved."
    )
    guidelines = models.ForeignKey(
        Guidelines, on_delete=models.PROTECT, null=True, blank=True, related_name="judgements"
    )
    gold_score = models.FloatField(
        null=True, blank=True, help_text="On a gold comparison: the share of the gold's pairs ordered as in the gold."
    )
    seconds_active = models.FloatField(null=True, blank=True)
    display_order = models.JSONField(default=list, blank=True)
    is_current = models.BooleanField(default=True)
    withdrawal = models.ForeignKey(
        "annotate.Withdrawal", on_delete=models.SET_NULL, null=True, blank=True, related_name="judgements"
    )
    supersedes = models.OneToOneField(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="superseded_by"
    )
    source = models.CharField(max_length=10, choices=Source, default=Source.HUMAN)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["comparison", "annotator"], condition=Q(is_current=True), name="judgement_one_current"
            )
        ]
        indexes = [models.Index(fields=["annotator", "-id"], name="judgement_by_annotator")]

    def __str__(self) -> str:
        return f"judgement {self.pk}"
