from typing import Any

from django.apps import AppConfig
from django.http import HttpRequest


class AnnotateConfig(AppConfig):
    name = "annotate"

    def ready(self) -> None:
        from annotate.datasets.kind import DatasetKind
        from annotate.generation.kind import GenerationKind
        from annotate.importing.kind import ImportKind
        from runs.kinds import register

        register(GenerationKind())
        register(DatasetKind())
        register(ImportKind())

    def dashboard(self, request: HttpRequest) -> list[dict[str, Any]]:
        """The projects and how far they are, for the admins' dashboard."""
        from annotate.projects.selectors import projects_with_progress

        projects = projects_with_progress(limit=6)
        context = {"projects": projects[:5], "more": len(projects) > 5}
        return [{"position": 10, "template": "annotate/projects/_dashboard.html", "context": context}]

    def audit_scopes(self, keys: set[str]) -> dict[str, tuple[str, str]]:
        """Names and pages of the projects that audit entries belong to."""
        from annotate.projects.models import Project

        ids = [key.removeprefix("project:") for key in keys if key.startswith("project:")]
        projects = Project.objects.filter(pk__in=[pk for pk in ids if pk.isdecimal() and len(pk) < 19])
        return {f"project:{project.pk}": (project.name, project.get_absolute_url()) for project in projects}
