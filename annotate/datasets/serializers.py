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
