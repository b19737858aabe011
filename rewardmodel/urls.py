from django.urls import path

from rewardmodel import views

app_name = "rewardmodel"
urlpatterns = [
    path("reward-models/", views.run_list, name="list"),
    path("reward-models/new/", views.run_start, name="start"),
    path("reward-models/<int:pk>/", views.detail, name="detail"),
]
