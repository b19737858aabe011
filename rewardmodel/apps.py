from collections.abc import Mapping
from typing import Any

from django.apps import AppConfig
from django.http import HttpRequest


class RewardModelConfig(AppConfig):
    name = "rewardmodel"
    verbose_name = "reward models"

    def ready(self) -> None:
        from rewardmodel.evaluation.kind import RewardEvaluationKind
        from rewardmodel.kind import RewardModelKind
        from rewardmodel.scoring.kind import ScoreKind
        from runs.kinds import register
        from runs.metrics import Metric, register_metrics

        register(RewardModelKind())
        register(ScoreKind())
        register(RewardEvaluationKind())
        register_metrics(
            {
                "loss": Metric("Training loss", good="lower", order=10),
                "accuracy": Metric("Training accuracy", good="higher", order=11),
                "test_loss": Metric("Held-out loss", good="lower", order=12),
                "test_accuracy": Metric("Held-out accuracy", good="higher", order=13),
                "score_mean": Metric("Mean score", order=14),
            }
        )

    def dashboard(self, request: HttpRequest) -> list[dict[str, Any]]:
        """The newest reward models, for the admins' dashboard."""
        from rewardmodel.selectors import reward_models

        context = {"reward_models": reward_models()[:3]}
        return [{"position": 40, "template": "rewardmodel/_dashboard.html", "context": context}]

    def stale_models(self, versions: Mapping[int, str]) -> list[dict[str, str]]:
        """Reward models that are stale if these dataset versions are."""
        from annotate.review.staleness import stale_generators
        from rewardmodel.selectors import reward_models
        from rewardmodel.staleness import reward_models_of

        found = reward_models_of(versions, stale_generators(versions))
        return [
            {"kind": "reward model", "name": model.name, "url": model.get_absolute_url(), "reason": found[model.pk]}
            for model in reward_models().filter(pk__in=found)
        ]
