from django.urls import path

from annotate.quality import views

urlpatterns = [
    path("projects/<slug:slug>/quality/", views.quality, name="quality"),
    path("projects/<slug:slug>/quality/figures", views.quality_figures, name="quality-figures"),
    path("projects/<slug:slug>/quality/recompute", views.quality_recompute, name="quality-recompute"),
]
