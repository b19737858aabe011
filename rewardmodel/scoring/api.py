"""Scores over REST, for admins: a batch is sent, scored by a worker, and read when it is done."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.parsers import JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import IsAdmin
from annotate.formats.limits import size
from rewardmodel.models import ScoreRun
from rewardmodel.scoring.selectors import score_runs
from rewardmodel.scoring.serializers import (
    PageOfLinesSerializer,
    ScoreConversationsSerializer,
    ScoreFileSerializer,
    ScoreRunDetailSerializer,
    ScoreRunSerializer,
)
from rewardmodel.scoring.services import LARGEST, score_conversations_start, score_file_start

MORE = 2**20  # bytes around an upload


class ScoreAction:
    """`score/` beside a reward model."""

    @extend_schema(
        request={"application/json": ScoreConversationsSerializer, "multipart/form-data": ScoreFileSerializer},
        responses={202: ScoreRunSerializer},
    )
    @action(detail=True, methods=["post"], parser_classes=[JSONParser, MultiPartParser])
    def score(self, request: Request, pk: str | None = None) -> Response:
        """Queue a scoring of at most 1,000 conversations or a file of at most 64 MiB; `url` says where it is."""
        reward_model = self.get_object()  # type: ignore[attr-defined]
        if int(request.headers.get("Content-Length") or 0) > LARGEST + MORE:
            return Response({"detail": f"Send at most {size(LARGEST)}."}, status.HTTP_413_REQUEST_ENTITY_TOO_LARGE)
        of_file = request.content_type.startswith("multipart/")
        asked = (ScoreFileSerializer if of_file else ScoreConversationsSerializer)(data=request.data)
        asked.is_valid(raise_exception=True)
        given: dict[str, Any] = dict(asked.validated_data)
        title = given.pop("title")
        if of_file:
            file = given.pop("file")
            run = score_file_start(
                reward_model=reward_model,
                data=file.read(LARGEST + 1),
                filename=file.name,
                config=given,
                title=title,
                user=request.user,
            )
        else:
            run = score_conversations_start(
                reward_model=reward_model,
                conversations=given.pop("conversations"),
                config=given,
                title=title,
                user=request.user,
            )
        found = ScoreRunSerializer(run).data
        return Response(found, status.HTTP_202_ACCEPTED, headers={"Location": found["url"]})


class ScoreRunViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Scorings. Cancel or retry one through `runs`."""

    permission_classes = [IsAdmin]
    queryset = ScoreRun.objects.none()
    serializer_class = ScoreRunSerializer

    def get_queryset(self) -> QuerySet[ScoreRun]:
        return score_runs().prefetch_related("artifacts")

    @extend_schema(
        parameters=[
            OpenApiParameter("offset", int, description="lines to pass over"),
            OpenApiParameter("limit", int, description="lines to give, at most 1000; 100 by default"),
        ],
        responses=ScoreRunDetailSerializer,
    )
    def retrieve(self, request: Request, *args: object, **kwargs: object) -> Response:
        """Its state and, once it has succeeded, its lines."""
        page = PageOfLinesSerializer(data=request.query_params)
        page.is_valid(raise_exception=True)
        context = {**self.get_serializer_context(), "page": page.validated_data}
        return Response(ScoreRunDetailSerializer(self.get_object(), context=context).data)
