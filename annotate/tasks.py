"""Celery finds tasks here; each room keeps its own, named `annotate.tasks.<name>`."""

import annotate.importing.tasks
import annotate.quality.tasks
import annotate.ranking.tasks  # noqa: F401
