"""The set-up page: one form for a project's own fields, and rows for its dimensions, attributes and flags.

Rows are plain formsets, so everything works without scripts: spare rows are filled in, emptied rows are removed, and a
number says in what order they come. With scripts, buttons do that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError

from annotate.projects.models import KEY, Attribute, Dimension, Project, default_flags
from annotate.projects.questions import BUILT_IN, LONGEST_FLAG, Locks, key_of, locks
from annotate.projects.services import PRESETS
from annotate.ranking.vocabulary import PROMPT_FLAGS, RESPONSE_FLAGS

TASKS = {
    Project.Task.RANKING: (
        "Ranking",
        "Order all responses from best to worst, ties allowed. Says most per minute of reading.",
    ),
    Project.Task.PAIRWISE: ("Pairwise", "A, B, a tie or both bad, one key each. Two responses per comparison: K is 2."),
    Project.Task.BEST: ("Best of K", "Choose the best response; nothing is said about the others among themselves."),
    Project.Task.RATING: ("Rating", "Points for each response on each dimension; the ranking follows from the points."),
}
BUILT_IN_LABELS = {"prompt": PROMPT_FLAGS, "response": RESPONSE_FLAGS}
SECTIONS = ("dimensions", "attributes", "flags")


class PercentField(forms.FloatField):
    """A share, kept as 0 to 1 and written in per cent."""

    def __init__(self, *, highest: int = 100, **kwargs: Any) -> None:
        widget = forms.NumberInput(attrs={"min": 0, "max": highest, "step": "any"})
        super().__init__(widget=widget, **kwargs)
        self.highest = highest

    def prepare_value(self, value: Any) -> Any:
        return f"{100 * value:.10g}" if isinstance(value, float | int) else value

    def clean(self, value: Any) -> float | None:
        given = super().clean(value)
        if given is None:
            return None
        if not 0 <= given <= self.highest:
            raise ValidationError(f"Give a share from 0 to {self.highest} %.")
        return given / 100


class ProjectForm(forms.ModelForm):
    """The project's own fields; `section(...)` gives those of one part of the page."""

    qualification_threshold = PercentField(
        label="Passed from (%)", help_text="How much of the gold must be ordered as in the gold."
    )
    gold_rate = PercentField(
        highest=50, label="Hidden gold (%)", help_text="Share of what is handed out whose answer is known. 0: none."
    )
    adjudicate_above = PercentField(
        label="To a reviewer from (%)",
        help_text="Share of response pairs that the judgements of a comparison disagree on.",
    )
    prompt_flags = forms.MultipleChoiceField(
        required=False, widget=forms.CheckboxSelectMultiple, label="About the prompt", choices=[*PROMPT_FLAGS.items()]
    )
    response_flags = forms.MultipleChoiceField(
        required=False, widget=forms.CheckboxSelectMultiple, label="About a response", choices=[*RESPONSE_FLAGS.items()]
    )

    class Meta:
        model = Project
        fields = [
            "name",
            "description",
            "task",
            "rating_points",
            "ask_strength",
            "ask_rationale",
            "ask_edit",
            "k",
            "overlap",
            "lease_minutes",
            "daily_limit",
            "total_limit",
            "is_paused",
            "must_qualify",
            "qualification_threshold",
            "gold_rate",
            "gold_feedback",
            "adjudicate_above",
            "guidelines",
        ]
        widgets = {
            "task": forms.RadioSelect,
            "description": forms.Textarea(attrs={"rows": 2}),
            "guidelines": forms.Textarea(attrs={"rows": 16, "spellcheck": "true"}),
        }
        labels = {
            "lease_minutes": "Lease (minutes)",
            "daily_limit": "Per person and day",
            "total_limit": "Per person in all",
            "must_qualify": "New annotators qualify first",
            "gold_feedback": "Tell annotators how they did on gold",
            "ask_strength": "Strength of preference",
            "ask_edit": "Editing the best response",
            "is_paused": "Paused",
        }

    def __init__(self, *args: Any, locked: Locks, **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})
        for name in self.Meta.fields:
            # The page brings back what it showed, so that saving it undoes nothing that was changed since elsewhere.
            self.fields[name].show_hidden_initial = bool(self.instance.pk)
        flags = self.instance.flags if self.instance.pk else default_flags()
        for name in ("qualification_threshold", "gold_rate", "adjudicate_above"):
            self.fields[name].initial = getattr(self.instance, name)
        for about in BUILT_IN_LABELS:
            self.fields[f"{about}_flags"].initial = [f["key"] for f in flags if _is_built_in(f, about)]
        if locked.judgements:
            self._lock("task", "People have judged here under this task; answers of another would not compare.")
            if self.instance.task == Project.Task.RATING:
                self._lock("rating_points", "There are ratings on this scale; 4 of 5 is not 4 of 10.")
        if locked.comparisons:
            kept = f"Holds for comparisons made from now on; the {locked.comparisons:,} there are keep theirs."
            self.fields["k"].help_text = kept
            self.fields["overlap"].help_text = f"{kept} Theirs can be changed in the list of comparisons."
        if not self.instance.pk:
            del self.fields["is_paused"]

    def _lock(self, name: str, why: str) -> None:
        self.fields[name].disabled = True
        self.fields[name].help_text = f"Locked. {why}"

    def tasks(self) -> Iterator[tuple[Any, str, str]]:
        """(radio button, its name, what it means)"""
        for radio in self["task"]:
            yield radio, *TASKS[Project.Task(radio.data["value"])]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("task") == Project.Task.PAIRWISE:
            cleaned["k"] = 2
        return cleaned

    def flags(self) -> list[dict[str, str]]:
        """The built-in flags that are chosen."""
        chosen = {about: self.cleaned_data.get(f"{about}_flags", []) for about in BUILT_IN_LABELS}
        return [flag for flag in default_flags() if flag["key"] in chosen[flag["about"]]]


def _is_built_in(flag: Mapping[str, str], about: str) -> bool:
    return flag["about"] == about and not flag.get("label") and (about, flag["key"]) in BUILT_IN


class Row(forms.Form):
    """One row. An empty one says nothing; in others a label is enough, for a key can be made of it."""

    key = forms.CharField(
        max_length=40,
        required=False,
        validators=[KEY],
        widget=forms.TextInput(attrs={"placeholder": "from the label", "autocomplete": "off", "spellcheck": "false"}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "label_suffix": ""})

    def said(self) -> dict[str, Any]:
        """What the row says, without what the page adds to it."""
        return {name: value for name, value in self.cleaned_data.items() if name not in ("ORDER", "DELETE")}

    def is_blank(self) -> bool:
        return not self.cleaned_data.get("label") and not self.cleaned_data.get("key")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not self.errors and self.is_blank() and any(cleaned.get(name) for name in self.counted()):
            self.add_error("label", "Give it a label.")
        return cleaned

    def counted(self) -> tuple[str, ...]:
        """Fields that make a row without a label incomplete rather than empty."""
        return ()


class DimensionRow(Row):
    label = forms.CharField(max_length=60, required=False)
    question = forms.CharField(max_length=300, required=False, label="Question to the annotator")
    field_order = ["label", "question", "key"]

    def counted(self) -> tuple[str, ...]:
        return ("question",)


class AttributeRow(Row):
    label = forms.CharField(max_length=60, required=False)
    points = forms.IntegerField(min_value=2, max_value=10, required=False, initial=5, label="1 to")
    low = forms.CharField(max_length=60, required=False, label="1 means")
    high = forms.CharField(max_length=60, required=False, label="The highest means")
    field_order = ["label", "points", "low", "high", "key"]

    def counted(self) -> tuple[str, ...]:
        return ("low", "high")


class FlagRow(Row):
    label = forms.CharField(max_length=LONGEST_FLAG, required=False)
    about = forms.ChoiceField(choices=[("response", "a response"), ("prompt", "the prompt")], required=False)
    field_order = ["label", "about", "key"]


class Rows(forms.BaseFormSet):
    """Rows in the order that was asked for."""

    def rows(self) -> list[dict[str, Any]]:
        """What the filled-in rows say, with a key each; rows with errors are left out."""
        kept = [
            form
            for form in self.forms
            if form.is_valid() and form.cleaned_data and not form.is_blank() and not form.cleaned_data.get("DELETE")
        ]
        kept.sort(key=lambda form: form.cleaned_data.get("ORDER") or len(self.forms) + 1)
        result = []
        for number, form in enumerate(kept, start=1):
            said = form.said()
            result.append(said | {"key": said["key"] or key_of(said["label"], f"{self.prefix}_{number}")})
        return result


def _rows(row: type[Row], extra: int, most: int) -> type[Rows]:
    return forms.formset_factory(
        row, formset=Rows, extra=extra, can_order=True, can_delete=True, max_num=most, absolute_max=most + extra
    )


DimensionRows = _rows(DimensionRow, 2, 20)
AttributeRows = _rows(AttributeRow, 2, 20)
FlagRows = _rows(FlagRow, 2, 20)


class ProjectSetup:
    """Everything the set-up page asks, bound to `data` if there is any."""

    def __init__(self, data: Any = None, project: Project | None = None) -> None:
        self.locked = locks(project)
        # The form cleans into the instance it is given; whoever holds `project` keeps it as it is.
        instance = Project.objects.get(pk=project.pk) if project else None
        self.form = ProjectForm(data, instance=instance, locked=self.locked)
        dimensions: list[Mapping[str, Any]] = list(PRESETS)
        attributes: list[Mapping[str, Any]] = []
        flags: list[Mapping[str, Any]] = []
        if project is not None:
            dimensions = list(project.dimensions.values("key", "label", "question"))
            attributes = list(project.attributes.values("key", "label", "points", "low", "high"))
            flags = [flag for flag in project.flags if not _is_built_in(flag, flag["about"])]
        self.dimensions = DimensionRows(data, initial=dimensions, prefix="dimension")
        self.attributes = AttributeRows(data, initial=attributes, prefix="attribute")
        self.flags = FlagRows(data, initial=flags, prefix="flag")
        for rows, used in ((self.dimensions, self.locked.dimensions), (self.attributes, self.locked.attributes)):
            for form in rows.forms:
                form.is_locked = form.initial.get("key") in used
                if form.is_locked:
                    form.fields["key"].widget.attrs["readonly"] = True
                    if "points" in form.fields:
                        form.fields["points"].widget.attrs["readonly"] = True
        self.complaints: dict[str, list[str]] = {}  # of the service, about a section as a whole

    def is_valid(self) -> bool:
        """Whether all parts are; all of them are looked at, so that all errors are shown."""
        valid = [part.is_valid() for part in (self.form, self.dimensions, self.attributes, self.flags)]
        return all(valid)

    @property
    def has_errors(self) -> bool:
        rows = (self.dimensions, self.attributes, self.flags)
        return bool(self.form.errors or self.complaints or any(part.total_error_count() for part in rows))

    def values(self) -> dict[str, Any]:
        """Arguments of `project_create`, of the parts that are valid."""
        given = {name: value for name, value in self.form.cleaned_data.items() if name in self.form.Meta.fields}
        return given | self._rows()

    def changes(self) -> dict[str, Any]:
        """Arguments of `project_update`: of the project's own fields, those that differ from what the page showed."""
        shown = {name for name in self.form.Meta.fields if f"initial-{name}" in self.form.data}
        changed = set(self.form.changed_data)
        return {name: value for name, value in self.values().items() if name not in shown or name in changed}

    def _rows(self) -> dict[str, Any]:
        return {
            "dimensions": self.dimensions.rows(),
            "attributes": self.attributes.rows(),
            "flags": [*self.form.flags(), *({**row, "label": row["label"] or row["key"]} for row in self.flags.rows())],
        }

    def refuse(self, error: ValidationError) -> None:
        """Show what a service refused beside what it is about."""
        by_field = error.message_dict if hasattr(error, "error_dict") else {NON_FIELD_ERRORS: error.messages}
        for name, messages in by_field.items():
            if name in SECTIONS:
                self.complaints.setdefault(name, []).extend(messages)
            else:
                for message in messages:
                    self.form.add_error(name if name in self.form.fields else None, message)

    def project(self) -> Project:
        """The project as the page has it now, saved nowhere; fields with errors keep what they were."""
        self.is_valid()
        project = self.form.instance
        before = Project.objects.get(pk=project.pk) if project.pk else Project()
        for name in self.form.errors.keys() & set(self.form.Meta.fields):
            setattr(project, name, getattr(before, name))
        if project.task == Project.Task.PAIRWISE:
            project.k = 2
        values = self.values()
        project.flags = values["flags"]
        dimensions = values["dimensions"] or list(PRESETS)
        project.pk, project.slug = project.pk or 0, project.slug or "new"
        # As prefetch_related would leave them: whoever reads the project's questions finds the unsaved ones.
        project._prefetched_objects_cache = {
            "dimensions": _unsaved(Dimension, project, dimensions),
            "attributes": _unsaved(Attribute, project, values["attributes"]),
        }
        return project


def _unsaved(model: type[Any], project: Project, rows: list[Mapping[str, Any]]) -> Any:
    made = [model(project=project, position=at, **_filled(row)) for at, row in enumerate(rows)]
    found = model.objects.none()
    found._result_cache, found._prefetch_done = made, True
    return found


def _filled(row: Mapping[str, Any]) -> dict[str, Any]:
    label = row.get("label") or str(row["key"]).replace("_", " ").capitalize()
    return {name: value for name, value in row.items() if value is not None} | {"label": label}
