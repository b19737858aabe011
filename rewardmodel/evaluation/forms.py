"""Having a reward model evaluated from a page, and choosing among the pairs that were scored."""

from __future__ import annotations

from typing import Any

from django import forms

from annotate.datasets.forms import DatasetVersionField
from annotate.formats.reading import FORMATS_IN
from rewardmodel.evaluation.services import UNFIT
from rewardmodel.models import RewardModel
from rewardmodel.training.evaluation_config import EvaluationConfig
from runs.schema import ConfigForm


class RewardEvaluationForm(ConfigForm):
    """A dataset version or a file of judged responses, and perhaps a second model."""

    config_model = EvaluationConfig
    basic = ("split", "dimension", "format")

    dataset_version = DatasetVersionField(
        required=False, label="Test on", help_text="Prompts that the model has not seen, with people's preferences."
    )
    file = forms.FileField(
        required=False,
        label="Or on a file",
        help_text="Pairs, rankings or ratings in any import format, up to 64 MiB. It stands in place of the dataset.",
    )
    second = forms.ModelChoiceField(
        RewardModel.objects.all(),
        required=False,
        label="Beside",
        empty_label="no other model",
        help_text="Another reward model: how far the two agree, and which is right where they do not.",
    )
    format = forms.ChoiceField(required=False, help_text="Of a file. Usually recognised by its columns.")
    dimension = forms.ChoiceField(
        required=False, label="Held against", help_text=EvaluationConfig.model_fields["dimension"].description
    )

    def __init__(self, *args: Any, reward_model: RewardModel, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        own = reward_model.run.dataset_version
        self.fields["dataset_version"].empty_label = f"{own}, held out when it was trained"
        self.fields["second"].queryset = RewardModel.objects.exclude(pk=reward_model.pk)
        labels = sorted((form.label, key) for key, form in FORMATS_IN.items() if form.kind not in UNFIT)
        self.fields["format"].choices = [("", "recognise it"), *((key, label) for label, key in labels)]
        named = [(name, name) for name in reward_model.dimensions]
        self.fields["dimension"].choices = [("", "the score of the same name"), *named]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if cleaned.get("file") and cleaned.get("dataset_version"):
            self.add_error("file", "Choose a dataset version or a file, not both.")
        return cleaned


class ItemFilterForm(forms.Form):
    """Which pairs to look at. Whatever is not one of its choices is passed over."""

    dimension = forms.ChoiceField(required=False)
    outcome = forms.ChoiceField(
        required=False,
        label="Model",
        choices=[
            ("", "right or wrong"),
            ("wrong", "wrong"),
            ("right", "right"),
            ("equal", "equal scores"),
            ("tie", "people tied"),
        ],
    )
    length = forms.ChoiceField(
        required=False,
        label="Preferred response is",
        choices=[("", "of any length"), ("shorter", "shorter"), ("alike", "about as long"), ("longer", "longer")],
    )
    tag = forms.ChoiceField(required=False)
    differ = forms.BooleanField(required=False, label="the two models differ")
    order = forms.ChoiceField(
        required=False, choices=[("sure", "most confident first"), ("file", "as in the test set")]
    )

    def __init__(self, *args: Any, dimensions: list[str], tags: list[str], second: bool, **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})
        self.fields["dimension"].choices = [("", "every dimension"), *((name, name) for name in dimensions)]
        self.fields["tag"].choices = [("", "any tag"), *((name, name) for name in tags)]
        if len(dimensions) < 2:
            del self.fields["dimension"]
        if not tags:
            del self.fields["tag"]
        if not second:
            del self.fields["differ"]
