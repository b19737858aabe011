"""Evaluations of reward models over REST, for admins."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.parsers import JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import IsAdmin
from annotate.formats.limits import size
from rewardmodel.conflicts.api import ConflictActions
from rewardmodel.evaluation.selectors import ItemFilter, evaluation_artifact, evaluation_items, reward_evaluations
from rewardmodel.evaluation.serializers import (
    ItemPageSerializer,
    ItemsQuerySerializer,
    RewardEvaluationDetailSerializer,
    RewardEvaluationFileSerializer,
    RewardEvaluationSerializer,
    RewardEvaluationStartSerializer,
)
from rewardmodel.evaluation.services import LARGEST, reward_evaluation_start
from rewardmodel.models import RewardEvaluation

MORE = 2**20  # bytes around an upload


class EvaluateAction:
    """`evaluate/` beside a reward model."""

    @extend_schema(
        request={
            "application/json": RewardEvaluationStartSerializer,
            "multipart/form-data": RewardEvaluationFileSerializer,
        },
        responses={202: RewardEvaluationSerializer},
    )
    @action(detail=True, methods=["post"], parser_classes=[JSONParser, MultiPartParser])
    def evaluate(self, request: Request, pk: str | None = None) -> Response:
        """Queue an evaluation on a dataset version or a file of at most 64 MiB; `url` says where it is."""
        reward_model = self.get_object()  # type: ignore[attr-defined]
        if int(request.headers.get("Content-Length") or 0) > LARGEST + MORE:
            return Response({"detail": f"Send at most {size(LARGEST)}."}, status.HTTP_413_REQUEST_ENTITY_TOO_LARGE)
        of_file = request.content_type.startswith("multipart/")
        asked = (RewardEvaluationFileSerializer if of_file else RewardEvaluationStartSerializer)(data=request.data)
        asked.is_valid(raise_exception=True)
        given: dict[str, Any] = dict(asked.validated_data)
        if of_file:
            file = given.pop("file")
            given |= {"data": file.read(LARGEST + 1), "filename": file.name}
            given["config"] = {name: given.pop(name) for name in ("format", "dimension")}
        run = reward_evaluation_start(reward_model=reward_model, user=request.user, **given)
        found = RewardEvaluationSerializer(run).data
        return Response(found, status.HTTP_202_ACCEPTED, headers={"Location": found["url"]})


class RewardEvaluationViewSet(
    ConflictActions, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet
):
    """Evaluations of reward models. Cancel or retry one through `runs`."""

    permission_classes = [IsAdmin]
    queryset = RewardEvaluation.objects.none()
    serializer_class = RewardEvaluationSerializer

    def get_queryset(self) -> QuerySet[RewardEvaluation]:
        return reward_evaluations().prefetch_related("artifacts")

    @extend_schema(responses=RewardEvaluationDetailSerializer)
    def retrieve(self, request: Request, *args: object, **kwargs: object) -> Response:
        """Its state and, once it has succeeded, its report."""
        found = RewardEvaluationDetailSerializer(self.get_object(), context=self.get_serializer_context())
        return Response(found.data)

    @extend_schema(parameters=[ItemsQuerySerializer], responses=ItemPageSerializer)
    @action(detail=True, methods=["get"], pagination_class=None)
    def items(self, request: Request, pk: str | None = None) -> Response:
        """The pairs that were scored, filtered; none before it has succeeded."""
        asked = ItemsQuerySerializer(data=request.query_params)
        asked.is_valid(raise_exception=True)
        wanted: dict[str, Any] = dict(asked.validated_data)
        offset, limit = wanted.pop("offset"), wanted.pop("limit")
        artifact = evaluation_artifact(self.get_object())
        if artifact is None:
            return Response({"count": 0, "items": []})
        found = evaluation_items(artifact, ItemFilter(**wanted))
        return Response({"count": len(found.chosen), "items": found.lines(offset, limit)})
