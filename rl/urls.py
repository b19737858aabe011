from django.urls import path

from rl import views

app_name = "rl"
urlpatterns = [
    path("policies/", views.policy_list, name="policy-list"),
    path("policies/new/", views.policy_choose, name="policy-choose"),
    path("policies/new/<str:algorithm>/", views.policy_start, name="policy-start"),
    path("policies/<int:pk>/", views.policy_detail, name="policy-detail"),
    path("policies/<int:pk>/merge/", views.policy_merge, name="policy-merge"),
    path("evaluations/", views.evaluation_list, name="evaluation-list"),
    path("evaluations/new/", views.evaluation_start, name="evaluation-start"),
    path("evaluations/<int:pk>/", views.evaluation_detail, name="evaluation-detail"),
]
