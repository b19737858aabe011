from django.urls import path

from runs import api, views

app_name = "runs"
urlpatterns = [
    path("runs/", views.run_list, name="list"),
    path("runs/metrics/", views.metrics_help, name="metrics"),
    path("runs/<int:pk>/", views.run_detail, name="detail"),
    path("runs/<int:pk>/live/", views.run_live, name="live"),
    path("runs/<int:pk>/log/", views.run_log, name="log"),
    path("runs/<int:pk>/tensorboard/", views.run_tensorboard, name="tensorboard"),
    path("runs/<int:pk>/cancel/", views.run_cancel, name="cancel"),
    path("runs/<int:pk>/retry/", views.run_retry, name="retry"),
    # Files keep their own names at the end of the address, so these are not the router's.
    path("api/v1/artifacts/<int:pk>/archive", api.artifact_archive, name="artifact-archive"),
    path("api/v1/artifacts/<int:pk>/files/<path:path>", api.artifact_file, name="artifact-file"),
]
