"""Building a dataset version from a page, and choosing one."""

from __future__ import annotations

from typing import Any

from django import forms

from accounts.models import User
from annotate.datasets.config import DatasetConfig
from annotate.datasets.models import DatasetVersion
from annotate.formats.writing import FORMATS_OUT
from annotate.projects.models import Project
from runs.schema import ConfigForm, WordsField


class DatasetVersionField(forms.ModelChoiceField):
    """Choose a dataset version; stale ones can be chosen, but say that they are."""

    def __init__(self, **options: Any) -> None:
        super().__init__(DatasetVersion.objects.select_related("project"), **options)

    def label_from_instance(self, version: DatasetVersion) -> str:
        return f"{version} (stale)" if version.stale_since else str(version)


class PeopleField(WordsField):
    """People by user name, with commas between them; their ids come out. A number is an id already."""

    def to_python(self, value: Any) -> list[int]:
        names = super().to_python(value)
        found = dict(User.objects.filter(username__in=names).values_list("username", "pk"))
        found |= {str(pk): pk for pk in User.objects.filter(pk__in=_ids(names)).values_list("pk", flat=True)} | found
        absent = [name for name in names if name not in found]
        if absent:
            raise forms.ValidationError(f"There is nobody called {', '.join(absent)}.")
        return [found[name] for name in names]


def _ids(names: list[str]) -> list[int]:
    return [int(name) for name in names if name.isascii() and name.isdigit() and len(name) < 19]


def _day(name: str) -> forms.DateField:
    info = DatasetConfig.model_fields[name]
    widget = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    return forms.DateField(label=info.title, help_text=info.description or "", required=False, widget=widget)


def _people(name: str, help_text: str) -> PeopleField:
    return PeopleField(label=DatasetConfig.model_fields[name].title, help_text=help_text, required=False)


class DatasetRunForm(ConfigForm):
    config_model = DatasetConfig
    basic = ("test_fraction", "dimensions", "sources", "aggregation", "pair_policy", "keep_ties")

    since = _day("since")
    until = _day("until")
    annotators = _people(
        "annotators", "Take the judgements of these people only, by user name. Empty takes everybody's."
    )
    exclude_annotators = _people("exclude_annotators", "Leave out the judgements of these people, by user name.")
    project = forms.ModelChoiceField(Project.objects.all(), help_text="Whose judgements to take.")


class ExportForm(forms.Form):
    """What to download of a version, and how."""

    SPLITS = (("", "all"), ("train", "training"), ("test", "held out"))
    RESPONSES = (("best", "the best"), ("edited", "edited ones"), ("edited-or-best", "edited, else the best"))

    def __init__(self, version: DatasetVersion, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", "auto_id": "export_%s", **options})
        formats = [(key, writer.label) for key, writer in FORMATS_OUT.items()]
        dimensions = [("", "all"), *((name, name) for name in version.counts["dimensions"])]
        # Not `format`: the API takes that word for its own.
        self.fields["as"] = forms.ChoiceField(label="Format", choices=formats)
        self.fields["dimension"] = forms.ChoiceField(label="Dimension", choices=dimensions, required=False)
        self.fields["split"] = forms.ChoiceField(label="Prompts", choices=self.SPLITS, required=False)
        self.fields["responses"] = forms.ChoiceField(
            label="Demonstrations",
            choices=self.RESPONSES,
            required=False,
            help_text="Which responses the SFT formats show.",
        )

    def options(self) -> dict[str, str]:
        """For `export_options`; call it when valid."""
        given = {name: self.cleaned_data[name] for name in ("dimension", "split")}
        return {**given, "responses": self.cleaned_data["responses"] or "best"}
