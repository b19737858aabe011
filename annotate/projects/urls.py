from django.urls import path

from annotate.projects import views, views_comparisons, views_people, views_setup

urlpatterns = [
    path("projects/", views.project_list, name="project-list"),
    path("projects/new/", views_setup.project_new, name="project-new"),
    path("projects/new/preview", views_setup.project_preview, name="project-preview"),
    path("projects/<slug:slug>/", views.project_detail, name="project-detail"),
    path("projects/<slug:slug>/edit/", views_setup.project_edit, name="project-edit"),
    path("projects/<slug:slug>/guidelines/", views_setup.guidelines_history, name="guidelines-history"),
    path("projects/<slug:slug>/comparisons/", views_comparisons.comparison_list, name="comparison-list"),
    path("projects/<slug:slug>/comparisons/change", views_comparisons.comparisons_act, name="comparisons-act"),
    path("projects/<slug:slug>/people/", views_people.project_people, name="project-people"),
    path("projects/<slug:slug>/people/<int:pk>/", views_people.membership, name="membership"),
    path("projects/<slug:slug>/prompts/", views.prompt_list, name="prompt-list"),
    path("projects/<slug:slug>/prompts/<int:pk>/", views.prompt_detail, name="prompt-detail"),
    path("people/", views_people.people, name="people"),
    path("people/change", views_people.people_act, name="people-act"),
    path("people/memberships/<int:pk>", views_people.membership_switch, name="membership-switch"),
    path("people/invitations/<int:pk>/revoke", views_people.invitation_cancel, name="invitation-revoke"),
    path("invitation/<str:token>/", views_people.invitation, name="invitation"),
]
