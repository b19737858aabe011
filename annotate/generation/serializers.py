"""Generators, their runs and responses as JSON."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from annotate.generation.models import GenerationRun, Generator, Response
from annotate.generation.services import Selection
from annotate.projects.models import Project
from annotate.review.serializers import looked_up
from annotate.review.staleness import stale_generators
from lm.config import GenerationConfig
from runs.schema import inline_schema


class GeneratorSerializer(serializers.ModelSerializer):
    stale_reason = serializers.SerializerMethodField(
        help_text="What withdrawn work it rests on; empty: none, so it is not stale."
    )

    class Meta:
        model = Generator
        fields = [
            "id",
            "name",
            "kind",
            "description",
            "model",
            "adapter",
            "endpoint_url",
            "endpoint_model",
            "api_key_env",
            "produced_by",
            "stale_reason",
            "created_at",
        ]
        read_only_fields = ["id", "produced_by", "created_at"]
        # The service checks the whole generator and names each field that is wrong.
        validators: list = []

    def get_stale_reason(self, generator: Generator) -> str:
        return looked_up(self, stale_generators).get(generator.pk, "")


class ResponseSerializer(serializers.ModelSerializer):
    class Meta:
        model = Response
        fields = ["id", "prompt", "generator", "run", "sample_index", "text", "sampling", "finish_reason", "tokens"]
        read_only_fields = fields


class GenerationRunSerializer(serializers.ModelSerializer):
    class Meta:
        model = GenerationRun
        fields = [
            "id",
            "title",
            "state",
            "fault",
            "error",
            "project",
            "generator",
            "config",
            "comparisons",
            "mix_with",
            "round",
            "selection",
            "result",
            "progress_done",
            "progress_total",
            "created_at",
            "started_at",
            "finished_at",
        ]
        read_only_fields = fields


@extend_schema_field(inline_schema(GenerationConfig))
class GenerationConfigField(serializers.DictField):
    """Settings left out keep their defaults."""


@extend_schema_field(inline_schema(Selection))
class SelectionField(serializers.DictField):
    """Which prompts; all of the project by default."""


class GenerationRunStartSerializer(serializers.Serializer):
    project = serializers.PrimaryKeyRelatedField(queryset=Project.objects.all())
    generator = serializers.PrimaryKeyRelatedField(queryset=Generator.objects.all())
    config = GenerationConfigField(required=False, default=dict)
    comparisons = serializers.ChoiceField(GenerationRun.Comparisons.choices, required=False, default="own")
    mix_with = serializers.PrimaryKeyRelatedField(
        queryset=Generator.objects.all(), many=True, required=False, default=list
    )
    round = serializers.IntegerField(min_value=1, max_value=999, required=False, allow_null=True, default=None)
    selection = SelectionField(required=False, default=dict)
    title = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")
