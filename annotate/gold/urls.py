from django.urls import path

from annotate.gold import views

urlpatterns = [
    path("projects/<slug:slug>/gold/", views.gold_list, name="gold-list"),
    path("projects/<slug:slug>/gold/new/<int:pk>/", views.gold_new, name="gold-new"),
    path("projects/<slug:slug>/gold/<int:pk>/", views.gold_edit, name="gold-edit"),
    path("projects/<slug:slug>/gold/<int:pk>/remove", views.gold_delete, name="gold-remove"),
]
