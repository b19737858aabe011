from __future__ import annotations

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from annotate.generation.models import Response
from annotate.gold.selectors import feedback_for
from annotate.ranking.letters import to_letters
from annotate.ranking.models import Assignment, Judgement
from annotate.ranking.selectors import letters
from annotate.ranking.services import outcome_of
from annotate.ranking.vocabulary import SKIP_REASONS


class MessageSerializer(serializers.Serializer):
    role = serializers.CharField()
    content = serializers.CharField()


class ShownResponseSerializer(serializers.Serializer):
    """A response as an annotator may see it: no generator, no sampling, and a letter instead of its id."""

    letter = serializers.CharField()
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
    """One's own assignment with all that is needed to judge it; responses in the order they are to be shown.

    Ids of comparisons and responses would tell gold from work, so there are none: answers are spelt in letters.
    """

    project = serializers.CharField(source="comparison.project.slug", read_only=True)
    task = serializers.CharField(source="comparison.project.task", read_only=True)
    prompt = MessageSerializer(source="comparison.prompt.messages", many=True, read_only=True)
    dimensions = ShownDimensionSerializer(source="comparison.project.dimensions.all", many=True, read_only=True)
    attributes = ShownAttributeSerializer(source="comparison.project.attributes.all", many=True, read_only=True)
    responses = serializers.SerializerMethodField()
    draft = serializers.SerializerMethodField()

    class Meta:
        model = Assignment
        fields = [
            "id",
            "project",
            "task",
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
        return [{"letter": name, "text": texts[int(pk)]} for pk, name in letters(assignment.display_order).items()]

    @extend_schema_field(OpenApiTypes.OBJECT)
    def get_draft(self, assignment: Assignment) -> dict[str, object]:
        return to_letters(assignment, assignment.draft)


class NextSerializer(serializers.Serializer):
    project = serializers.SlugField(help_text="The project's slug.")


class EditSerializer(serializers.Serializer):
    """A response, improved."""

    response = serializers.CharField(help_text="letter of the response it was made from")
    text = serializers.CharField(trim_whitespace=False)


class AnswerSerializer(serializers.Serializer):
    """In letters. Checked in full by the service, whose complaints come back as field errors."""

    rankings = serializers.DictField(
        child=serializers.DictField(child=serializers.IntegerField()),
        default=dict,
        help_text="{dimension: {letter: rank}}; 1 is best, equal is a tie, absent was not placed.",
    )
    strengths = serializers.DictField(child=serializers.DictField(child=serializers.IntegerField()), default=dict)
    ratings = serializers.DictField(
        child=serializers.DictField(child=serializers.IntegerField()),
        default=dict,
        help_text="{dimension of the rating task, or attribute: {letter: points}}; more is better.",
    )
    all_bad = serializers.ListField(child=serializers.CharField(), default=list)
    flags = serializers.ListField(child=serializers.JSONField(), default=list)
    rationale = serializers.CharField(default="", allow_blank=True)
    edit = EditSerializer(default=None, allow_null=True)
    seconds_active = serializers.FloatField(default=None, allow_null=True)
    guidelines = serializers.IntegerField(
        required=False, allow_null=True, help_text="Number of the version that was shown; else the latest is recorded."
    )
    revises = serializers.IntegerField(
        required=False,
        allow_null=True,
        help_text="id of the judgement that this is to replace, null for none. If another one counts by now, this one "
        "is kept on record and does not count. Unsaid: it replaces what is there.",
    )


class SkipSerializer(serializers.Serializer):
    reason = serializers.ChoiceField(choices=list(SKIP_REASONS))
    note = serializers.CharField(default="", allow_blank=True)


class JudgementSerializer(serializers.ModelSerializer):
    """For admins."""

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


class OwnJudgementSerializer(JudgementSerializer):
    """A judgement as its annotator may see it: in letters, without ids of comparisons and responses."""

    class Meta(JudgementSerializer.Meta):
        fields = [name for name in JudgementSerializer.Meta.fields if name not in ("comparison", "display_order")]
        read_only_fields = fields

    def to_representation(self, judgement: Judgement) -> dict[str, object]:
        return to_letters(judgement, super().to_representation(judgement))


class SubmittedSerializer(OwnJudgementSerializer):
    """What one gets back for a submission."""

    feedback = serializers.SerializerMethodField(
        help_text="How it compares with the known answer, if there is one and the project tells."
    )

    class Meta(OwnJudgementSerializer.Meta):
        fields = [*OwnJudgementSerializer.Meta.fields, "feedback"]
        read_only_fields = fields

    @extend_schema_field(FeedbackSerializer(allow_null=True))
    def get_feedback(self, judgement: Judgement) -> dict[str, object] | None:
        known = feedback_for(judgement)
        return None if known is None else to_letters(judgement, known)
