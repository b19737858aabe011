"""Building a dataset version from a page."""

from __future__ import annotations

from django import forms

from annotate.datasets.config import DatasetConfig
from annotate.projects.models import Project
from runs.schema import ConfigForm


class DatasetRunForm(ConfigForm):
    config_model = DatasetConfig
    basic = ("test_fraction", "dimensions", "sources")

    project = forms.ModelChoiceField(Project.objects.all(), help_text="Whose judgements to take.")
