"""Reward models over REST, for admins."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from accounts.permissions import IsAdmin
from rewardmodel.evaluation.api import EvaluateAction, RewardEvaluationViewSet
from rewardmodel.scoring.api import ScoreAction, ScoreRunViewSet
from rewardmodel.selectors import reward_model_runs, reward_models
from rewardmodel.serializers import RewardModelRunSerializer, RewardModelRunStartSerializer, RewardModelSerializer
from rewardmodel.services import reward_model_run_start


class RewardModelViewSet(ScoreAction, EvaluateAction, viewsets.ReadOnlyModelViewSet):
    """Trained reward models, with held-out accuracy and its interval in `metrics`."""

    permission_classes = [IsAdmin]
    queryset = reward_models()
    serializer_class = RewardModelSerializer


class RewardModelRunViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Trainings of reward models. Cancel or retry one through `runs`."""

    permission_classes = [IsAdmin]
    queryset = reward_model_runs()
    serializer_class = RewardModelRunSerializer

    @extend_schema(request=RewardModelRunStartSerializer, responses={201: RewardModelRunSerializer})
    def create(self, request: Request) -> Response:
        """Start a training."""
        asked = RewardModelRunStartSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        run = reward_model_run_start(user=request.user, **asked.validated_data)
        return Response(RewardModelRunSerializer(run).data, status.HTTP_201_CREATED)


def register_api(router: BaseRouter) -> None:
    router.register("reward-models", RewardModelViewSet, "reward-model")
    router.register("reward-model-runs", RewardModelRunViewSet, "reward-model-run")
    router.register("score-runs", ScoreRunViewSet, "score-run")
    router.register("reward-evaluations", RewardEvaluationViewSet, "reward-evaluation")
