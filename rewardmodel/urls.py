from django.urls import path

from rewardmodel import views
from rewardmodel.evaluation import views as evaluation
from rewardmodel.scoring import views as scoring

app_name = "rewardmodel"
urlpatterns = [
    path("reward-models/", views.run_list, name="list"),
    path("reward-models/new/", views.run_start, name="start"),
    path("reward-models/compare/", views.compare, name="compare"),
    path("reward-models/<int:pk>/", views.detail, name="detail"),
    path("reward-models/<int:pk>/score/", scoring.score_start, name="score"),
    path("reward-models/<int:pk>/evaluate/", evaluation.evaluation_start, name="evaluate"),
    path("reward-models/evaluations/", evaluation.evaluation_list, name="evaluations"),
    path("reward-models/evaluations/<int:pk>/", evaluation.evaluation_show, name="evaluation"),
    path("reward-models/evaluations/<int:pk>/pairs/", evaluation.evaluation_pairs, name="evaluation-pairs"),
    path("reward-models/evaluations/<int:pk>/items.jsonl", evaluation.evaluation_download, name="evaluation-file"),
    path("scores/<int:pk>/", scoring.score_show, name="scores"),
    path("scores/<int:pk>/scores.jsonl", scoring.score_download, name="scores-file"),
]
