"""The front door, the admins' dashboard, and the pages for when something is wrong."""

from __future__ import annotations

from django.apps import apps
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render


@login_required
def home(request: HttpRequest) -> HttpResponse:
    """Admins see the dashboard, annotators their queue.

    The dashboard is made of panels that the apps bring (`AppConfig.dashboard`), since config knows no domain.
    """
    if not request.user.is_staff:
        return redirect("annotate:home")
    panels = [panel for app in apps.get_app_configs() if hasattr(app, "dashboard") for panel in app.dashboard(request)]
    return render(request, "dashboard.html", {"panels": sorted(panels, key=lambda panel: panel["position"])})


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return render(request, "403.html", status=403)


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return render(request, "404.html", status=404)


def server_error(request: HttpRequest) -> HttpResponse:
    return render(request, "500.html", status=500)
