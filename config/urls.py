"""Where every page and endpoint lives. Each app brings its own; this page only says under which path."""

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.routers import DefaultRouter

import accounts.api
import annotate.api
import rewardmodel.api
import rl.api
import runs.api
from config import views

router = DefaultRouter()
router.include_root_view = False
for app in (accounts, runs, annotate, rewardmodel, rl):
    app.api.register_api(router)

urlpatterns = [
    path("", views.home, name="home"),
    path("", include("accounts.urls")),
    path("", include("runs.urls")),
    path("", include("annotate.urls")),
    path("", include("rewardmodel.urls")),
    path("", include("rl.urls")),
    path("admin/", admin.site.urls),
    path("api/v1/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/v1/docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="api-docs"),
    path("api/v1/", include((router.urls, "api"))),
]
handler403 = "config.views.forbidden"
handler404 = "config.views.not_found"
handler500 = "config.views.server_error"
