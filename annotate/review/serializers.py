"""Decisions and withdrawals as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from rest_framework import serializers

from accounts.models import User
from annotate.projects.models import Project
from annotate.ranking.models import Comparison
from annotate.review.models import Adjudication, Withdrawal

T = TypeVar("T")


def looked_up(serializer: serializers.BaseSerializer, look: Callable[[], T]) -> T:
    """What `look` finds, looked up once for all rows of an answer."""
    kept = serializer.root.__dict__.setdefault("_looked_up", {})
    if look not in kept:
        kept[look] = look()
    return kept[look]


class AdjudicationSerializer(serializers.ModelSerializer):
    reviewer = serializers.CharField(source="reviewer.username", read_only=True)

    class Meta:
        model = Adjudication
        fields = [
            "id",
            "comparison",
            "reviewer",
            "rankings",
            "all_bad",
            "rationale",
            "is_current",
            "supersedes",
            "created_at",
        ]
        read_only_fields = fields


class DecisionSerializer(serializers.Serializer):
    """Checked in full by the service, whose complaints come back as field errors."""

    comparison = serializers.PrimaryKeyRelatedField(queryset=Comparison.objects.select_related("project"))
    rankings = serializers.DictField(
        child=serializers.DictField(child=serializers.IntegerField()),
        default=dict,
        help_text="{dimension: {response id: rank}}; 1 is best, equal is a tie, absent was not placed.",
    )
    all_bad = serializers.ListField(child=serializers.CharField(), default=list)
    rationale = serializers.CharField(default="", allow_blank=True)
    revises = serializers.IntegerField(
        default=None,
        allow_null=True,
        min_value=1,
        help_text="Id of the decision that this one replaces. Without it, a comparison that is decided stays as it is.",
    )


class WithdrawalSerializer(serializers.ModelSerializer):
    by = serializers.CharField(source="by.username", default=None, allow_null=True, read_only=True)

    class Meta:
        model = Withdrawal
        fields = ["id", "project", "annotator", "by", "reason", "count", "created_at", "restored_at"]
        read_only_fields = fields


class WithdrawSerializer(serializers.Serializer):
    project = serializers.PrimaryKeyRelatedField(queryset=Project.objects.all())
    annotator = serializers.PrimaryKeyRelatedField(queryset=User.objects.all())
    reason = serializers.CharField(max_length=200, help_text="Whoever wonders later reads it.")
