"""Celery finds tasks here; each room keeps its own, named `annotate.tasks.<name>`."""

import annotate.quality.tasks  # noqa: F401
import annotate.ranking.tasks  # noqa: F401
