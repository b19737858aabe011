"""Projects, the questions they ask, the people in them, and their prompts."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.urls import reverse

KEY = RegexValidator(r"^[a-z][a-z0-9_]*\Z", "Use lower-case letters, digits and _; begin with a letter.")


def default_flags() -> list[dict[str, str]]:
    """What annotators can flag unless a project says otherwise. Keys of the vocabulary bring translated labels."""
    about = {"prompt": ("unclear", "personal_data", "needs_expertise")}
    about["response"] = ("refuses", "wrong_language", "cut_off", "personal_data", "unsafe", "broken")
    return [{"key": key, "label": "", "about": what} for what, keys in about.items() for key in keys]


class Project(models.Model):
    """One annotation campaign."""

    class Task(models.TextChoices):
        RANKING = "ranking", "ranking: order all responses, ties allowed"
        PAIRWISE = "pairwise", "pairwise: A, B, tie or both bad, one key each"
        BEST = "best", "best of K: choose the best response"
        RATING = "rating", "rating: a number for each response"

    class Rationale(models.TextChoices):
        OFF = "off", "not asked"
        OPTIONAL = "optional", "optional"
        REQUIRED = "required", "required"

    name = models.CharField(max_length=120, unique=True)
    slug = models.SlugField(max_length=120, unique=True)
    description = models.TextField(blank=True)
    guidelines = models.TextField(blank=True, help_text="Markdown, shown to annotators beside their work.")
    k = models.PositiveSmallIntegerField(
        "responses per comparison",
        default=4,
        validators=[MinValueValidator(2), MaxValueValidator(16)],
        help_text="How many responses to a prompt are ranked together, 2 to 16.",
    )
    overlap = models.PositiveSmallIntegerField(
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(50)],
        help_text="How many people judge each comparison. Agreement can be measured from 2 on.",
    )
    lease_minutes = models.PositiveSmallIntegerField(
        default=30,
        validators=[MinValueValidator(1), MaxValueValidator(24 * 60)],
        help_text="How long a comparison stays reserved for an annotator who went quiet.",
    )
    is_paused = models.BooleanField("paused", default=False, help_text="While paused, no work is handed out.")
    task = models.CharField(max_length=10, choices=Task, default=Task.RANKING)
    ask_strength = models.BooleanField(
        "strength of preference", default=True, help_text="Let annotators say how much better: slightly, better, much."
    )
    ask_rationale = models.CharField("rationale", max_length=10, choices=Rationale, default=Rationale.OPTIONAL)
    ask_edit = models.BooleanField(
        "edit the best response", default=False, help_text="Let annotators improve the best response; kept beside it."
    )
    rating_points = models.PositiveSmallIntegerField(
        "points of the rating",
        default=5,
        validators=[MinValueValidator(2), MaxValueValidator(10)],
        help_text="For the rating task: 1 is worst, this is best.",
    )
    flags = models.JSONField(
        default=default_flags, blank=True, help_text='[{"key", "label", "about": "prompt" or "response"}, ...]'
    )
    daily_limit = models.PositiveIntegerField(
        null=True, blank=True, help_text="Most comparisons one person may judge in a day. Empty: no limit."
    )
    total_limit = models.PositiveIntegerField(
        null=True, blank=True, help_text="Most comparisons one person may judge in all. Empty: no limit."
    )
    gold_rate = models.FloatField(
        default=0.0,
        validators=[MinValueValidator(0.0), MaxValueValidator(0.5)],
        help_text="Share of what is handed out that is a hidden gold comparison, 0 to 0.5.",
    )
    gold_feedback = models.BooleanField(default=False, help_text="Tell annotators how they did on a gold comparison.")
    must_qualify = models.BooleanField(
        "qualification", default=False, help_text="New annotators first judge the qualification comparisons."
    )
    qualification_threshold = models.FloatField(
        default=0.7,
        validators=[MinValueValidator(0.0), MaxValueValidator(1.0)],
        help_text="Share of the gold pairs that must be ordered as in the gold, 0 to 1.",
    )
    adjudicate_above = models.FloatField(
        default=0.5,
        validators=[MinValueValidator(0.0), MaxValueValidator(1.0)],
        help_text="Comparisons with at least this share of contested pairs wait for a reviewer.",
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    members = models.ManyToManyField(settings.AUTH_USER_MODEL, through="Membership", related_name="projects")

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=Q(k__gte=2, k__lte=16), name="project_k_2_to_16"),
            models.CheckConstraint(condition=Q(overlap__gte=1), name="project_overlap_positive"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("annotate:project-detail", args=[self.slug])


class Dimension(models.Model):
    """One question asked of a ranking. Judgements name it by its key, so the key never changes once used."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="dimensions")
    key = models.CharField(max_length=40, validators=[KEY])
    label = models.CharField(max_length=60)
    question = models.CharField(max_length=300, blank=True, help_text="What an annotator is asked.")
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["position", "id"]
        constraints = [models.UniqueConstraint(fields=["project", "key"], name="dimension_key_once_per_project")]

    def __str__(self) -> str:
        return self.label


class Attribute(models.Model):
    """A number asked of each response beside the ranking, such as creativity from 1 to 7. No pairs come of it."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="attributes")
    key = models.CharField(max_length=40, validators=[KEY])
    label = models.CharField(max_length=60)
    low = models.CharField("label of 1", max_length=60, blank=True)
    high = models.CharField("label of the highest", max_length=60, blank=True)
    points = models.PositiveSmallIntegerField(default=5, validators=[MinValueValidator(2), MaxValueValidator(10)])
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["position", "id"]
        constraints = [models.UniqueConstraint(fields=["project", "key"], name="attribute_key_once_per_project")]

    def __str__(self) -> str:
        return self.label


class Guidelines(models.Model):
    """A version of a project's guidelines. A judgement records the one it was made under."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="guideline_versions")
    number = models.PositiveIntegerField()
    text = models.TextField(blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-number"]
        verbose_name_plural = "guidelines"
        constraints = [models.UniqueConstraint(fields=["project", "number"], name="guidelines_number_once")]

    def __str__(self) -> str:
        return f"guidelines {self.number} of {self.project}"


class Membership(models.Model):
    """A person's place in a project. Inactive: the past work stays, no more is handed out."""

    class Role(models.TextChoices):
        ANNOTATOR = "annotator", "annotator"
        REVIEWER = "reviewer", "reviewer"

    class Qualification(models.TextChoices):
        OPEN = "open", "not finished"
        PASSED = "passed", "passed"
        FAILED = "failed", "not passed"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    is_active = models.BooleanField("active", default=True)
    role = models.CharField(
        max_length=10,
        choices=Role,
        default=Role.ANNOTATOR,
        help_text="Reviewers also decide where annotators disagree.",
    )
    qualification = models.CharField(max_length=10, choices=Qualification, default=Qualification.OPEN)
    qualification_score = models.FloatField(
        null=True, blank=True, help_text="Share of gold pairs ordered as in the gold."
    )
    qualified_at = models.DateTimeField(null=True, blank=True)
    total_limit = models.PositiveIntegerField(
        null=True, blank=True, help_text="Overrides the project's, for one person."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["project", "user"], name="membership_once_per_project")]

    def __str__(self) -> str:
        return f"{self.user} in {self.project}"


class Invitation(models.Model):
    """A link that makes an account. Only the token's hash is kept, so the database alone opens no door."""

    class Role(models.TextChoices):
        ADMIN = "admin", "admin"
        ANNOTATOR = "annotator", "annotator"
        REVIEWER = "reviewer", "reviewer"

    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    role = models.CharField(max_length=10, choices=Role, default=Role.ANNOTATOR)
    projects = models.ManyToManyField(Project, blank=True, related_name="invitations")
    note = models.CharField(max_length=200, blank=True, help_text="Who it is for, as a reminder to yourself.")
    expires_at = models.DateTimeField()
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    accepted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="accepted_invitations"
    )
    accepted_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.note or f"invitation {self.pk}"


class Prompt(models.Model):
    """A conversation that ends with a user turn."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="prompts")
    messages = models.JSONField(help_text="[{role, content}, ...]")
    content_hash = models.CharField(max_length=64, help_text="sha256 of the canonical conversation")
    tags = ArrayField(models.CharField(max_length=60), default=list, blank=True)
    language = models.CharField(max_length=16, blank=True)
    source = models.CharField(max_length=120, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["project", "content_hash"], name="prompt_once_per_project")]
        # Pages go through a project's prompts by id; (project, hash) alone would sort the whole project for each page.
        indexes = [models.Index(fields=["project", "id"], name="prompt_by_project")]

    def __str__(self) -> str:
        return self.question[:80]

    @property
    def question(self) -> str:
        """The last turn: what is being asked now."""
        return self.messages[-1]["content"] if self.messages else ""
