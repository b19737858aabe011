"""Imports over REST, for admins: upload, preview, settings, confirm, status and report."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import FileResponse, Http404
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.parsers import JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from annotate.importing.models import Import
from annotate.importing.preview import import_seen
from annotate.importing.selectors import complaints_open, imports
from annotate.importing.serializers import (
    ImportChangeSerializer,
    ImportSeenSerializer,
    ImportSerializer,
    ImportUploadSerializer,
)
from annotate.importing.services import import_configure, import_discard, import_start, import_upload
from annotate.projects.api import narrowed

BY_PROJECT = OpenApiParameter("project", OpenApiTypes.INT, description="only those of this project")


class ImportViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Files on their way in. One is uploaded, looked at, perhaps read another way, and then confirmed."""

    queryset = imports().prefetch_related("runs")
    serializer_class = ImportSerializer
    parser_classes = [JSONParser, MultiPartParser]

    def get_queryset(self) -> QuerySet[Import]:
        return narrowed(super().get_queryset(), self.request, project="project")

    @extend_schema(parameters=[BY_PROJECT])
    def list(self, request: Request) -> Response:
        return super().list(request)

    @extend_schema(request={"multipart/form-data": ImportUploadSerializer}, responses={201: ImportSerializer})
    def create(self, request: Request) -> Response:
        """Upload a file. Nothing is imported yet."""
        asked = ImportUploadSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        second = given.get("companion")
        upload = import_upload(
            project=given["project"],
            file=given["file"],
            filename=given["file"].name,
            companion=second,
            companion_filename=second.name if second else "",
            settings=given["settings"],
            user=request.user,
        )
        return Response(self._said(upload), status.HTTP_201_CREATED)

    @extend_schema(request=ImportChangeSerializer, responses=ImportSerializer)
    def partial_update(self, request: Request, pk: str | None = None) -> Response:
        """Read the file another way: format, columns, dimensions and the like."""
        asked = ImportChangeSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        upload = self.get_object()
        settings = {**upload.settings, **asked.validated_data["settings"]}
        if settings["format"] != upload.settings.get("format") and "mapping" not in asked.validated_data["settings"]:
            settings["mapping"] = {}
        return Response(self._said(import_configure(upload=upload, settings=settings)))

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str | None = None) -> Response:
        """Forget a file that was not imported."""
        if not import_discard(upload=self.get_object()):
            raise ValidationError("This file was imported, or is being imported.")
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(responses=ImportSeenSerializer)
    @action(detail=True)
    def preview(self, request: Request, pk: str | None = None) -> Response:
        """What the file is, and what would come of its first thousand records."""
        return Response(import_seen(self.get_object()))

    @extend_schema(request=None, responses={202: ImportSerializer})
    @action(detail=True, methods=["post"])
    def confirm(self, request: Request, pk: str | None = None) -> Response:
        """Import it, by a run. Confirming twice imports once."""
        upload = import_start(upload=self.get_object(), user=request.user)
        return Response(self._said(upload), status.HTTP_202_ACCEPTED)

    @extend_schema(responses={(200, "text/csv"): OpenApiTypes.BINARY})
    @action(detail=True)
    def complaints(self, request: Request, pk: str | None = None) -> HttpResponseBase:
        """Everything that was wrong with it, as CSV."""
        try:
            file = complaints_open(self.get_object())
        except FileNotFoundError:
            raise Http404 from None
        return FileResponse(file, as_attachment=True, filename=f"import-{pk}-complaints.csv", content_type="text/csv")

    def _said(self, upload: Import) -> dict:
        return ImportSerializer(self.get_queryset().get(pk=upload.pk)).data


def register_api(router: BaseRouter) -> None:
    router.register("imports", ImportViewSet, "import")
