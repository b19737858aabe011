from django.urls import path

from annotate.review import views, views_withdrawals

urlpatterns = [
    path("annotate/review/<int:pk>/", views.review, name="review"),
    path("annotate/comparisons/<int:pk>/", views.comparison, name="comparison"),
    path("annotate/<slug:slug>/review/", views.queue, name="review-queue"),
    path("projects/<slug:slug>/withdrawals/", views_withdrawals.withdrawal_list, name="withdrawal-list"),
    path("projects/<slug:slug>/withdrawals/new/<int:user>/", views_withdrawals.withdraw, name="withdraw"),
    path("projects/<slug:slug>/withdrawals/<int:pk>/restore", views_withdrawals.restore, name="withdrawal-restore"),
]
