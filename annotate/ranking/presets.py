"""What the built-in dimensions are called, in the reader's language."""

from __future__ import annotations

from django.utils.translation import gettext

from annotate.projects.services import PRESETS

_TEXTS = {preset[part] for preset in PRESETS for part in ("label", "question")}


def in_language(text: str) -> str:
    """A label or question as its reader sees it: translated if it is a built-in one, else as the project wrote it."""
    return gettext(text) if text in _TEXTS else text
