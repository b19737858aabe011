"""The endpoints of every room; each room keeps its own."""

from rest_framework.routers import BaseRouter

import annotate.datasets.api
import annotate.generation.api
import annotate.gold.api
import annotate.importing.api
import annotate.projects.api
import annotate.quality.api
import annotate.ranking.api
import annotate.review.api


def register_api(router: BaseRouter) -> None:
    rooms = (
        annotate.projects,
        annotate.importing,
        annotate.generation,
        annotate.datasets,
        annotate.gold,
        annotate.quality,
        annotate.ranking,
        annotate.review,
    )
    for room in rooms:
        room.api.register_api(router)
