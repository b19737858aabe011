"""Runs and artifacts over REST, for admins."""

from __future__ import annotations

from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, viewsets
from rest_framework.decorators import action, api_view
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from runs import selectors, services
from runs.downloads import archive_response, file_response
from runs.models import Artifact, Run
from runs.serializers import (
    ArtifactSerializer,
    EventQuerySerializer,
    LogQuerySerializer,
    LogSerializer,
    RunDetailSerializer,
    RunEventSerializer,
    RunSerializer,
)


class RunViewSet(viewsets.ReadOnlyModelViewSet):
    """Runs of all kinds. They are started by the endpoints of what they make."""

    queryset = Run.objects.select_related("created_by").order_by("-id")
    serializer_class = RunSerializer

    def get_serializer_class(self):  # type: ignore[no-untyped-def]
        return RunSerializer if self.action == "list" else RunDetailSerializer

    def get_queryset(self):  # type: ignore[no-untyped-def]
        if self.action != "list":
            return super().get_queryset().prefetch_related("artifacts")
        given = self.request.query_params
        return selectors.runs_list(kind=given.get("kind", ""), state=given.get("state", ""))

    @extend_schema(
        parameters=[
            OpenApiParameter("kind", str),
            OpenApiParameter("state", str, description="a state, or `active` for queued, running and cancelling"),
        ]
    )
    def list(self, request: Request, *args: object, **kwargs: object) -> Response:
        return super().list(request, *args, **kwargs)

    @extend_schema(request=None, responses=RunDetailSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str | None = None) -> Response:
        """End a waiting run, or ask a running one to save a checkpoint and stop; it is gone within ten seconds."""
        run = services.run_cancel(run=self.get_object(), user=request.user)
        return Response(self.get_serializer(run).data)

    @extend_schema(request=None, responses=RunDetailSerializer)
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str | None = None) -> Response:
        """Queue a failed or cancelled run again; it continues from its last checkpoint."""
        run = services.run_retry(run=self.get_object(), user=request.user)
        return Response(self.get_serializer(run).data)

    @extend_schema(parameters=[EventQuerySerializer], responses=RunEventSerializer(many=True))
    @action(detail=True, pagination_class=None)
    def events(self, request: Request, pk: str | None = None) -> Response:
        """Metrics, samples, log lines and state changes, oldest first. Ask again with the last id as `since`.

        A run that resumes from a checkpoint takes back the metrics and samples of later steps: a log event
        "Continued from the checkpoint of step N" says so.
        """
        query = EventQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        events = self.get_object().events.filter(id__gt=query.validated_data["since"]).order_by("id")
        if "type" in query.validated_data:
            events = events.filter(type=query.validated_data["type"])
        return Response(RunEventSerializer(events[: query.validated_data["limit"]], many=True).data)

    @extend_schema(parameters=[LogQuerySerializer], responses=LogSerializer)
    @action(detail=True, pagination_class=None)
    def log(self, request: Request, pk: str | None = None) -> Response:
        """The last lines that the run's process printed."""
        query = LogQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        return Response({"lines": selectors.log_lines(self.get_object(), query.validated_data["lines"])})


class ArtifactViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """What runs produced, with the manifest of its files."""

    queryset = Artifact.objects.order_by("-id")
    serializer_class = ArtifactSerializer


@extend_schema(responses={(200, "application/octet-stream"): OpenApiTypes.BINARY})
@api_view(["GET"])
def artifact_file(request: Request, pk: int, path: str) -> HttpResponseBase:
    """One file of an artifact. A Range header continues a broken download."""
    artifact = get_object_or_404(Artifact, pk=pk)
    try:
        return file_response(request, artifact, path)
    except FileNotFoundError:
        raise NotFound("This artifact has no such file.") from None


@extend_schema(responses={(200, "application/x-tar"): OpenApiTypes.BINARY})
@api_view(["GET"])
def artifact_archive(request: Request, pk: int) -> HttpResponseBase:
    """All files of an artifact as one tar."""
    return archive_response(get_object_or_404(Artifact, pk=pk))


def register_api(router: BaseRouter) -> None:
    router.register("runs", RunViewSet, "run")
    router.register("artifacts", ArtifactViewSet, "artifact")
