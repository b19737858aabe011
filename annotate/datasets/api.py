"""Dataset versions over REST, for admins."""

from __future__ import annotations

from django.http import Http404
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from annotate.datasets.selectors import dataset_runs, dataset_versions
from annotate.datasets.serializers import DatasetRunSerializer, DatasetRunStartSerializer, DatasetVersionSerializer
from annotate.datasets.services import dataset_run_start
from runs.downloads import archive_response, file_response


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


def register_api(router: BaseRouter) -> None:
    router.register("dataset-versions", DatasetVersionViewSet, "dataset-version")
    router.register("dataset-runs", DatasetRunViewSet, "dataset-run")
