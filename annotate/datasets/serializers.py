"""Dataset versions as JSON."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from annotate.datasets.config import DatasetConfig
from annotate.datasets.models import DatasetRun, DatasetVersion
from annotate.projects.models import Project
from runs.schema import inline_schema


class DatasetVersionSerializer(serializers.ModelSerializer):
    files = serializers.JSONField(source="artifact.manifest.files", read_only=True, help_text="path, size and sha256")
    config = serializers.JSONField(source="run.config", read_only=True, help_text="the settings it was built with")

    class Meta:
        model = DatasetVersion
        fields = [
            "id",
            "project",
            "number",
            "run",
            "artifact",
            "sha256",
            "counts",
            "config",
            "files",
            "stale_since",
            "stale_reason",
            "created_at",
        ]
        read_only_fields = fields


class DatasetRunSerializer(serializers.ModelSerializer):
    version = serializers.IntegerField(
        source="version.pk", read_only=True, default=None, allow_null=True, help_text="null until it has succeeded"
    )

    class Meta:
        model = DatasetRun
        fields = [
            "id",
            "title",
            "state",
            "fault",
            "error",
            "project",
            "config",
            "progress_done",
            "progress_total",
            "version",
            "created_at",
            "started_at",
            "finished_at",
        ]
        read_only_fields = fields


@extend_schema_field(inline_schema(DatasetConfig))
class DatasetConfigField(serializers.DictField):
    """Settings left out keep their defaults."""


class DatasetRunStartSerializer(serializers.Serializer):
    project = serializers.PrimaryKeyRelatedField(queryset=Project.objects.all())
    title = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")
    config = DatasetConfigField(required=False, default=dict)


class DatasetPreviewSerializer(serializers.Serializer):
    """Upper bounds. contested: of the comparisons, how many are known to fall below the least agreement."""

    judgements = serializers.IntegerField()
    extra = serializers.IntegerField()
    annotators = serializers.IntegerField()
    decisions = serializers.IntegerField()
    comparisons = serializers.IntegerField()
    prompts = serializers.IntegerField()
    contested = serializers.IntegerField()


class LineageQuerySerializer(serializers.Serializer):
    pair = serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1)
    comparison = serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1)


class OriginJudgementSerializer(serializers.Serializer):
    id = serializers.IntegerField(source="pk")
    annotator = serializers.IntegerField(source="annotator_id")
    source = serializers.CharField()
    is_current = serializers.BooleanField()
    withdrawal = serializers.IntegerField(source="withdrawal_id", allow_null=True)
    rankings = serializers.JSONField()
    created_at = serializers.DateTimeField()


class OriginSerializer(serializers.Serializer):
    comparison = serializers.CharField(source="entry.comparison")
    dimension = serializers.CharField(source="entry.dimension")
    split = serializers.CharField(source="entry.split")
    first_pair = serializers.IntegerField(source="entry.first_pair")
    pairs = serializers.JSONField(
        source="entry.pairs", help_text="[chosen id, rejected id, preference, margin, weight] each"
    )
    judgements = OriginJudgementSerializer(many=True, allow_null=True, help_text="null where they were not recorded")
    decision = serializers.IntegerField(source="decision.pk", default=None, allow_null=True)


class TrainedSerializer(serializers.Serializer):
    kind = serializers.CharField()
    name = serializers.CharField()
    url = serializers.CharField()


class LineageSerializer(serializers.Serializer):
    origins = OriginSerializer(many=True)
    models = TrainedSerializer(many=True, help_text="what was trained on the version, or rests on what was")


class DiffSerializer(serializers.Serializer):
    before = serializers.IntegerField()
    after = serializers.IntegerField()
    is_same = serializers.BooleanField(help_text="equal sha256")
    rankings = serializers.DictField(child=serializers.IntegerField(), help_text="{added, removed, changed, moved}")
    pairs = serializers.DictField(child=serializers.IntegerField())
    dimensions = serializers.JSONField()
    config = serializers.JSONField(help_text="[{setting, before, after}]")
