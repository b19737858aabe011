"""Dataset versions over REST, for admins."""

from __future__ import annotations

import json

from django.http import Http404, StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from annotate.datasets.diff import changes
from annotate.datasets.exports import export_options, export_response
from annotate.datasets.forms import ExportForm
from annotate.datasets.models import DatasetVersion
from annotate.datasets.origins import version_diff, version_models, version_origins
from annotate.datasets.selectors import dataset_preview, dataset_runs, dataset_versions
from annotate.datasets.serializers import (
    DatasetPreviewSerializer,
    DatasetRunSerializer,
    DatasetRunStartSerializer,
    DatasetVersionSerializer,
    DiffSerializer,
    LineageQuerySerializer,
    LineageSerializer,
)
from annotate.datasets.services import dataset_config, dataset_run_start
from annotate.datasets.words import counted, number_of
from annotate.formats.writing import FORMATS_OUT
from runs.artifacts import artifact_path
from runs.downloads import archive_response, file_response

WITH = OpenApiParameter("with", OpenApiTypes.INT, required=True, description="the other version, the earlier one")


class DatasetVersionViewSet(viewsets.ReadOnlyModelViewSet):
    """Immutable dataset versions; `files/{path}` downloads one file (Range is honoured), `archive` all as a tar."""

    queryset = dataset_versions()
    serializer_class = DatasetVersionSerializer

    @extend_schema(
        parameters=[OpenApiParameter("path", OpenApiTypes.STR, OpenApiParameter.PATH)],
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY},
    )
    @action(detail=True, url_path=r"files/(?P<path>.+)", url_name="file")
    def file(self, request: Request, path: str, pk: str | None = None) -> HttpResponseBase:
        version = self.get_object()
        if path not in {file["path"] for file in version.artifact.manifest["files"]} | {"manifest.json"}:
            raise Http404
        return file_response(request, version.artifact, path)

    @extend_schema(responses={(200, "application/x-tar"): OpenApiTypes.BINARY})
    @action(detail=True)
    def archive(self, request: Request, pk: str | None = None) -> HttpResponseBase:
        return archive_response(self.get_object().artifact)

    @extend_schema(
        parameters=[
            OpenApiParameter("as", OpenApiTypes.STR, required=True, enum=list(FORMATS_OUT), description="the format"),
            OpenApiParameter("dimension", OpenApiTypes.STR, description="only this one"),
            OpenApiParameter("split", OpenApiTypes.STR, enum=["train", "test"], description="only this side"),
            OpenApiParameter(
                "responses", OpenApiTypes.STR, enum=["best", "edited", "edited-or-best"], description="of SFT formats"
            ),
        ],
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY},
    )
    @action(detail=True)
    def export(self, request: Request, pk: str | None = None) -> HttpResponseBase:
        """The version in another format, streamed: a file, or a zip where the format has several."""
        version = self.get_object()
        form = ExportForm(version, request.query_params)
        if not form.is_valid():
            raise ValidationError(form.errors)
        return export_response(request, version, form.cleaned_data["as"], export_options(version, **form.options()))

    @extend_schema(
        parameters=[
            OpenApiParameter("pair", OpenApiTypes.INT, description="number of a pair: its line in pairs.jsonl"),
            OpenApiParameter("comparison", OpenApiTypes.INT, description="id of a comparison"),
        ],
        responses=LineageSerializer,
    )
    @action(detail=True)
    def lineage(self, request: Request, pk: str | None = None) -> Response:
        """What the version was made of, for a pair or a comparison, and what was trained on it."""
        version = self.get_object()
        asked = LineageQuerySerializer(data=request.query_params)
        asked.is_valid(raise_exception=True)
        origins = version_origins(version, **asked.validated_data) if asked.validated_data else []
        if asked.validated_data and not origins:
            raise Http404
        return Response(LineageSerializer({"origins": origins, "models": version_models(version)}).data)

    @extend_schema(parameters=[WITH], responses=DiffSerializer)
    @action(detail=True)
    def diff(self, request: Request, pk: str | None = None) -> Response:
        """How the version differs from another one, in counts; `changes` streams what differs."""
        version, other = self.get_object(), self._other(request)
        return Response({"before": other.pk, "after": version.pk, **counted(version_diff(other, version))})

    @extend_schema(parameters=[WITH], responses={(200, "application/x-ndjson"): OpenApiTypes.STR})
    @action(detail=True)
    def changes(self, request: Request, pk: str | None = None) -> HttpResponseBase:
        """Every comparison and dimension that differs from another version, as JSON Lines."""
        version, other = self.get_object(), self._other(request)
        found = changes(artifact_path(other.artifact), artifact_path(version.artifact))
        lines = (json.dumps(change.json(), ensure_ascii=False) + "\n" for change in found)
        return StreamingHttpResponse(lines, content_type="application/x-ndjson")

    def _other(self, request: Request) -> DatasetVersion:
        return get_object_or_404(dataset_versions(), pk=number_of(request.query_params.get("with")) or 0)


class DatasetRunViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Builds of dataset versions. Cancel or retry one through `runs`."""

    queryset = dataset_runs()
    serializer_class = DatasetRunSerializer

    @extend_schema(request=DatasetRunStartSerializer, responses={201: DatasetRunSerializer})
    def create(self, request: Request) -> Response:
        """Start a build."""
        asked = DatasetRunStartSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        run = dataset_run_start(user=request.user, **asked.validated_data)
        return Response(DatasetRunSerializer(run).data, status.HTTP_201_CREATED)

    @extend_schema(request=DatasetRunStartSerializer, responses=DatasetPreviewSerializer)
    @action(detail=False, methods=["post"])
    def preview(self, request: Request) -> Response:
        """Count what a build with this configuration would find, at most. Nothing is started."""
        asked = DatasetRunStartSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        config = dataset_config(asked.validated_data["project"], asked.validated_data["config"])
        return Response(dataset_preview(asked.validated_data["project"], config))


def register_api(router: BaseRouter) -> None:
    router.register("dataset-versions", DatasetVersionViewSet, "dataset-version")
    router.register("dataset-runs", DatasetRunViewSet, "dataset-run")
