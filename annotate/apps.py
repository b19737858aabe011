from typing import Any

from django.apps import AppConfig
from django.http import HttpRequest


class AnnotateConfig(AppConfig):
    name = "annotate"

    def ready(self) -> None:
        from annotate.datasets.kind import DatasetKind
        from annotate.generation.kind import GenerationKind
        from runs.kinds import register

        register(GenerationKind())
        register(DatasetKind())

    def dashboard(self, request: HttpRequest) -> list[dict[str, Any]]:
        """The projects and how far they are, for the admins' dashboard."""
        from annotate.projects.selectors import projects_with_progress

        projects = list(projects_with_progress()[:6])
        context = {"projects": projects[:5], "more": len(projects) > 5}
        return [{"position": 10, "template": "annotate/projects/_dashboard.html", "context": context}]
