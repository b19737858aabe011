from django.urls import path

from annotate.ranking import views, views_home

urlpatterns = [
    path("annotate/", views_home.home, name="home"),
    path("annotate/history/", views_home.history, name="history"),
    path("annotate/assignments/<int:pk>/", views.assignment, name="assignment"),
    path("annotate/assignments/<int:pk>/draft", views.draft, name="assignment-draft"),
    path("annotate/assignments/<int:pk>/submit", views.submit, name="assignment-submit"),
    path("annotate/assignments/<int:pk>/skip", views.skip, name="assignment-skip"),
    path("annotate/assignments/<int:pk>/ahead", views.ahead, name="assignment-ahead"),
    path("annotate/<slug:slug>/guidelines/", views_home.guidelines, name="guidelines"),
    path("annotate/<slug:slug>/guidelines/text", views.guidelines_text, name="guidelines-text"),
    path("annotate/<slug:slug>/next", views.next_assignment, name="next"),
    path("annotate/<slug:slug>/undo", views.undo, name="undo"),
]
