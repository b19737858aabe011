"""Policy runs, the policies they make, and what was measured of those."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.urls import reverse

from annotate.models import DatasetVersion, Generator, Project
from rewardmodel.models import RewardModel
from runs.models import Run


class PolicyRun(Run):
    """Train a policy. Its config is DPOConfig or PPOConfig of rl.training.config, by its `algorithm`."""

    class Algorithm(models.TextChoices):
        DPO = "dpo", "DPO"
        PPO = "ppo", "PPO"

    algorithm = models.CharField(max_length=10, choices=Algorithm)
    generator = models.ForeignKey(
        Generator, on_delete=models.PROTECT, related_name="policy_runs", help_text="The local model it starts from."
    )
    dataset_version = models.ForeignKey(
        DatasetVersion,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="policy_runs",
        help_text="DPO: the rankings to learn from. PPO: whose train prompts to answer.",
    )
    reward_model = models.ForeignKey(
        RewardModel, on_delete=models.PROTECT, null=True, blank=True, related_name="policy_runs"
    )
    project = models.ForeignKey(
        Project,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="policy_runs",
        help_text="PPO: whose prompts to answer, where no dataset version is given.",
    )
    policy = models.ForeignKey(
        Generator,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="made_by",
        help_text="The generator that the finished run became.",
    )

    def get_policy_url(self) -> str:
        return reverse("rl:policy-detail", args=[self.pk])


class EvaluationRun(Run):
    """Measure a generator's responses: reward, distance from a reference, length. Its config is EvaluationConfig."""

    generator = models.ForeignKey(Generator, on_delete=models.PROTECT, related_name="evaluation_runs")
    reference = models.ForeignKey(Generator, on_delete=models.PROTECT, related_name="reference_of")
    reward_model = models.ForeignKey(RewardModel, on_delete=models.PROTECT, related_name="evaluation_runs")
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="evaluation_runs")

    def get_evaluation_url(self) -> str:
        return reverse("rl:evaluation-detail", args=[self.pk])

    @property
    def reward(self) -> dict[str, Any] | None:
        """The policy's mean reward with its interval; None until it is known."""
        return (self.result.get("policy") or {}).get("reward")

    @property
    def gain(self) -> dict[str, Any] | None:
        """How much higher that is than the reference's, paired by prompt."""
        return (self.result.get("difference") or {}).get("reward")
