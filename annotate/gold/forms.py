"""What an admin fills in about a comparison with a known answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms

from annotate.projects.models import Dimension
from annotate.ranking.models import Comparison

PURPOSES = (
    (Comparison.Purpose.GOLD, "Hidden gold: mixed into the work, to keep an eye on quality"),
    (Comparison.Purpose.QUALIFICATION, "Qualification: judged before the queue opens"),
)


class GoldForm(forms.Form):
    """A rank select for each dimension and response; `rankings()` is what was chosen."""

    purpose = forms.ChoiceField(choices=PURPOSES, widget=forms.RadioSelect, label="What for")
    explanation = forms.CharField(
        required=False,
        max_length=5000,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text="Why this is the right answer. Annotators see it if the project tells them how they did.",
    )

    def __init__(
        self,
        *args: Any,
        dimensions: Sequence[Dimension],
        responses: Sequence[int],
        rankings: Mapping[str, Mapping[str, int]],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})
        self.dimensions, self.responses = dimensions, responses
        choices = [("", "–"), *((str(rank), str(rank)) for rank in range(1, len(responses) + 1))]
        for dimension in dimensions:
            for number, response in enumerate(responses, start=1):
                given = rankings.get(dimension.key, {}).get(str(response))
                self.fields[_name(dimension, response)] = forms.ChoiceField(
                    choices=choices,
                    required=False,
                    initial=str(given or ""),
                    label=f"{dimension.label}: rank of response {number}",
                )

    def cells(self, response: int) -> list[forms.BoundField]:
        """The selects of one response, one a dimension."""
        return [self[_name(dimension, response)] for dimension in self.dimensions]

    def rankings(self) -> dict[str, dict[str, int]]:
        """{dimension: {response: rank}}; what was not placed is absent."""
        chosen = {
            dimension.key: {
                str(response): int(rank)
                for response in self.responses
                if (rank := self.cleaned_data.get(_name(dimension, response)))
            }
            for dimension in self.dimensions
        }
        return {key: ranks for key, ranks in chosen.items() if ranks}


def _name(dimension: Dimension, response: int) -> str:
    return f"rank-{dimension.key}-{response}"
