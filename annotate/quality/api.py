"""A project's quality report over REST, for admins."""

from __future__ import annotations

from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from annotate.projects.models import Project
from annotate.quality.models import QualityReport
from annotate.quality.selectors import quality_of
from annotate.quality.services import quality_report_request
from annotate.quality.together import consensus_page

SLUG = OpenApiParameter("slug", OpenApiTypes.STR, OpenApiParameter.PATH, description="the project's slug")


class QualityReportSerializer(serializers.ModelSerializer):
    """data is as annotate.quality.report says, empty before the first report; requested_at is set while one is
    awaited."""

    class Meta:
        model = QualityReport
        fields = ["computed_at", "requested_at", "seconds", "judgements", "error", "data"]
        read_only_fields = fields


class PairSerializer(serializers.Serializer):
    first = serializers.CharField(help_text="id of a response")
    second = serializers.CharField()
    preferred = serializers.FloatField(help_text="probability that the first is preferred")


class DimensionConsensusSerializer(serializers.Serializer):
    ranks = serializers.DictField(child=serializers.IntegerField(), help_text="{response id: rank}; 1 is best")
    pairs = PairSerializer(many=True)


class ConsensusSerializer(serializers.Serializer):
    comparison = serializers.IntegerField()
    judgements = serializers.IntegerField()
    dimensions = serializers.DictField(child=DimensionConsensusSerializer())


class ConsensusPageSerializer(serializers.Serializer):
    results = ConsensusSerializer(many=True)
    after = serializers.IntegerField(allow_null=True, help_text="Give it to get the next page; null on the last one.")


@extend_schema(parameters=[SLUG], responses=QualityReportSerializer)
class QualityViewSet(viewsets.GenericViewSet):
    """The latest statistics of a project's judgements."""

    queryset = QualityReport.objects.none()
    serializer_class = QualityReportSerializer
    pagination_class = None

    @extend_schema(operation_id="project_quality_retrieve")
    def list(self, request: Request, slug: str) -> Response:
        """Agreement, reliability and biases, with the time they are of."""
        project = get_object_or_404(Project, slug=slug)
        return Response(QualityReportSerializer(quality_of(project) or QualityReport(project=project)).data)

    @extend_schema(operation_id="project_quality_request", request=None, responses={202: QualityReportSerializer})
    def create(self, request: Request, slug: str) -> Response:
        """Ask for a new report; it is made in the background."""
        report = quality_report_request(project=get_object_or_404(Project, slug=slug), by=request.user)
        return Response(QualityReportSerializer(report).data, status.HTTP_202_ACCEPTED)

    @extend_schema(
        operation_id="project_quality_consensus",
        parameters=[SLUG, OpenApiParameter("after", OpenApiTypes.INT, description="only comparisons later than this")],
        responses=ConsensusPageSerializer,
    )
    @action(detail=False)
    def consensus(self, request: Request, slug: str) -> Response:
        """What the judgements of each comparison say together: a ranking, and a soft label for each pair, by the
        reliabilities of the last report."""
        after = request.query_params.get("after", "")
        project = get_object_or_404(Project, slug=slug)
        results, following = consensus_page(project, after=int(after) if after.isdecimal() and len(after) < 19 else 0)
        return Response({"results": results, "after": following})


def register_api(router: BaseRouter) -> None:
    router.register(r"projects/(?P<slug>[-\w]+)/quality", QualityViewSet, basename="project-quality")
