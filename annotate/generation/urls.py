from django.urls import path

from annotate.generation import views

urlpatterns = [
    path("generators/", views.generator_list, name="generator-list"),
    path("generators/new/", views.generator_new, name="generator-new"),
    path("generators/<int:pk>/", views.generator_detail, name="generator-detail"),
    path("projects/<slug:slug>/generate/", views.generation_start, name="generation-start"),
    path("projects/<slug:slug>/responses/", views.response_list, name="response-list"),
]
