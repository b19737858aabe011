"""Settings and results of runs as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from config.templatetags.plumbline import filesize, interval


def figures_flat(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings or figures as dotted names, each as people read it."""
    found: list[tuple[str, str]] = []
    for name, item in value.items():
        if isinstance(item, dict) and {"value", "low", "high"} <= item.keys():
            found.append((f"{prefix}{name}", interval(item)))
        elif isinstance(item, dict):
            found += figures_flat(item, f"{prefix}{name}.")
        else:
            found.append((f"{prefix}{name}", _shown(name, item)))
    return found


def _shown(name: str, value: Any) -> str:
    if value is None or value == "" or value == []:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name.endswith("_bytes"):
        return filesize(value)
    if isinstance(value, float):
        return f"{value:.6g}".replace("-", "−")
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
