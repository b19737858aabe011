"""Reward-model runs and the reward models they leave."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.urls import reverse

from annotate.models import Comparison, DatasetVersion, Generator, Response
from runs.models import Artifact, Run


class RewardModelRun(Run):
    """Train a reward model on a dataset version. Its config is rewardmodel.training.config.RewardConfig."""

    dataset_version = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, related_name="reward_model_runs")
    generator = models.ForeignKey(
        Generator,
        on_delete=models.PROTECT,
        related_name="reward_model_runs",
        help_text="The policy whose weights the reward model starts from.",
    )


class RewardModel(models.Model):
    """A trained reward model: one score a dimension for a response to a prompt."""

    name = models.CharField(max_length=220, unique=True)
    run = models.OneToOneField(RewardModelRun, on_delete=models.PROTECT, related_name="reward_model")
    artifact = models.ForeignKey(Artifact, on_delete=models.PROTECT, related_name="reward_models")
    dimensions = models.JSONField(help_text="names of the scores, in order")
    metrics = models.JSONField(default=dict, help_text="the result of its run: accuracy with interval and the like")
    base_model = models.CharField(max_length=500)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("rewardmodel:detail", args=[self.pk])

    @property
    def accuracies(self) -> list[dict[str, Any]]:
        """One row a dimension: held-out accuracy, that of choosing the longer response, and which is better."""
        return [
            {
                "dimension": dimension,
                "accuracy": self.metrics.get("accuracy", {}).get(dimension),
                "train": self.metrics.get("train_accuracy", {}).get(dimension),
                "longer": self.metrics.get("baseline_longer", {}).get(dimension),
                "duel": self.metrics.get("better_than_longer", {}).get(dimension),
                "verdict": _verdict(self.metrics.get("better_than_longer", {}).get(dimension)),
                "mean": self.metrics.get("score_mean", {}).get(dimension),
                "std": self.metrics.get("score_std", {}).get(dimension),
            }
            for dimension in self.dimensions
        ]


def _verdict(duel: dict[str, float] | None) -> str:
    if duel is None:
        return "unknown"
    if duel["low"] > 0.5:
        return "better"
    return "worse" if duel["high"] < 0.5 else "open"


class UploadManager(models.Manager):
    """Runs without the file that was sent with them, which may be large: it is fetched when somebody asks for it."""

    def get_queryset(self) -> models.QuerySet:
        return super().get_queryset().defer("content")


class ScoreRun(Run):
    """Score the responses of a file or a request. Its config is rewardmodel.training.score_config.ScoreConfig."""

    reward_model = models.ForeignKey(RewardModel, on_delete=models.PROTECT, related_name="score_runs")
    filename = models.CharField(max_length=200, help_text="of the upload; a request has none of its own")
    content = models.BinaryField(help_text="What is to be scored, gzipped. Given up once it is scored.")

    objects = UploadManager()

    def get_score_url(self) -> str:
        return reverse("rewardmodel:scores", args=[self.pk])


class RewardEvaluation(Run):
    """Measure a reward model on a dataset version or a file. Its config is evaluation_config.EvaluationConfig."""

    reward_model = models.ForeignKey(RewardModel, on_delete=models.PROTECT, related_name="evaluations")
    second = models.ForeignKey(
        RewardModel,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="evaluations_beside",
        help_text="another reward model to hold it against",
    )
    dataset_version = models.ForeignKey(
        DatasetVersion,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="reward_evaluations",
        help_text="what it is tested on; none: a file",
    )
    filename = models.CharField(max_length=200, blank=True, help_text="of a file that it is tested on")
    content = models.BinaryField(default=b"", help_text="That file, gzipped. Given up once it is measured.")

    objects = UploadManager()

    def get_evaluation_url(self) -> str:
        return reverse("rewardmodel:evaluation", args=[self.pk])

    @property
    def test_set(self) -> str:
        """What it is tested on, for people."""
        return self.filename or str(self.dataset_version)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One row a dimension of its result: accuracy, that of choosing the longer, which is better, and people's."""
        kinds = {"accuracy": "accuracy", "longer": "baseline_longer", "duel": "better_than_longer", "people": "people"}
        return [
            {
                "dimension": dimension,
                **{name: self.result.get(kind, {}).get(dimension) for name, kind in kinds.items()},
                "verdict": _verdict(self.result.get("better_than_longer", {}).get(dimension)),
            }
            for dimension in self.result.get("dimensions", ())
        ]


class Relabelling(models.Model):
    """A comparison that was sent to be judged again, because a reward model was sure and people were not with it."""

    evaluation = models.ForeignKey(RewardEvaluation, on_delete=models.PROTECT, related_name="relabellings")
    comparison = models.ForeignKey(Comparison, on_delete=models.CASCADE, related_name="relabellings")
    dimension = models.CharField(max_length=200, help_text="The question of the project that people were asked.")
    model_choice = models.ForeignKey(
        Response,
        on_delete=models.CASCADE,
        related_name="+",
        help_text="The response of the pair that the model prefers.",
    )
    other_choice = models.ForeignKey(Response, on_delete=models.CASCADE, related_name="+")
    probability = models.FloatField(help_text="The model's, that its choice is preferred; at least one half.")
    before = models.JSONField(
        default=dict, help_text="What people had said: how many preferred the `model`'s choice, the `other`, a `tie`."
    )
    annotators_before = models.JSONField(default=list, help_text="Who had judged it: what they say is not new.")
    extra = models.PositiveSmallIntegerField(help_text="How many more judgements were asked for.")
    sent_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    sent_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["evaluation", "comparison"], name="relabelling_once_per_evaluation")
        ]

    def __str__(self) -> str:
        return f"{self.comparison}, from {self.evaluation}"

    @property
    def judgements_before(self) -> int:
        """How many had judged the pair."""
        return sum(self.before.values())

    @property
    def share_before(self) -> float:
        """Share of them on the model's side, a tie one half."""
        return (self.before["model"] + self.before["tie"] / 2) / self.judgements_before
