"""How audit entries read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import template

LONGEST = 300  # characters of a value that a table shows

register = template.Library()


@register.filter
def lookup(mapping: Mapping[str, Any], key: str) -> Any:
    return mapping.get(key)


@register.filter
def details_lines(details: Mapping[str, Any]) -> list[tuple[str, str]]:
    """[(name, words)]; `changed`, {field: [from, to]}, becomes a line a field."""
    lines = []
    for name, value in details.items():
        if name == "changed" and isinstance(value, Mapping):
            lines += [(_words(field), _change(what)) for field, what in value.items()]
        else:
            lines.append((_words(name), _say(value)))
    return lines


def _change(what: Any) -> str:
    return f"{_say(what[0])} → {_say(what[1])}" if isinstance(what, list) and len(what) == 2 else _say(what)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _say(value: Any) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(_say(each) for each in value) or "–"
    if isinstance(value, Mapping):
        return ", ".join(f"{_words(name)}: {_say(each)}" for name, each in value.items()) or "–"
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
