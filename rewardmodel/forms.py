"""Starting a reward-model run from a page."""

from __future__ import annotations

from django import forms

from annotate.datasets.forms import DatasetVersionField
from annotate.models import Generator
from rewardmodel.training.config import RewardConfig
from runs.schema import ConfigForm


class RewardModelRunForm(ConfigForm):
    config_model = RewardConfig
    basic = ("dimensions", "method", "epochs", "learning_rate", "comparisons_per_step")

    title = forms.CharField(
        max_length=200, required=False, help_text="What the reward model will be called. Empty: after its dataset."
    )
    dataset_version = DatasetVersionField(
        label="Dataset version",
        help_text="Training uses its train split; accuracy is measured on its test split.",
    )
    generator = forms.ModelChoiceField(
        Generator.objects.filter(kind=Generator.Kind.LOCAL),
        label="Start from",
        help_text="The local model whose weights it begins with; usually the one that wrote the responses.",
    )
