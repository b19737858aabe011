from __future__ import annotations

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from annotate.generation.models import Response
from annotate.gold.selectors import feedback_for
from annotate.ranking.models import Assignment, Judgement
from annotate.ranking.services import outcome_of
from annotate.ranking.vocabulary import SKIP_REASONS


class MessageSerializer(serializers.Serializer):
    role = serializers.CharField()
    content = serializers.CharField()


class ShownResponseSerializer(serializers.Serializer):
    """A response as an annotator may see it: no generator, no sampling."""

    id = serializers.IntegerField()
    text = serializers.CharField()


class ShownDimensionSerializer(serializers.Serializer):
    key = serializers.CharField()
    label = serializers.CharField()
    question = serializers.CharField()


class ShownAttributeSerializer(serializers.Serializer):
    """A number asked of each response: from 1 (`low`) to `points` (`high`)."""

    key = serializers.CharField()
    label = serializers.CharField()
    low = serializers.CharField()
    high = serializers.CharField()
    points = serializers.IntegerField()


class AssignmentSerializer(serializers.ModelSerializer):
    """One's own assignment with all that is needed to judge it; responses in the order they are to be shown."""

    project = serializers.CharField(source="comparison.project.slug", read_only=True)
    task = serializers.CharField(source="comparison.project.task", read_only=True)
    prompt = MessageSerializer(source="comparison.prompt.messages", many=True, read_only=True)
    dimensions = ShownDimensionSerializer(source="comparison.project.dimensions.all", many=True, read_only=True)
    attributes = ShownAttributeSerializer(source="comparison.project.attributes.all", many=True, read_only=True)
    responses = serializers.SerializerMethodField()

    class Meta:
        model = Assignment
        fields = [
            "id",
            "project",
            "task",
            "comparison",
            "state",
            "lease_expires_at",
            "prompt",
            "dimensions",
            "attributes",
            "responses",
            "draft",
        ]
        read_only_fields = fields

    @extend_schema_field(ShownResponseSerializer(many=True))
    def get_responses(self, assignment: Assignment) -> list[dict[str, object]]:
        texts = dict(Response.objects.filter(pk__in=assignment.display_order).values_list("pk", "text"))
        return [{"id": pk, "text": texts[pk]} for pk in assignment.display_order]


class NextSerializer(serializers.Serializer):
    project = serializers.SlugField(help_text="The project's slug.")


class EditSerializer(serializers.Serializer):
    """A response, improved."""

    response = serializers.CharField(help_text="id of the response it was made from")
    text = serializers.CharField(trim_whitespace=False)


class AnswerSerializer(serializers.Serializer):
    """Checked in full by the service, whose complaints come back as field errors."""

    rankings = serializers.DictField(
        child=serializers.DictField(child=serializers.IntegerField()),
        default=dict,
        help_text="{dimension: {response id: rank}}; 1 is best, equal is a tie, absent was not placed.",
    )
    strengths = serializers.DictField(child=serializers.DictField(child=serializers.IntegerField()), default=dict)
    ratings = serializers.DictField(
        child=serializers.DictField(child=serializers.IntegerField()),
        default=dict,
        help_text="{dimension of the rating task, or attribute: {response id: points}}; more is better.",
    )
    all_bad = serializers.ListField(child=serializers.CharField(), default=list)
    flags = serializers.ListField(child=serializers.JSONField(), default=list)
    rationale = serializers.CharField(default="", allow_blank=True)
    edit = EditSerializer(default=None, allow_null=True)
    seconds_active = serializers.FloatField(default=None, allow_null=True)


class SkipSerializer(serializers.Serializer):
    reason = serializers.ChoiceField(choices=list(SKIP_REASONS))
    note = serializers.CharField(default="", allow_blank=True)


class JudgementSerializer(serializers.ModelSerializer):
    annotator = serializers.CharField(source="annotator.username", read_only=True)
    counts = serializers.SerializerMethodField(help_text="False: kept beside the comparison's judgements as an extra.")

    class Meta:
        model = Judgement
        fields = [
            "id",
            "comparison",
            "assignment",
            "annotator",
            "source",
            "rankings",
            "strengths",
            "ratings",
            "all_bad",
            "flags",
            "rationale",
            "seconds_active",
            "display_order",
            "is_current",
            "supersedes",
            "counts",
            "created_at",
        ]
        read_only_fields = fields

    def get_counts(self, judgement: Judgement) -> bool:
        return judgement.is_current and (judgement.assignment is None or outcome_of(judgement) != "extra")


class FeedbackSerializer(serializers.Serializer):
    score = serializers.FloatField(help_text="share of the known answer's pairs that were ordered the same, 0 to 1")
    rankings = serializers.DictField(child=serializers.DictField(child=serializers.IntegerField()))
    explanation = serializers.CharField()


class SubmittedSerializer(JudgementSerializer):
    """What one gets back for a submission."""

    feedback = serializers.SerializerMethodField(
        help_text="How it compares with the known answer, if there is one and the project tells."
    )

    class Meta(JudgementSerializer.Meta):
        fields = [*JudgementSerializer.Meta.fields, "feedback"]
        read_only_fields = fields

    @extend_schema_field(FeedbackSerializer(allow_null=True))
    def get_feedback(self, judgement: Judgement) -> dict[str, object] | None:
        return feedback_for(judgement)
