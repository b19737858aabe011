"""Projects, people and prompts as JSON."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from accounts.models import User
from annotate.formats.conversations import check_conversation
from annotate.formats.jsonl import Refused, check_text
from annotate.formats.rankings import FORMATS
from annotate.projects.invitations import LONGEST_DAYS
from annotate.projects.models import Dimension, Invitation, Membership, Project, Prompt, PromptImport
from annotate.ranking.models import Comparison


class DimensionSerializer(serializers.ModelSerializer):
    class Meta:
        model = Dimension
        fields = ["key", "label", "question"]
        extra_kwargs = {"label": {"required": False}}


class ProjectSerializer(serializers.ModelSerializer):
    """`dimensions` are in the order they are asked; given, they replace the ones there are."""

    dimensions = DimensionSerializer(many=True, required=False)

    class Meta:
        model = Project
        fields = [
            "id",
            "name",
            "slug",
            "description",
            "guidelines",
            "k",
            "overlap",
            "lease_minutes",
            "is_paused",
            "dimensions",
            "created_at",
        ]
        read_only_fields = ["slug"]


class ProgressSerializer(serializers.Serializer):
    prompts = serializers.IntegerField()
    responses = serializers.IntegerField()
    comparisons = serializers.IntegerField()
    closed = serializers.IntegerField(help_text="comparisons that have all their judgements")
    needed = serializers.IntegerField(help_text="judgements that the comparisons ask for")
    done = serializers.IntegerField(help_text="those of them that are there")
    judgements = serializers.IntegerField(help_text="current judgements")
    annotators = serializers.IntegerField()
    versions = serializers.IntegerField(help_text="dataset versions")


class MembershipSerializer(serializers.ModelSerializer):
    user = serializers.PrimaryKeyRelatedField(queryset=User.objects.all())

    class Meta:
        model = Membership
        fields = ["id", "project", "user", "is_active", "created_at"]
        # Adding somebody who is there already lets them work again, as on the people page.
        validators: list[Any] = []


class MembershipChangeSerializer(serializers.Serializer):
    is_active = serializers.BooleanField()


class InvitationSerializer(serializers.ModelSerializer):
    class Meta:
        model = Invitation
        fields = [
            "id",
            "role",
            "projects",
            "note",
            "expires_at",
            "created_by",
            "accepted_by",
            "accepted_at",
            "revoked_at",
        ]
        read_only_fields = fields


class InvitationCreateSerializer(serializers.Serializer):
    role = serializers.ChoiceField(choices=Invitation.Role.choices, default=Invitation.Role.ANNOTATOR)
    projects = serializers.PrimaryKeyRelatedField(queryset=Project.objects.all(), many=True, default=list)
    days = serializers.IntegerField(min_value=1, max_value=LONGEST_DAYS, default=7)
    note = serializers.CharField(max_length=200, default="", allow_blank=True)


class InvitationCreatedSerializer(serializers.Serializer):
    invitation = InvitationSerializer()
    url = serializers.CharField(help_text="Shown this once; only its hash is kept.")


class TurnSerializer(serializers.Serializer):
    role = serializers.CharField()
    content = serializers.CharField(trim_whitespace=False)


class PromptSerializer(serializers.ModelSerializer):
    messages = TurnSerializer(many=True)

    class Meta:
        model = Prompt
        fields = ["id", "project", "messages", "content_hash", "tags", "language", "source", "metadata", "created_at"]
        read_only_fields = ["content_hash"]
        validators: list[Any] = []  # the hash is ours to make

    def validate_messages(self, value: Any) -> list[dict[str, str]]:
        try:
            return check_conversation([dict(message) for message in value])
        except Refused as error:
            raise serializers.ValidationError(str(error)) from None

    def validate_metadata(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise serializers.ValidationError("This must be an object.")
        try:
            check_text(value)
        except Refused as error:
            raise serializers.ValidationError(str(error)) from None
        return value


class ImportSerializer(serializers.Serializer):
    """A file of one JSON object a line."""

    project = serializers.PrimaryKeyRelatedField(queryset=Project.objects.all())
    file = serializers.FileField(help_text="UTF-8, may be gzipped")
    format = serializers.ChoiceField(choices=PromptImport.Format.choices, default=PromptImport.Format.PROMPTS)
    dimension = serializers.CharField(
        default="",
        allow_blank=True,
        help_text="for rankings; by default "
        + ", ".join(f"{format.dimension} for {key}" for key, format in FORMATS.items()),
    )


class ImportReportSerializer(serializers.Serializer):
    """New rows by kind; which keys are there depends on the format."""

    created = serializers.IntegerField(required=False, help_text="prompts: new ones")
    repeated = serializers.IntegerField(required=False, help_text="prompts: lines that repeat an earlier line")
    existing = serializers.IntegerField(help_text="prompts or comparisons that were there already")
    comparisons = serializers.IntegerField(required=False)
    prompts = serializers.IntegerField(required=False)
    responses = serializers.IntegerField(required=False)
    judgements = serializers.IntegerField(required=False)
    skipped = serializers.IntegerField(required=False, help_text="rankings: lines without a usable comparison")


class ComparisonSerializer(serializers.ModelSerializer):
    responses = serializers.SerializerMethodField(help_text="response ids in order of position")

    class Meta:
        model = Comparison
        fields = [
            "id",
            "project",
            "prompt",
            "run",
            "responses",
            "round",
            "priority",
            "overlap",
            "is_closed",
            "created_at",
        ]
        read_only_fields = fields

    def get_responses(self, comparison: Comparison) -> list[int]:
        return [member.response_id for member in comparison.members.all()]
