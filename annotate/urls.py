"""The pages of every room; each room keeps its own list."""

import annotate.datasets.urls
import annotate.generation.urls
import annotate.gold.urls
import annotate.importing.urls
import annotate.projects.urls
import annotate.quality.urls
import annotate.ranking.urls
import annotate.review.urls

app_name = "annotate"
urlpatterns = [
    *annotate.projects.urls.urlpatterns,
    *annotate.importing.urls.urlpatterns,
    *annotate.generation.urls.urlpatterns,
    *annotate.datasets.urls.urlpatterns,
    *annotate.gold.urls.urlpatterns,
    *annotate.quality.urls.urlpatterns,
    *annotate.review.urls.urlpatterns,
    *annotate.ranking.urls.urlpatterns,
]
