"""Policies and evaluations over REST, for admins."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from accounts.permissions import IsAdmin
from rl.selectors import evaluation_runs, policy_runs
from rl.serializers import (
    EvaluationRunSerializer,
    EvaluationRunStartSerializer,
    PolicyRunSerializer,
    PolicyRunStartSerializer,
)
from rl.services import evaluation_run_start, policy_run_start


class PolicyRunViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Trainings of policies; `policy` is the generator that one became. Cancel or retry one through `runs`."""

    permission_classes = [IsAdmin]
    queryset = policy_runs().prefetch_related("more_reward_models")
    serializer_class = PolicyRunSerializer

    @extend_schema(request=PolicyRunStartSerializer, responses={201: PolicyRunSerializer})
    def create(self, request: Request) -> Response:
        """Start a training."""
        asked = PolicyRunStartSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        run = policy_run_start(user=request.user, **asked.validated_data)
        return Response(PolicyRunSerializer(run).data, status.HTTP_201_CREATED)


class EvaluationRunViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Evaluations: reward, KL and length of a policy's responses, with intervals, in `result`."""

    permission_classes = [IsAdmin]
    queryset = evaluation_runs()
    serializer_class = EvaluationRunSerializer

    @extend_schema(request=EvaluationRunStartSerializer, responses={201: EvaluationRunSerializer})
    def create(self, request: Request) -> Response:
        """Start an evaluation."""
        asked = EvaluationRunStartSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        run = evaluation_run_start(user=request.user, **asked.validated_data)
        return Response(EvaluationRunSerializer(run).data, status.HTTP_201_CREATED)


def register_api(router: BaseRouter) -> None:
    router.register("policy-runs", PolicyRunViewSet, "policy-run")
    router.register("evaluation-runs", EvaluationRunViewSet, "evaluation-run")
