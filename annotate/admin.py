"""Django admin: each room registers its own models."""

import annotate.datasets.admin
import annotate.generation.admin
import annotate.gold.admin
import annotate.importing.admin
import annotate.projects.admin
import annotate.quality.admin
import annotate.ranking.admin
import annotate.review.admin  # noqa: F401
