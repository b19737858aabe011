"""Evaluations of reward models as JSON."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from annotate.models import DatasetVersion
from rewardmodel.evaluation.kind import KIND
from rewardmodel.evaluation.selectors import ITEMS, LENGTHS, OUTCOMES, evaluation_artifact, evaluation_report
from rewardmodel.models import RewardEvaluation, RewardModel
from rewardmodel.training.evaluation_config import EvaluationConfig
from runs.schema import inline_schema


@extend_schema_field(inline_schema(EvaluationConfig))
class EvaluationConfigField(serializers.DictField):
    """Settings left out keep their defaults."""


class RewardEvaluationStartSerializer(serializers.Serializer):
    dataset_version = serializers.PrimaryKeyRelatedField(
        queryset=DatasetVersion.objects.all(),
        required=False,
        allow_null=True,
        default=None,
        help_text="tested on its held-out split; left out: the one that the model was trained on",
    )
    second = serializers.PrimaryKeyRelatedField(
        queryset=RewardModel.objects.all(),
        required=False,
        allow_null=True,
        default=None,
        help_text="another reward model to hold it against",
    )
    title = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")
    config = EvaluationConfigField(required=False, default=dict)


class RewardEvaluationFileSerializer(serializers.Serializer):
    """A test file, used whole, with the settings as fields of their own."""

    file = serializers.FileField()
    format = serializers.CharField(
        max_length=60, required=False, default="", allow_blank=True, help_text="an import format; empty: recognised"
    )
    dimension = serializers.CharField(max_length=200, required=False, default="", allow_blank=True)
    second = serializers.PrimaryKeyRelatedField(
        queryset=RewardModel.objects.all(), required=False, allow_null=True, default=None
    )
    title = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")


class ItemsQuerySerializer(serializers.Serializer):
    offset = serializers.IntegerField(default=0, min_value=0, max_value=2**53)
    limit = serializers.IntegerField(default=100, min_value=0, max_value=1000)
    dimension = serializers.CharField(default="", allow_blank=True, max_length=200)
    outcome = serializers.ChoiceField(["", *OUTCOMES], default="", allow_blank=True)
    tag = serializers.CharField(default="", allow_blank=True, max_length=200)
    length = serializers.ChoiceField(
        ["", *LENGTHS], default="", allow_blank=True, help_text="of the preferred response beside the other"
    )
    differ = serializers.BooleanField(default=False, help_text="only pairs that the two models order differently")
    order = serializers.ChoiceField(["file", "sure"], default="file", help_text="sure: the most confident first")


class RewardEvaluationSerializer(serializers.ModelSerializer):
    url = serializers.SerializerMethodField(help_text="where its state, report and pairs are")
    items_url = serializers.SerializerMethodField(help_text="its pairs, filtered and in pages")
    file_url = serializers.SerializerMethodField(help_text="all pairs as JSON Lines; null until it has succeeded")

    class Meta:
        model = RewardEvaluation
        fields = [
            *("id", "url", "title", "state", "fault", "error", "reward_model", "second", "dataset_version"),
            *("filename", "config", "result", "progress_done", "progress_total"),
            *("created_at", "started_at", "finished_at", "items_url", "file_url"),
        ]
        read_only_fields = fields

    def get_url(self, run: RewardEvaluation) -> str:
        return reverse("api:reward-evaluation-detail", args=[run.pk])

    def get_items_url(self, run: RewardEvaluation) -> str:
        return reverse("api:reward-evaluation-items", args=[run.pk])

    def get_file_url(self, run: RewardEvaluation) -> str | None:
        artifact = next((each for each in run.artifacts.all() if each.kind == KIND), None)
        return reverse("runs:artifact-file", args=[artifact.pk, ITEMS]) if artifact else None


class RewardEvaluationDetailSerializer(RewardEvaluationSerializer):
    report = serializers.SerializerMethodField(help_text="every figure, as report.json; {} until it has succeeded")

    class Meta(RewardEvaluationSerializer.Meta):
        fields = [*RewardEvaluationSerializer.Meta.fields, "report"]
        read_only_fields = fields

    def get_report(self, run: RewardEvaluation) -> dict[str, Any]:
        return evaluation_report(evaluation_artifact(run))


class ItemResponseSerializer(serializers.Serializer):
    id = serializers.CharField(allow_blank=True)
    text = serializers.CharField()


class ItemSerializer(serializers.Serializer):
    """A line of items.jsonl: two responses of a comparison on one dimension."""

    comparison = serializers.CharField(help_text="its id, or the line of the file")
    dimension = serializers.CharField()
    split = serializers.CharField()
    prompt = serializers.ListField(child=serializers.DictField())
    responses = ItemResponseSerializer(many=True, help_text="i and j")
    i = serializers.IntegerField()
    j = serializers.IntegerField()
    p = serializers.FloatField(help_text="share of people preferring i")
    weight = serializers.FloatField()
    margin = serializers.FloatField(help_text="strength of the preference, signed towards i")
    judgements = serializers.IntegerField(allow_null=True, help_text="how many place both; null if aggregated")
    score_i = serializers.FloatField()
    score_j = serializers.FloatField()
    probability = serializers.FloatField(help_text="sigma(score_i - score_j)")
    right = serializers.FloatField(allow_null=True, help_text="1, 0, 0.5 of equal scores, null of a tie")
    length_i = serializers.IntegerField(help_text="tokens")
    length_j = serializers.IntegerField()
    tags = serializers.ListField(child=serializers.CharField())
    language = serializers.CharField(allow_blank=True)
    overlap = serializers.ChoiceField(["", "exact", "near"], help_text="of the prompt with the training data")
    second_score_i = serializers.FloatField(required=False, help_text="by the second model, where there is one")
    second_score_j = serializers.FloatField(required=False)
    second_right = serializers.FloatField(required=False, allow_null=True)


class ItemPageSerializer(serializers.Serializer):
    count = serializers.IntegerField(help_text="pairs that the filter leaves")
    items = ItemSerializer(many=True)
