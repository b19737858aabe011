"""Which pairs are conflicts, and how many of them to send."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django import forms

from rewardmodel.conflicts.selectors import AGREEING, SURE, Wanted
from rewardmodel.conflicts.services import MOST_AT_ONCE, MOST_EXTRA


class WantedForm(forms.Form):
    """A least certainty for each dimension, and how many of the people may be with the model."""

    agreeing = forms.IntegerField(min_value=0, max_value=99, label="People with it, at most, %")

    def __init__(self, asked: Mapping[str, str], *, dimensions: Sequence[str]) -> None:
        usual = {f"sure_{number}": f"{SURE * 100:.0f}" for number in range(len(dimensions))}
        chosen = {name: asked[name] for name in (*usual, "agreeing") if name in asked}
        super().__init__(chosen or usual | {"agreeing": f"{AGREEING * 100:.0f}"}, label_suffix="")
        self.dimensions = dimensions
        for number, name in enumerate(dimensions):
            self.fields[f"sure_{number}"] = forms.IntegerField(
                required=False, min_value=50, max_value=100, label=f"{name}: model sure, at least, %"
            )
        self.order_fields([*usual, "agreeing"])

    def wanted(self) -> Wanted:
        """What it asks for. A dimension without a certainty is left out."""
        given = self.cleaned_data
        sure = {name: given[f"sure_{number}"] for number, name in enumerate(self.dimensions)}
        return Wanted({name: value / 100 for name, value in sure.items() if value is not None}, given["agreeing"] / 100)


class SendForm(forms.Form):
    """How many comparisons to send, for how many more judgements each."""

    count = forms.IntegerField(min_value=1, max_value=MOST_AT_ONCE, label="Comparisons", initial=20)
    extra = forms.IntegerField(min_value=1, max_value=MOST_EXTRA, label="More judgements of each", initial=1)
