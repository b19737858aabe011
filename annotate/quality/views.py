"""The quality page of a project, for admins."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from accounts.models import User
from accounts.permissions import admin_required
from annotate.projects.models import Project
from annotate.quality.page import quality_page
from annotate.quality.services import quality_report_request


@never_cache
@admin_required
@require_GET
def quality(request: HttpRequest, slug: str) -> HttpResponse:
    """How well annotators agree, who is reliable, and what biases show."""
    project = get_object_or_404(Project, slug=slug)
    return render(request, "annotate/quality/quality.html", quality_page(project, request.GET.get("group", "")))


@never_cache
@admin_required
@require_GET
def quality_figures(request: HttpRequest, slug: str) -> HttpResponse:
    """The part of the page that changes when a new report is there; 204, which changes nothing, until then."""
    project = get_object_or_404(Project, slug=slug)
    context = quality_page(project, request.GET.get("group", ""))
    if context["waiting"] and not context["stuck"]:
        return HttpResponse(status=204)
    return render(request, "annotate/quality/_figures.html", context)


@admin_required
@require_POST
def quality_recompute(request: HttpRequest, slug: str) -> HttpResponse:
    """Ask for a new report. With htmx the figures stay where they are, under a line that says what is happening."""
    project = get_object_or_404(Project, slug=slug)
    assert isinstance(request.user, User)
    quality_report_request(project=project, by=request.user)
    if not request.htmx:  # type: ignore[attr-defined]
        return redirect("annotate:quality", project.slug)
    return render(request, "annotate/quality/_figures.html", quality_page(project, request.POST.get("group", "")))
