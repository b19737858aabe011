"""Scorings as JSON."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from rewardmodel.models import ScoreRun
from rewardmodel.scoring.selectors import FILE, score_artifact, score_lines


class ConversationSerializer(serializers.Serializer):
    messages = serializers.ListField(
        child=serializers.DictField(child=serializers.CharField(allow_blank=True, trim_whitespace=False)),
        help_text="[{role, content}, ...], the last one the user's",
    )
    responses = serializers.ListField(
        child=serializers.CharField(allow_blank=True, trim_whitespace=False), allow_empty=False
    )


class ScoreOptionsSerializer(serializers.Serializer):
    dimension = serializers.CharField(
        max_length=200, required=False, default="", allow_blank=True, help_text="which says what is best"
    )
    best_only = serializers.BooleanField(required=False, default=False, help_text="keep one response of each prompt")
    title = serializers.CharField(max_length=200, required=False, default="", allow_blank=True)


class ScoreConversationsSerializer(ScoreOptionsSerializer):
    conversations = serializers.ListField(child=ConversationSerializer(), allow_empty=False)


class ScoreFileSerializer(ScoreOptionsSerializer):
    file = serializers.FileField()
    format = serializers.CharField(
        max_length=60, required=False, default="", allow_blank=True, help_text="an import format; empty: recognised"
    )


class PageOfLinesSerializer(serializers.Serializer):
    offset = serializers.IntegerField(default=0, min_value=0, max_value=2**53)
    limit = serializers.IntegerField(default=100, min_value=0, max_value=1000)


class ScoreRunSerializer(serializers.ModelSerializer):
    url = serializers.SerializerMethodField(help_text="where its state and its lines are")
    file_url = serializers.SerializerMethodField(help_text="all lines as JSON Lines; null until it has succeeded")

    class Meta:
        model = ScoreRun
        fields = [
            *("id", "url", "title", "state", "fault", "error", "reward_model", "filename", "config", "result"),
            *("progress_done", "progress_total", "created_at", "started_at", "finished_at", "file_url"),
        ]
        read_only_fields = fields

    def get_url(self, run: ScoreRun) -> str:
        return reverse("api:score-run-detail", args=[run.pk])

    def get_file_url(self, run: ScoreRun) -> str | None:
        artifact = next((each for each in run.artifacts.all() if each.kind == run.kind), None)
        return reverse("runs:artifact-file", args=[artifact.pk, FILE]) if artifact else None


class ScoredResponseSerializer(serializers.Serializer):
    text = serializers.CharField()
    scores = serializers.DictField(child=serializers.FloatField(), help_text="what plain transformers gives")
    rewards = serializers.DictField(child=serializers.FloatField(), help_text="score minus the model's shift")
    disagreement = serializers.DictField(
        child=serializers.FloatField(), required=False, help_text="standard deviation over an ensemble's members"
    )
    cut = serializers.BooleanField(help_text="it was longer than the model was trained with")


class ScoredLineSerializer(serializers.Serializer):
    """Of a scoring with best_only: `messages` with the best response as its last, and that response's figures."""

    prompt = serializers.ListField(child=serializers.DictField())
    responses = ScoredResponseSerializer(many=True)
    best = serializers.DictField(child=serializers.IntegerField(), help_text="position of the best, by dimension")
    prompt_cut = serializers.BooleanField()
    line = serializers.IntegerField(help_text="where it stood in what was sent")


class ScoreRunDetailSerializer(ScoreRunSerializer):
    lines = serializers.SerializerMethodField(help_text="as many as were asked for; [] until it has succeeded")

    class Meta(ScoreRunSerializer.Meta):
        fields = [*ScoreRunSerializer.Meta.fields, "lines"]
        read_only_fields = fields

    @extend_schema_field(ScoredLineSerializer(many=True))
    def get_lines(self, run: ScoreRun) -> list[dict[str, Any]]:
        page = self.context.get("page", {"offset": 0, "limit": 100})
        return score_lines(score_artifact(run), page["offset"], page["limit"])
