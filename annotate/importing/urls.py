from django.urls import path

from annotate.importing import views

urlpatterns = [
    path("projects/<slug:slug>/import/", views.import_new, name="prompt-import"),
    path("projects/<slug:slug>/import/<int:pk>/", views.import_show, name="import-preview"),
    path("projects/<slug:slug>/import/<int:pk>/settings", views.import_settings, name="import-settings"),
    path("projects/<slug:slug>/import/<int:pk>/confirm", views.import_confirm, name="import-confirm"),
    path("projects/<slug:slug>/import/<int:pk>/discard", views.import_cancel, name="import-discard"),
    path("projects/<slug:slug>/import/<int:pk>/live", views.import_live, name="import-live"),
    path("projects/<slug:slug>/import/<int:pk>/complaints.csv", views.import_complaints, name="import-complaints"),
]
