"""Generators, generation runs and responses over REST, for admins."""

from __future__ import annotations

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response as ApiResponse
from rest_framework.routers import BaseRouter

from annotate.generation.models import Generator, Response
from annotate.generation.selectors import generation_runs
from annotate.generation.serializers import (
    GenerationRunSerializer,
    GenerationRunStartSerializer,
    GeneratorSerializer,
    ResponseSerializer,
)
from annotate.generation.services import generation_run_start, generator_create


class GeneratorViewSet(mixins.CreateModelMixin, viewsets.ReadOnlyModelViewSet):
    """What writes responses. An API key is given by naming an environment variable of the workers, never itself."""

    queryset = Generator.objects.order_by("pk")
    serializer_class = GeneratorSerializer

    def perform_create(self, serializer: serializers.BaseSerializer) -> None:
        serializer.instance = generator_create(**serializer.validated_data, user=self.request.user)


class GenerationRunViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Runs that write responses. Cancel or retry one through `runs`."""

    queryset = generation_runs().prefetch_related("mix_with")
    serializer_class = GenerationRunSerializer

    @extend_schema(request=GenerationRunStartSerializer, responses={201: GenerationRunSerializer})
    def create(self, request: Request) -> ApiResponse:
        """Start a generation."""
        asked = GenerationRunStartSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        run = generation_run_start(user=request.user, **asked.validated_data)
        return ApiResponse(GenerationRunSerializer(run).data, status.HTTP_201_CREATED)


@extend_schema(
    parameters=[
        OpenApiParameter(name, OpenApiTypes.INT, description=f"only those of this {name}")
        for name in ("project", "prompt", "generator", "run")
    ]
)
class ResponseViewSet(viewsets.ReadOnlyModelViewSet):
    """What generators wrote; `?project=`, `?prompt=`, `?generator=` and `?run=` narrow it down."""

    queryset = Response.objects.order_by("pk")
    serializer_class = ResponseSerializer

    def get_queryset(self) -> QuerySet[Response]:
        rows = super().get_queryset()
        columns = {"project": "prompt__project", "prompt": "prompt", "generator": "generator", "run": "run"}
        for name, column in columns.items():
            value = self.request.query_params.get(name)
            if value is not None:
                rows = rows.filter(**{column: value}) if value.isdecimal() and len(value) < 19 else rows.none()
        return rows


def register_api(router: BaseRouter) -> None:
    router.register("generators", GeneratorViewSet, "generator")
    router.register("generation-runs", GenerationRunViewSet, "generation-run")
    router.register("responses", ResponseViewSet, "response")
