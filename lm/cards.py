"""Pieces of a model card: Markdown that hostile words cannot break, and front matter that the model hub reads."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any


def front_matter(fields: Mapping[str, Any]) -> list[str]:
    """YAML between its lines. JSON is YAML, so every value is written as JSON; what is None is left out."""
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in fields.items() if value is not None]
    return ["---", *lines, "---", ""]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table of cells that are Markdown already, and an empty line; nothing without rows."""
    if not rows:
        return []
    return [_row(head), _row(["---"] * len(head)), *map(_row, rows), ""]


def plain(text: object) -> str:
    """Words of people or models as one line of text: no markup, no line ends."""
    return re.sub(r"([\\`*_\[\]<>|#!])", r"\\\1", " ".join(str(text).split()))


def code(text: object) -> str:
    """A name as code within a line. A backtick cannot be quoted there, so it becomes an apostrophe."""
    return f"`{' '.join(str(text).split()).replace('`', chr(39)).replace('|', '¦')}`" if str(text).strip() else "–"


def fenced(text: str, language: str = "text") -> list[str]:
    """A block of text as it is, within a fence longer than any in it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", *text.replace("\r", "").split("\n"), fence, ""]


def estimate(value: Mapping[str, Any] | None, *, percent: bool = False) -> str:
    """{"value", "low", "high"} as a figure with its interval in brackets."""
    if not value:
        return "–"
    return f"{figure(value['value'], percent=percent)} [{figure(value['low'], percent=percent)}, " + (
        f"{figure(value['high'], percent=percent)}]"
    )


def figure(value: object, *, percent: bool = False) -> str:
    """A number as people read it; – for none."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return "–"
    return f"{100 * value:.1f} %" if percent else f"{value:.4g}"


def hub_name(model: str) -> str | None:
    """The name if it may be one of the hub: owner/name, and no path of a machine."""
    return model if re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", model) else None


def settings_table(config: Mapping[str, Any]) -> list[str]:
    """Every setting with its value, nested ones by dotted names."""
    return table(["setting", "value"], [[code(name), code(_shown(value))] for name, value in sorted(_flat(config))])


def _flat(config: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            found += _flat(value, f"{prefix}{name}.")
        else:
            found.append((f"{prefix}{name}", value))
    return found


def _shown(value: Any) -> str:
    if value is None or value in ("", [], {}, ()):
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
