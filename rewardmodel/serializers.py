"""Reward models as JSON."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from annotate.models import DatasetVersion, Generator
from annotate.review.serializers import looked_up
from rewardmodel.models import RewardModel, RewardModelRun
from rewardmodel.staleness import stale_reward_models
from rewardmodel.training.config import RewardConfig
from runs.schema import inline_schema


class RewardModelSerializer(serializers.ModelSerializer):
    dataset_version = serializers.IntegerField(source="run.dataset_version_id", read_only=True)
    generator = serializers.IntegerField(source="run.generator_id", read_only=True)
    artifact_sha256 = serializers.CharField(source="artifact.sha256", read_only=True)
    stale_reason = serializers.SerializerMethodField(
        help_text="What withdrawn work it rests on; empty: none, so it is not stale."
    )

    class Meta:
        model = RewardModel
        fields = [
            "id",
            "name",
            "run",
            "dataset_version",
            "generator",
            "artifact",
            "artifact_sha256",
            "dimensions",
            "metrics",
            "base_model",
            "stale_reason",
            "created_at",
        ]
        read_only_fields = fields

    def get_stale_reason(self, reward_model: RewardModel) -> str:
        return looked_up(self, stale_reward_models).get(reward_model.pk, "")


class RewardModelRunSerializer(serializers.ModelSerializer):
    reward_model = serializers.IntegerField(
        source="reward_model.pk", read_only=True, default=None, allow_null=True, help_text="null until it has succeeded"
    )

    class Meta:
        model = RewardModelRun
        fields = [
            "id",
            "title",
            "state",
            "fault",
            "error",
            "dataset_version",
            "generator",
            "config",
            "progress_done",
            "progress_total",
            "reward_model",
            "created_at",
            "started_at",
            "finished_at",
        ]
        read_only_fields = fields


@extend_schema_field(inline_schema(RewardConfig))
class ConfigField(serializers.DictField):
    """Settings left out keep their defaults."""


class RewardModelRunStartSerializer(serializers.Serializer):
    dataset_version = serializers.PrimaryKeyRelatedField(queryset=DatasetVersion.objects.all())
    generator = serializers.PrimaryKeyRelatedField(
        queryset=Generator.objects.all(), help_text="A local model: the reward model starts from its weights."
    )
    title = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")
    config = ConfigField(required=False, default=dict)
