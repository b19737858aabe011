from typing import Any

from django.apps import AppConfig
from django.http import HttpRequest


class RewardModelConfig(AppConfig):
    name = "rewardmodel"
    verbose_name = "reward models"

    def ready(self) -> None:
        from rewardmodel.kind import RewardModelKind
        from runs.kinds import register

        register(RewardModelKind())

    def dashboard(self, request: HttpRequest) -> list[dict[str, Any]]:
        """The newest reward models, for the admins' dashboard."""
        from rewardmodel.selectors import reward_models

        context = {"reward_models": reward_models()[:3]}
        return [{"position": 40, "template": "rewardmodel/_dashboard.html", "context": context}]
