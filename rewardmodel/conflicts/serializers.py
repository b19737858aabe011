from __future__ import annotations

from rest_framework import serializers

from rewardmodel.conflicts.selectors import AGREEING, SURE, Wanted
from rewardmodel.conflicts.services import MOST_AT_ONCE, MOST_EXTRA, REASONS
from rewardmodel.evaluation.serializers import ItemSerializer


class WantedSerializer(serializers.Serializer):
    """Which pairs are conflicts."""

    dimension = serializers.CharField(default="", allow_blank=True, help_text="of which score; empty: of every")
    sure = serializers.FloatField(min_value=0.5, max_value=1, default=SURE, help_text="how sure the model is at least")
    agreeing = serializers.FloatField(
        min_value=0, max_value=0.99, default=AGREEING, help_text="share of people on the model's side, at most"
    )

    def wanted(self, dimensions: list[str]) -> Wanted:
        """What it asks for, of an evaluation of these dimensions. Raises ValidationError for one that is not there."""
        given = self.validated_data
        if given["dimension"] and given["dimension"] not in dimensions:
            raise serializers.ValidationError({"dimension": f"It measured {', '.join(dimensions)}."})
        chosen = [given["dimension"]] if given["dimension"] else dimensions
        return Wanted(dict.fromkeys(chosen, given["sure"]), given["agreeing"])


class ConflictsQuerySerializer(WantedSerializer):
    offset = serializers.IntegerField(min_value=0, default=0)
    limit = serializers.IntegerField(min_value=1, max_value=1000, default=100)


class ConflictsSendSerializer(WantedSerializer):
    count = serializers.IntegerField(min_value=1, max_value=MOST_AT_ONCE, help_text="comparisons, at most")
    extra = serializers.IntegerField(min_value=1, max_value=MOST_EXTRA, default=1, help_text="more judgements of each")


class PeopleSerializer(serializers.Serializer):
    model = serializers.IntegerField(help_text="judgements that prefer the model's choice")
    other = serializers.IntegerField()
    tie = serializers.IntegerField()


class ConflictSerializer(ItemSerializer):
    """A line of items.jsonl, and what can be done about it."""

    information = serializers.FloatField(help_text="bits that one more judgement is expected to tell")
    people = PeopleSerializer(help_text="what people say of the pair now")
    not_sent = serializers.ChoiceField(["", *REASONS], help_text="why it cannot be sent; empty if it can")


class ConflictPageSerializer(serializers.Serializer):
    count = serializers.IntegerField(help_text="comparisons with such a pair")
    sendable = serializers.IntegerField(help_text="of them, those that can be sent for one judgement more")
    items = ConflictSerializer(many=True)


class SentSerializer(serializers.Serializer):
    count = serializers.IntegerField(help_text="comparisons that are open again")
    left = serializers.DictField(child=serializers.IntegerField(), help_text="{reason: how many were not sent for it}")


class ShareSerializer(serializers.Serializer):
    value = serializers.FloatField()
    low = serializers.FloatField()
    high = serializers.FloatField()
    n = serializers.IntegerField()


class OutcomeSerializer(serializers.Serializer):
    before = serializers.CharField(help_text="what people had said, or all")
    sent = serializers.IntegerField()
    counts = serializers.DictField(
        child=serializers.IntegerField(),
        help_text="comparisons whose new judgements are for model, other, tie, or open",
    )
    sure = serializers.FloatField(help_text="how sure the model was, mean")
    model = ShareSerializer(allow_null=True, help_text="share for the model, of those that took a side; 95% by Wilson")


class RelabellingSerializer(serializers.Serializer):
    comparison = serializers.IntegerField(source="comparison_id")
    dimension = serializers.CharField(help_text="the question of the project")
    model_choice = serializers.IntegerField(source="model_choice_id", help_text="id of the response")
    other_choice = serializers.IntegerField(source="other_choice_id")
    probability = serializers.FloatField()
    before = PeopleSerializer()
    extra = serializers.IntegerField()
    sent_by = serializers.CharField(allow_null=True)
    sent_at = serializers.DateTimeField()


class RelabellingRowSerializer(RelabellingSerializer):
    after = PeopleSerializer(help_text="what those said who judged it for the first time")


class RelabellingPageSerializer(serializers.Serializer):
    outcome = OutcomeSerializer(many=True)
    items = RelabellingRowSerializer(many=True, help_text="the newest first")
