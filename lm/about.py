"""What is known of a model by its name alone: what others call it, and under which licence it stands."""

from __future__ import annotations

import re
from pathlib import Path

from lm.checks import ALIASES, is_local

# What the packaged files say of themselves: (name on the hub, licence).
PACKAGED = {"smollm2-135m-instruct": ("HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0")}
CARD = "README.md"


def public_name(name: str) -> str | None:
    """The name under which anybody can get the model; None for a directory of this machine."""
    if name in ALIASES:
        return PACKAGED[name][0]
    return None if is_local(name) or "/" not in name else name


def licence_of(name: str, models_dir: str | Path | None = None) -> str | None:
    """The licence that a model's own card names, such as `apache-2.0`; None where there is no card beside the weights.

    Only the front matter is believed: text below it may speak of licences of other things.
    """
    if name in PACKAGED:
        return PACKAGED[name][1]
    folder = Path(name).expanduser() if is_local(name) else Path(models_dir or ".") / name
    try:
        text = (folder / CARD).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    front = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    found = re.search(r"^license:[ \t]*['\"]?([\w.+-]+)['\"]?[ \t]*$", front[1], re.MULTILINE) if front else None
    return found[1].lower() if found else None
