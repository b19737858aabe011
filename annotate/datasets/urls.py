from django.urls import path

from annotate.datasets import views, views_versions

urlpatterns = [
    path("datasets/", views.dataset_list, name="dataset-list"),
    path("datasets/new/", views.dataset_start, name="dataset-start"),
    path("datasets/<int:pk>/", views.dataset_detail, name="dataset-detail"),
    path("datasets/<int:pk>/files/<path:path>", views.dataset_file, name="dataset-file"),
    path("datasets/<int:pk>/archive/", views.dataset_archive, name="dataset-archive"),
    path("datasets/<int:pk>/plots/<str:name>", views_versions.dataset_plot, name="dataset-plot"),
    path("datasets/<int:pk>/export/", views_versions.dataset_export, name="dataset-export"),
    path("datasets/<int:pk>/lineage/", views_versions.dataset_lineage, name="dataset-lineage"),
    path("datasets/<int:pk>/diff/", views_versions.dataset_diff, name="dataset-diff"),
]
