"""Imports as JSON."""

from __future__ import annotations

import json
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from annotate.importing.models import Import
from annotate.importing.settings import ImportSettings
from annotate.projects.models import Project
from runs.schema import inline_schema


@extend_schema_field(inline_schema(ImportSettings))
class ImportSettingsField(serializers.JSONField):
    """Settings left out keep their defaults. In a form it is JSON as text."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, str):
            try:
                data = json.loads(data or "{}")
            except ValueError:
                self.fail("invalid")
        if not isinstance(data, dict):
            raise serializers.ValidationError("Settings must be an object.")
        return data


class ImportSerializer(serializers.ModelSerializer):
    run = serializers.SerializerMethodField(help_text="the latest run that imports it; follow it under runs/")
    settings = ImportSettingsField(read_only=True)
    report = serializers.JSONField(read_only=True, help_text="what came of it; empty while it waits")
    has_complaints = serializers.SerializerMethodField(help_text="whether complaints/ has a file")

    class Meta:
        model = Import
        fields = [
            "id",
            "project",
            "state",
            "format",
            "filename",
            "companion_filename",
            "sha256",
            "size",
            "settings",
            "report",
            "has_complaints",
            "run",
            "created_at",
            "imported_at",
        ]
        read_only_fields = fields

    def get_run(self, upload: Import) -> int | None:
        return max((run.pk for run in upload.runs.all()), default=None)

    def get_has_complaints(self, upload: Import) -> bool:
        return bool(upload.complaints)


class ImportUploadSerializer(serializers.Serializer):
    project = serializers.PrimaryKeyRelatedField(queryset=Project.objects.all())
    file = serializers.FileField(help_text="JSON Lines, JSON, CSV, Parquet or xlsx, also gzipped or in Zstandard")
    companion = serializers.FileField(required=False, help_text="a file of texts that votes refer to, or dataset_info")
    settings = ImportSettingsField(required=False, default=dict)


class ImportChangeSerializer(serializers.Serializer):
    settings = ImportSettingsField()


class FormatSeenSerializer(serializers.Serializer):
    format = serializers.CharField()
    label = serializers.CharField()
    kind = serializers.CharField()
    confidence = serializers.FloatField(help_text="0 to 1")
    why = serializers.CharField()


class ImportSeenSerializer(serializers.Serializer):
    """What would come of the first records. Nothing is written."""

    container = serializers.CharField()
    columns = serializers.ListField(child=serializers.CharField())
    formats = FormatSeenSerializer(many=True)
    format = serializers.CharField(help_text="how it is read")
    whole = serializers.BooleanField(help_text="whether all of it was looked at, so that the counts are exact")
    records = serializers.IntegerField()
    kinds = serializers.JSONField(required=False, help_text="[[kind of record, how many], ...]")
    new = serializers.DictField(child=serializers.IntegerField(), required=False)
    known = serializers.DictField(child=serializers.IntegerField(), required=False, help_text="there already")
    dimensions = serializers.JSONField(help_text='[{"name", "count", "to": the project\'s, "" is left out}]')
    complaint = serializers.CharField(help_text="why it cannot be imported as it is chosen; empty if it can")
    samples = serializers.JSONField(help_text="the first records as they will be stored, long texts cut")
    errors = serializers.JSONField(help_text='[{"line", "reason", "unit"}], the first hundred')
    error_count = serializers.IntegerField()
    skipped = serializers.JSONField(help_text="rows that are passed over, the first hundred")
    skipped_count = serializers.IntegerField()
