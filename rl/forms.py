"""Starting policy runs and evaluations from a page."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from annotate.datasets.forms import DatasetVersionField
from annotate.models import Generator, Project
from rewardmodel.models import RewardModel
from rl.training.config import DPOConfig, EvaluationConfig, PPOConfig
from runs.schema import ConfigForm


class WeightsField(forms.CharField):
    """Weights by name, as people write them: `helpfulness 1, harmlessness 2`."""

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(f"{name} {weight:g}" for name, weight in value.items()) if isinstance(value, dict) else value

    def to_python(self, value: Any) -> dict[str, float]:
        weights: dict[str, float] = {}
        for part in str(value or "").split(","):
            if not part.strip():
                continue
            name, _, weight = part.replace("=", " ").replace(":", " ").strip().rpartition(" ")
            try:
                weights[name.strip()] = float(weight)
            except ValueError:
                raise ValidationError(f"“{part.strip()}” is not a dimension and its weight.", code="invalid") from None
            if not name.strip():
                raise ValidationError(f"“{part.strip()}” is a weight without its dimension.", code="invalid")
        return weights


def _weights_field(model: type[DPOConfig] | type[PPOConfig] | type[EvaluationConfig]) -> WeightsField:
    info = model.model_fields["dimension_weights"]
    return WeightsField(
        label=info.title, help_text=f"{info.description} Write: helpfulness 1, harmlessness 2.", required=False
    )


def _local() -> forms.ModelChoiceField:
    return forms.ModelChoiceField(
        Generator.objects.filter(kind=Generator.Kind.LOCAL),
        label="Start from",
        help_text="The local model that becomes the policy; as it is now, it is also the reference.",
    )


class DPORunForm(ConfigForm):
    config_model = DPOConfig
    basic = ("loss", "beta", "learning_rate", "epochs", "comparisons_per_step", "method")
    left_out = ("algorithm",)

    title = forms.CharField(
        max_length=200, required=False, help_text="What the policy will be called. Empty: after its dataset."
    )
    dataset_version = DatasetVersionField(
        label="Dataset version",
        help_text="Training uses its train split; accuracy is measured on its test split.",
    )
    generator = _local()
    dimension_weights = _weights_field(DPOConfig)


class PPORunForm(ConfigForm):
    config_model = PPOConfig
    basic = (
        "steps",
        "prompts_per_step",
        "samples_per_prompt",
        "max_response_tokens",
        "temperature",
        "kl_coef",
        "learning_rate",
        "method",
    )
    left_out = ("algorithm",)

    title = forms.CharField(
        max_length=200, required=False, help_text="What the policy will be called. Empty: after its prompts."
    )
    reward_model = forms.ModelChoiceField(
        RewardModel.objects.all(), label="Reward model", help_text="What scores the policy's responses."
    )
    generator = _local()
    dataset_version = DatasetVersionField(
        label="Prompts of a dataset",
        required=False,
        help_text="Its train split. Empty, and no project chosen: the dataset that the reward model was trained on.",
    )
    project = forms.ModelChoiceField(
        Project.objects.all(),
        label="Prompts of a project",
        required=False,
        help_text="All its prompts except those held out for measuring.",
    )
    dimension_weights = _weights_field(PPOConfig)


class EvaluationRunForm(ConfigForm):
    config_model = EvaluationConfig
    basic = ("prompts",)
    left_out = ("algorithm",)

    title = forms.CharField(max_length=200, required=False, help_text="Empty: after policy and reference.")
    project = forms.ModelChoiceField(Project.objects.all(), help_text="Whose prompts were answered.")
    generator = forms.ModelChoiceField(
        Generator.objects.all(), label="Policy", help_text="It must have responses to the project's prompts."
    )
    reference = forms.ModelChoiceField(
        Generator.objects.all(), label="Reference", help_text="What it is compared with: usually what it started from."
    )
    reward_model = forms.ModelChoiceField(
        RewardModel.objects.all(), label="Reward model", help_text="What scores both."
    )
    dimension_weights = _weights_field(EvaluationConfig)
