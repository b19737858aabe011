"""What admins fill in about files on their way in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile, File
from django.http import QueryDict

from annotate.formats.limits import size
from annotate.formats.reading import FORMATS_IN
from annotate.importing.models import Import
from annotate.importing.services import LARGEST

PASTED = "pasted lines"


class UploadForm(forms.Form):
    """A file, or its lines pasted."""

    file = forms.FileField(
        required=False,
        help_text=f"JSON Lines, JSON, CSV, Parquet or xlsx, also as .gz or .zst, up to {size(LARGEST)}.",
    )
    text = forms.CharField(
        required=False,
        label="Or paste lines",
        strip=False,
        widget=forms.Textarea(attrs={"rows": 8, "class": "mono", "spellcheck": "false"}),
    )
    companion = forms.FileField(
        required=False,
        label="Second file",
        help_text="Only where votes refer to a file of texts, or for LLaMA-Factory's dataset_info.json.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        # An empty file arrives as a field error of its own.
        if not self.errors and bool(cleaned.get("file")) == bool((cleaned.get("text") or "").strip()):
            raise ValidationError("Choose a file or paste some lines, one of the two.")
        return cleaned

    def upload(self) -> dict[str, Any]:
        """For `import_upload`; call it when valid."""
        given = self.cleaned_data
        file: File = given["file"] or ContentFile(given["text"].encode("utf-8", "replace"))
        second = given["companion"]
        return {
            "file": file,
            "filename": given["file"].name if given["file"] else PASTED,
            "companion": second,
            "companion_filename": second.name if second else "",
        }


def settings_posted(upload: Import, data: QueryDict) -> dict[str, Any]:
    """The settings that the preview page sends. Columns and dimensions are those of the format that it showed, so they
    are dropped where another format was chosen."""
    format = data.get("format", "")
    settings: dict[str, Any] = {
        **{name: upload.settings[name] for name in ("limit", "roles", "dimension") if upload.settings.get(name)},
        "format": format,
        "good_rows": data.get("rows") == "good",
        "keep_empty": "keep_empty" in data,
        "queue": "queue" in data,
    }
    if data.get("round"):
        settings["round"] = data["round"]
    if format == data.get("shown"):
        columns = zip(data.getlist("column"), data.getlist("column_to"), strict=False)
        settings["mapping"] = {name: to for name, to in columns if to and to != name}
        given = zip(data.getlist("dimension_name"), data.getlist("dimension_to"), strict=False)
        settings["dimensions"] = {name: to for name, to in given if name}
    return settings


def format_choices(seen: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Formats to choose among: what the file may be, the likeliest first, then all others by name."""
    likely = {one["format"]: one for one in seen["formats"]}
    others = sorted((form.label, key) for key, form in FORMATS_IN.items() if key not in likely)
    return [
        *({"key": key, "label": one["label"], "confidence": one["confidence"]} for key, one in likely.items()),
        *({"key": key, "label": label, "confidence": None} for label, key in others),
    ]


def column_choices(upload: Import, seen: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The columns that the format knows, and which of the file's stands for each."""
    if seen["format"] not in FORMATS_IN:
        return []
    mapping, there = upload.settings.get("mapping", {}), seen["columns"]
    return [
        {"name": name, "to": mapping.get(name) or (name if name in there else "")}
        for name in FORMATS_IN[seen["format"]].columns
    ]
