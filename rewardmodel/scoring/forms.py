"""Having a file scored from a page."""

from __future__ import annotations

from typing import Any

from django import forms

from annotate.formats.reading import FORMATS_IN
from rewardmodel.models import RewardModel
from rewardmodel.training.score_config import ScoreConfig
from runs.schema import ConfigForm


class ScoreForm(ConfigForm):
    """A file of prompts with responses."""

    config_model = ScoreConfig
    basic = ("format", "dimension", "best_only")

    file = forms.FileField(help_text="Prompts with responses in any import format, up to 64 MiB.")
    format = forms.ChoiceField(required=False, help_text="Usually recognised by its columns.")
    dimension = forms.ChoiceField(
        required=False, label="Best by", help_text="Which dimension says what response is the best."
    )

    def __init__(self, *args: Any, reward_model: RewardModel, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        labels = sorted((form.label, key) for key, form in FORMATS_IN.items() if form.kind != "prompt")
        self.fields["format"].choices = [("", "recognise it"), *((key, label) for label, key in labels)]
        self.fields["dimension"].choices = [(name, name) for name in reward_model.dimensions]
