"""Registering generators and starting generation from a page."""

from __future__ import annotations

from django import forms

from annotate.generation.models import GenerationRun, Generator
from lm.config import GenerationConfig
from runs.schema import ConfigForm


class GeneratorForm(forms.ModelForm):
    class Meta:
        model = Generator
        fields = ["name", "kind", "description", "model", "endpoint_url", "endpoint_model", "api_key_env"]

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        kinds = [choice for choice in Generator.Kind.choices if choice[0] not in Generator.SILENT]
        self.fields["kind"].choices = kinds
        self.fields[
            "model"
        ].help_text = "For a local model: smollm2-135m-instruct, a directory with a model, or a Hugging Face hub id."
        self.fields["endpoint_url"].assume_scheme = "http"

    def _post_clean(self) -> None:
        """The service checks the whole and words its complaints; checking here as well would say them twice."""


class GenerationRunForm(ConfigForm):
    config_model = GenerationConfig
    basic = ("k", "sampling.temperature", "sampling.top_p", "sampling.max_tokens")

    generator = forms.ModelChoiceField(Generator.objects.exclude(kind__in=Generator.SILENT))
    comparisons = forms.ChoiceField(
        choices=GenerationRun.Comparisons.choices,
        initial=GenerationRun.Comparisons.OWN,
        help_text="What annotators get to rank. Identical responses are never offered twice.",
    )
    mix_with = forms.ModelMultipleChoiceField(
        Generator.objects.all(),
        required=False,
        help_text="For mixed comparisons: whose earlier responses stand beside the new ones.",
    )
    round = forms.IntegerField(min_value=1, max_value=999, required=False, help_text="Empty: the latest round.")
    tags = forms.CharField(required=False, help_text="Only prompts with one of these tags, separated by commas.")
    unanswered = forms.BooleanField(
        required=False, label="Only prompts that this generator has not answered", initial=True
    )
