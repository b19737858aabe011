from django.urls import path

from rewardmodel import views
from rewardmodel.scoring import views as scoring

app_name = "rewardmodel"
urlpatterns = [
    path("reward-models/", views.run_list, name="list"),
    path("reward-models/new/", views.run_start, name="start"),
    path("reward-models/<int:pk>/", views.detail, name="detail"),
    path("reward-models/<int:pk>/score/", scoring.score_start, name="score"),
    path("scores/<int:pk>/", scoring.score_show, name="scores"),
    path("scores/<int:pk>/scores.jsonl", scoring.score_download, name="scores-file"),
]
