"""What a project asks, kept in each process for a moment: every request needs it, and it hardly ever changes."""

from __future__ import annotations

import time
from typing import Any

from django.db.models import prefetch_related_objects

from annotate.projects.models import Project

KEPT_SECONDS = 5.0
MOST = 1000  # projects
ASKED = ("dimensions", "attributes")

_kept: dict[tuple[int, float], tuple[float, dict[str, Any]]] = {}


def with_questions(project: Project) -> Project:
    """The project with its dimensions and attributes at hand, as if prefetched.

    Saving the project ends what is kept at once; a change of a dimension alone is seen after KEPT_SECONDS.
    """
    key = (project.pk, project.updated_at.timestamp())
    found = _kept.get(key)
    if found is None or time.monotonic() - found[0] > KEPT_SECONDS:
        prefetch_related_objects([project], *ASKED)
        if len(_kept) > MOST:
            _kept.clear()
        cache = project._prefetched_objects_cache
        found = _kept[key] = (time.monotonic(), {name: cache[name] for name in ASKED})
    project._prefetched_objects_cache = dict(found[1])
    return project
