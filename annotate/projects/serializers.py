"""Projects, people and prompts as JSON."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from accounts.models import User
from annotate.formats.conversations import check_conversation
from annotate.formats.jsonl import Refused, check_text
from annotate.projects.invitations import LONGEST_DAYS
from annotate.projects.models import Attribute, Dimension, Invitation, Membership, Project, Prompt
from annotate.projects.selectors_comparisons import STATES
from annotate.projects.services_comparisons import ACTIONS
from annotate.ranking.models import Comparison


class DimensionSerializer(serializers.ModelSerializer):
    class Meta:
        model = Dimension
        fields = ["key", "label", "question"]
        extra_kwargs = {"label": {"required": False}}


class AttributeSerializer(serializers.ModelSerializer):
    class Meta:
        model = Attribute
        fields = ["key", "label", "low", "high", "points"]
        extra_kwargs = {"label": {"required": False}}


class FlagSerializer(serializers.Serializer):
    key = serializers.CharField(max_length=40)
    label = serializers.CharField(max_length=60, default="", allow_blank=True, help_text="empty: the built-in one")
    about = serializers.ChoiceField(choices=["prompt", "response"])


class ProjectSerializer(serializers.ModelSerializer):
    """`dimensions`, `attributes` and `flags` are in the order they are asked; given, they replace the ones there are.

    What judgements speak of stays: their task, and the keys and scales they use. The pairwise task has K = 2.
    """

    dimensions = DimensionSerializer(many=True, required=False)
    attributes = AttributeSerializer(many=True, required=False)
    flags = FlagSerializer(many=True, required=False)

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
            "task",
            "dimensions",
            "attributes",
            "flags",
            "ask_strength",
            "ask_rationale",
            "ask_edit",
            "rating_points",
            "daily_limit",
            "total_limit",
            "gold_rate",
            "gold_feedback",
            "must_qualify",
            "qualification_threshold",
            "adjudicate_above",
            "created_at",
        ]
        read_only_fields = ["slug"]


class ProgressSerializer(serializers.Serializer):
    prompts = serializers.IntegerField()
    responses = serializers.IntegerField()
    comparisons = serializers.IntegerField()
    closed = serializers.IntegerField(help_text="comparisons that have all their judgements, or were closed without")
    needed = serializers.IntegerField(
        help_text="judgements that the comparisons ask for; a closed one asks for no more"
    )
    done = serializers.IntegerField(help_text="those of them that are there")
    judgements = serializers.IntegerField(help_text="current judgements")
    annotators = serializers.IntegerField()
    versions = serializers.IntegerField(help_text="dataset versions")


class MembershipSerializer(serializers.ModelSerializer):
    user = serializers.PrimaryKeyRelatedField(queryset=User.objects.all())

    class Meta:
        model = Membership
        fields = [
            "id",
            "project",
            "user",
            "is_active",
            "role",
            "total_limit",
            "qualification",
            "qualification_score",
            "qualified_at",
            "created_at",
        ]
        read_only_fields = ["qualification", "qualification_score", "qualified_at"]
        # Adding somebody who is there already lets them work again, as on the people page.
        validators: list[Any] = []


class MembershipChangeSerializer(serializers.ModelSerializer):
    """What is given is changed; `qualification` is an admin's word, whatever the scores ("open": let them decide)."""

    qualification = serializers.ChoiceField(choices=Membership.Qualification.choices, required=False)

    class Meta:
        model = Membership
        fields = ["is_active", "role", "total_limit", "qualification"]
        extra_kwargs = {"is_active": {"required": False}, "role": {"required": False}}


class ComparisonsChangeSerializer(serializers.Serializer):
    """Which comparisons (`ids`, or all that match the filters) and what is to become of them."""

    project = serializers.PrimaryKeyRelatedField(queryset=Project.objects.all())
    ids = serializers.ListField(child=serializers.IntegerField(min_value=1), required=False, max_length=10_000)
    state = serializers.ChoiceField(choices=list(STATES), default="", help_text="as in the list of comparisons")
    round = serializers.IntegerField(required=False, min_value=0, max_value=30_000)
    tag = serializers.CharField(default="", allow_blank=True, max_length=60)
    action = serializers.ChoiceField(choices=list(ACTIONS.items()))
    value = serializers.IntegerField(required=False, help_text="the new priority, overlap or round")


class ComparisonsChangedSerializer(serializers.Serializer):
    count = serializers.IntegerField(help_text="comparisons that are different now")
    closed = serializers.IntegerField(help_text="of them")
    opened = serializers.IntegerField(help_text="of them")
    complete = serializers.BooleanField(help_text="false: time ran out; ask the same again")


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
            "purpose",
            "disagreement",
            "tags",
            "created_at",
        ]
        read_only_fields = fields

    def get_responses(self, comparison: Comparison) -> list[int]:
        return [member.response_id for member in comparison.members.all()]
