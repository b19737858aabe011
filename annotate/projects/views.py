"""Projects and their prompts, for admins. Set-up, people, comparisons and imports have modules of their own."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from accounts.permissions import admin_required
from annotate.generation.selectors import generation_runs
from annotate.gold.models import Gold
from annotate.projects.models import Project
from annotate.projects.selectors import (
    project_pace,
    project_progress,
    projects_with_progress,
    prompt_tags,
    prompts_page,
)
from annotate.projects.steps import next_step
from annotate.quality.selectors import project_agreement
from annotate.ranking.sanitise import render_markdown
from annotate.review.selectors import review_queue


@admin_required
def project_list(request: HttpRequest) -> HttpResponse:
    """All projects and how far they are."""
    return render(request, "annotate/projects/list.html", {"projects": projects_with_progress()})


@admin_required
def project_detail(request: HttpRequest, slug: str) -> HttpResponse:
    """One project: how far it is, what to do next, and what its people think."""
    project = get_object_or_404(Project, slug=slug)
    progress = project_progress(project)
    context = {
        "project": project,
        "progress": progress,
        "pace": project_pace(project, progress),
        "step": next_step(project, progress),
        "waiting": review_queue(project, request.user).count(),
        "gold": Gold.objects.filter(comparison__project=project).count(),
        "version": project.guideline_versions.first(),
        "dimensions": project.dimensions.all(),
        "guidelines": render_markdown(project.guidelines) if project.guidelines else "",
        "agreement": project_agreement(project),
        "attributes": project.attributes.all(),
        "members": project.memberships.select_related("user").order_by("-is_active", "user__username")[:12],
        "member_count": project.memberships.count(),
        "runs": generation_runs().filter(project=project)[:5],
        "versions": project.dataset_versions.select_related("project").order_by("-number")[:5],
    }
    return render(request, "annotate/projects/detail.html", context)


@admin_required
def prompt_list(request: HttpRequest, slug: str) -> HttpResponse:
    """A project's prompts, a page at a time."""
    project = get_object_or_404(Project, slug=slug)
    tag = request.GET.get("tag", "").replace("\x00", "")  # the database refuses NUL
    page = prompts_page(project, after=_key(request, "after"), before=_key(request, "before"), tag=tag)
    context = {"project": project, "page": page, "tag": tag, "tags": prompt_tags(project)}
    return render(request, "annotate/projects/prompts.html", context)


@admin_required
def prompt_detail(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """One prompt in full, with everything that was answered."""
    project = get_object_or_404(Project, slug=slug)
    prompt = get_object_or_404(project.prompts, pk=pk)
    responses = prompt.responses.select_related("generator").order_by("generator__name", "pk")
    context = {"project": project, "prompt": prompt, "responses": responses}
    return render(request, "annotate/projects/prompt.html", context)


def _key(request: HttpRequest, name: str) -> int:
    value = request.GET.get(name, "")
    return int(value) if value.isdecimal() and len(value) < 19 else 0
