"""Runs and artifacts as the API gives them."""

from __future__ import annotations

from django.urls import reverse
from rest_framework import serializers

from runs.models import Artifact, Run, RunEvent
from runs.selectors import time_left


class ArtifactSerializer(serializers.ModelSerializer):
    files_url = serializers.SerializerMethodField(help_text="append a file's path from the manifest")
    archive_url = serializers.SerializerMethodField(help_text="all files as one tar")

    class Meta:
        model = Artifact
        fields = ["id", "run", "kind", "name", "sha256", "size", "created_at", "files_url", "archive_url", "manifest"]

    def get_files_url(self, artifact: Artifact) -> str:
        return reverse("runs:artifact-file", args=[artifact.pk, "-"]).removesuffix("-")

    def get_archive_url(self, artifact: Artifact) -> str:
        return reverse("runs:artifact-archive", args=[artifact.pk])


class RunSerializer(serializers.ModelSerializer):
    created_by = serializers.SlugRelatedField(slug_field="username", read_only=True)
    seconds_left = serializers.SerializerMethodField(help_text="an estimate; null while there is nothing to judge by")

    class Meta:
        model = Run
        fields = [
            *("id", "kind", "title", "state", "fault", "error", "queue", "seed", "attempt", "max_attempts"),
            *("progress_done", "progress_total", "progress_note", "seconds_left", "worker", "created_by"),
            *("created_at", "queued_at", "started_at", "finished_at", "heartbeat_at"),
        ]

    def get_seconds_left(self, run: Run) -> float | None:
        left = time_left(run)
        return None if left is None else round(left.total_seconds(), 1)


class RunDetailSerializer(RunSerializer):
    artifacts = ArtifactSerializer(many=True)

    class Meta(RunSerializer.Meta):
        fields = [*RunSerializer.Meta.fields, "error_detail", "config", "result", "artifacts"]


class RunEventSerializer(serializers.ModelSerializer):
    class Meta:
        model = RunEvent
        fields = ["id", "type", "step", "data", "at"]


class EventQuerySerializer(serializers.Serializer):
    since = serializers.IntegerField(default=0, min_value=0, help_text="give events after this id only")
    type = serializers.ChoiceField(choices=RunEvent.Type.choices, required=False)
    limit = serializers.IntegerField(default=500, min_value=1, max_value=5000)


class LogQuerySerializer(serializers.Serializer):
    lines = serializers.IntegerField(default=200, min_value=1, max_value=10_000, help_text="from the end")


class LogSerializer(serializers.Serializer):
    lines = serializers.ListField(child=serializers.CharField())
