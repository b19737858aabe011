"""Decisions and withdrawals over REST, for admins."""

from __future__ import annotations

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from annotate.projects.api import BY_PROJECT, narrowed
from annotate.review.models import Adjudication, Withdrawal
from annotate.review.serializers import (
    AdjudicationSerializer,
    DecisionSerializer,
    WithdrawalSerializer,
    WithdrawSerializer,
)
from annotate.review.services import adjudicate
from annotate.review.withdrawals import work_restore, work_withdraw

BY_COMPARISON = OpenApiParameter("comparison", OpenApiTypes.INT, description="only those of this comparison")


@extend_schema(parameters=[BY_PROJECT, BY_COMPARISON])
class AdjudicationViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """What reviewers decided where annotators disagree. A new decision supersedes the one that it `revises`."""

    queryset = Adjudication.objects.select_related("reviewer").order_by("-pk")
    serializer_class = AdjudicationSerializer

    def get_queryset(self) -> QuerySet[Adjudication]:
        return narrowed(super().get_queryset(), self.request, project="comparison__project", comparison="comparison")

    @extend_schema(request=DecisionSerializer, responses={201: AdjudicationSerializer}, parameters=[])
    def create(self, request: Request) -> Response:
        """Decide a comparison."""
        asked = DecisionSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        decision = adjudicate(reviewer=request.user, **asked.validated_data)
        return Response(AdjudicationSerializer(decision).data, status.HTTP_201_CREATED)


@extend_schema(parameters=[BY_PROJECT])
class WithdrawalViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Annotators' work taken out of a project: it counts nowhere, and what was made of it is stale."""

    queryset = Withdrawal.objects.select_related("by").order_by("-pk")
    serializer_class = WithdrawalSerializer

    def get_queryset(self) -> QuerySet[Withdrawal]:
        return narrowed(super().get_queryset(), self.request, project="project", annotator="annotator")

    @extend_schema(request=WithdrawSerializer, responses={201: WithdrawalSerializer}, parameters=[])
    def create(self, request: Request) -> Response:
        """Withdraw somebody's work: all of it or, if something is wrong, nothing."""
        asked = WithdrawSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        withdrawal = work_withdraw(by=request.user, **asked.validated_data)
        return Response(WithdrawalSerializer(withdrawal).data, status.HTTP_201_CREATED)

    @extend_schema(request=None, responses=WithdrawalSerializer, parameters=[])
    @action(detail=True, methods=["post"])
    def restore(self, request: Request, pk: str | None = None) -> Response:
        """Let it count again."""
        withdrawal = work_restore(withdrawal=self.get_object(), by=request.user)
        return Response(WithdrawalSerializer(withdrawal).data)


def register_api(router: BaseRouter) -> None:
    router.register("adjudications", AdjudicationViewSet, "adjudication")
    router.register("withdrawals", WithdrawalViewSet, "withdrawal")
