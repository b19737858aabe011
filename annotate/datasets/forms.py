"""Building a dataset version from a page, and choosing one."""

from __future__ import annotations

from typing import Any

from django import forms

from annotate.datasets.config import DatasetConfig
from annotate.datasets.models import DatasetVersion
from annotate.projects.models import Project
from runs.schema import ConfigForm


class DatasetVersionField(forms.ModelChoiceField):
    """Choose a dataset version; stale ones can be chosen, but say that they are."""

    def __init__(self, **options: Any) -> None:
        super().__init__(DatasetVersion.objects.select_related("project"), **options)

    def label_from_instance(self, version: DatasetVersion) -> str:
        return f"{version} (stale)" if version.stale_since else str(version)


class DatasetRunForm(ConfigForm):
    config_model = DatasetConfig
    basic = ("test_fraction", "dimensions", "sources")

    project = forms.ModelChoiceField(Project.objects.all(), help_text="Whose judgements to take.")
