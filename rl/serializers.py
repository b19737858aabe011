"""Policies and evaluations as JSON."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from annotate.models import DatasetVersion, Generator, Project
from annotate.review.serializers import looked_up
from rewardmodel.models import RewardModel
from rl.models import EvaluationRun, PolicyRun
from rl.staleness import stale_now
from rl.training.config import ALGORITHMS, EvaluationConfig
from runs.schema import inline_schema

_LIFE = ["state", "fault", "error", "progress_done", "progress_total", "created_at", "started_at", "finished_at"]


class PolicyRunSerializer(serializers.ModelSerializer):
    stale_reason = serializers.SerializerMethodField(
        help_text="What withdrawn work it rests on; empty: none, so it is not stale."
    )

    class Meta:
        model = PolicyRun
        fields = [
            "id",
            "title",
            "algorithm",
            "generator",
            "dataset_version",
            "reward_model",
            "more_reward_models",
            "watched_reward_model",
            "project",
            "config",
            "result",
            "policy",
            "stale_reason",
            *_LIFE,
        ]
        read_only_fields = fields

    def get_stale_reason(self, run: PolicyRun) -> str:
        return looked_up(self, stale_now).policies.get(run.pk, "")


class EvaluationRunSerializer(serializers.ModelSerializer):
    stale_reason = serializers.SerializerMethodField(
        help_text="What withdrawn work it rests on; empty: none, so it is not stale."
    )

    class Meta:
        model = EvaluationRun
        fields = [
            "id",
            "title",
            "generator",
            "reference",
            "reward_model",
            "project",
            "config",
            "result",
            "stale_reason",
            *_LIFE,
        ]
        read_only_fields = fields

    def get_stale_reason(self, run: EvaluationRun) -> str:
        return looked_up(self, stale_now).evaluations.get(run.pk, "")


@extend_schema_field({"oneOf": [inline_schema(each) for each in ALGORITHMS.values()]})
class PolicyConfigField(serializers.DictField):
    """`algorithm` says which settings there are. Settings left out keep their defaults."""


@extend_schema_field(inline_schema(EvaluationConfig))
class EvaluationConfigField(serializers.DictField):
    """Settings left out keep their defaults."""


class PolicyRunStartSerializer(serializers.Serializer):
    generator = serializers.PrimaryKeyRelatedField(
        queryset=Generator.objects.all(), help_text="A local model: the policy starts from its weights."
    )
    dataset_version = serializers.PrimaryKeyRelatedField(
        queryset=DatasetVersion.objects.all(),
        required=False,
        allow_null=True,
        default=None,
        help_text="SFT, DPO, KTO: the rankings to learn from. The others: whose train prompts to answer.",
    )
    reward_model = serializers.PrimaryKeyRelatedField(
        queryset=RewardModel.objects.all(),
        required=False,
        allow_null=True,
        default=None,
        help_text="What scores sampled responses; without it, checks must.",
    )
    more_reward_models = serializers.PrimaryKeyRelatedField(
        queryset=RewardModel.objects.all(), many=True, required=False, help_text="Rewards added to the first's."
    )
    watched_reward_model = serializers.PrimaryKeyRelatedField(
        queryset=RewardModel.objects.all(),
        required=False,
        allow_null=True,
        default=None,
        help_text="Asked about held-out prompts and never trained on.",
    )
    project = serializers.PrimaryKeyRelatedField(
        queryset=Project.objects.all(),
        required=False,
        allow_null=True,
        default=None,
        help_text="Whose prompts to answer, in place of a dataset version's.",
    )
    title = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")
    config = PolicyConfigField()


class EvaluationRunStartSerializer(serializers.Serializer):
    generator = serializers.PrimaryKeyRelatedField(
        queryset=Generator.objects.all(), help_text="It must have responses to the project's prompts."
    )
    reference = serializers.PrimaryKeyRelatedField(queryset=Generator.objects.all())
    reward_model = serializers.PrimaryKeyRelatedField(queryset=RewardModel.objects.all())
    project = serializers.PrimaryKeyRelatedField(queryset=Project.objects.all())
    title = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")
    config = EvaluationConfigField(required=False, default=dict)
