"""Policy runs, the policies they make, and what was measured of those."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.urls import reverse

from annotate.models import DatasetVersion, Generator, Project
from rewardmodel.models import RewardModel
from runs.models import Run

ONLINE = frozenset({"ppo", "grpo", "rloo", "reinforce", "best_of_n"})


class PolicyRun(Run):
    """Train a policy. Its config is one of those in rl.training.config, by its `algorithm`."""

    class Algorithm(models.TextChoices):
        SFT = "sft", "SFT"
        DPO = "dpo", "DPO"
        KTO = "kto", "KTO"
        PPO = "ppo", "PPO"
        GRPO = "grpo", "GRPO"
        RLOO = "rloo", "RLOO"
        REINFORCE = "reinforce", "REINFORCE++"
        BEST_OF_N = "best_of_n", "Best of n"

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
        help_text="SFT, DPO, KTO: the rankings to learn from. The others: whose train prompts to answer.",
    )
    reward_model = models.ForeignKey(
        RewardModel, on_delete=models.PROTECT, null=True, blank=True, related_name="policy_runs"
    )
    more_reward_models = models.ManyToManyField(
        RewardModel, blank=True, related_name="also_used_by", help_text="Rewards that are added to the first's."
    )
    watched_reward_model = models.ForeignKey(
        RewardModel,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="watching",
        help_text="Asked about held-out prompts and never trained on: it shows when the others are being deceived.",
    )
    project = models.ForeignKey(
        Project,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="policy_runs",
        help_text="Whose prompts to answer, where no dataset version is given.",
    )
    policy = models.ForeignKey(
        Generator,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="made_by",
        help_text="The generator that the finished run became.",
    )

    @property
    def is_online(self) -> bool:
        """Whether it learns from responses that it samples itself."""
        return self.algorithm in ONLINE

    def get_policy_url(self) -> str:
        return reverse("rl:policy-detail", args=[self.pk])


class MergeRun(Run):
    """Make one model of a policy's adapter and its base. Its config is MergeConfig."""

    policy_run = models.ForeignKey(PolicyRun, on_delete=models.PROTECT, related_name="merges")

    def get_policy_url(self) -> str:
        return self.policy_run.get_policy_url()


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
