from typing import Any

from django.apps import AppConfig
from django.http import HttpRequest


class RunsConfig(AppConfig):
    name = "runs"

    def ready(self) -> None:
        from runs import shutdown  # noqa: F401 - it listens to the worker's signals

    def dashboard(self, request: HttpRequest) -> list[dict[str, Any]]:
        """Active and recent runs, for the admins' dashboard."""
        from runs.selectors import dashboard_runs

        return [{"position": 60, "template": "runs/_dashboard.html", "context": dashboard_runs()}]
