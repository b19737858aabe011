"""Comparisons with a known answer over REST, for admins."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from annotate.gold.listing import gold_with_scores
from annotate.gold.models import Gold
from annotate.gold.services import gold_copy, gold_remove, gold_set
from annotate.ranking.models import Comparison

PURPOSES = [choice for choice in Comparison.Purpose.choices if choice[0] != Comparison.Purpose.WORK]


class GoldSerializer(serializers.ModelSerializer):
    project = serializers.IntegerField(source="comparison.project_id", read_only=True)
    purpose = serializers.ChoiceField(source="comparison.purpose", choices=PURPOSES, read_only=True)
    judged = serializers.IntegerField(read_only=True, help_text="judgements that count")
    score = serializers.FloatField(read_only=True, allow_null=True, help_text="mean share of its pairs ordered so")
    missed = serializers.IntegerField(read_only=True, help_text="of the judgements, those that score below 0.5")

    class Meta:
        model = Gold
        fields = [
            "id", "project", "comparison", "purpose", "rankings", "explanation", "judged", "score", "missed",
            "created_by", "created_at",
        ]  # fmt: skip
        read_only_fields = fields


class GoldSetSerializer(serializers.Serializer):
    """The known answer of a comparison; one that has another gets this one."""

    comparison = serializers.PrimaryKeyRelatedField(queryset=Comparison.objects.all())
    purpose = serializers.ChoiceField(choices=PURPOSES)
    rankings = serializers.DictField(
        child=serializers.DictField(child=serializers.IntegerField()),
        help_text="{dimension key: {response id: rank}}; 1 is best, equal numbers are ties",
    )
    explanation = serializers.CharField(default="", allow_blank=True, max_length=5000)


@extend_schema(parameters=[OpenApiParameter("project", OpenApiTypes.INT, description="only those of this project")])
class GoldViewSet(mixins.CreateModelMixin, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Comparisons whose right answer is known. Deleting one hands it out no more."""

    queryset = Gold.objects.none()
    serializer_class = GoldSerializer

    def get_queryset(self) -> QuerySet[Gold]:
        rows = gold_with_scores().order_by("pk")
        project = self.request.query_params.get("project")
        if project is None:
            return rows
        return rows.filter(comparison__project=project) if project.isdecimal() and len(project) < 19 else rows.none()

    @extend_schema(request=GoldSetSerializer, responses={201: GoldSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Give a comparison a known answer. One that has judgements as work is copied, so that they go on counting."""
        asked = GoldSetSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        comparison = asked.validated_data["comparison"]
        is_judged = comparison.purpose == Comparison.Purpose.WORK and comparison.judgements.exists()
        made = (gold_copy if is_judged else gold_set)(**asked.validated_data, user=request.user)
        return Response(GoldSerializer(self.get_queryset().get(pk=made.pk)).data, status.HTTP_201_CREATED)

    def destroy(self, request: Request, pk: str | None = None) -> Response:
        gold_remove(comparison=self.get_object().comparison, user=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)


def register_api(router: BaseRouter) -> None:
    router.register("gold", GoldViewSet, "gold")
