from django.urls import path

from annotate.datasets import views

urlpatterns = [
    path("datasets/", views.dataset_list, name="dataset-list"),
    path("datasets/new/", views.dataset_start, name="dataset-start"),
    path("datasets/<int:pk>/", views.dataset_detail, name="dataset-detail"),
    path("datasets/<int:pk>/files/<path:path>", views.dataset_file, name="dataset-file"),
    path("datasets/<int:pk>/archive/", views.dataset_archive, name="dataset-archive"),
]
