"""The set-up of a project: one page, a preview of what annotators will see, and the history of the guidelines."""

from __future__ import annotations

from csp.decorators import csp_replace, csp_update
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_POST

from accounts.models import User
from accounts.permissions import admin_required
from annotate.projects.diffs import text_diff
from annotate.projects.forms_setup import ProjectSetup
from annotate.projects.models import Project
from annotate.projects.preview import preview_item
from annotate.projects.selectors import guideline_versions
from annotate.projects.services import project_create, project_update
from annotate.ranking.sanitise import render_markdown

MAY_FRAME_ITSELF = {"frame-src": ["'self'"]}
# Nothing runs in the preview and nothing leaves it, whatever a response says.
MAY_BE_FRAMED = {"frame-ancestors": ["'self'"], "form-action": ["'none'"], "script-src": ["'none'"]}


@admin_required
@csp_update(MAY_FRAME_ITSELF)
def project_new(request: HttpRequest) -> HttpResponse:
    return _setup_page(request, None)


@admin_required
@csp_update(MAY_FRAME_ITSELF)  # type: ignore[arg-type]  # typed for views without arguments
def project_edit(request: HttpRequest, slug: str) -> HttpResponse:
    return _setup_page(request, get_object_or_404(Project, slug=slug))


def _setup_page(request: HttpRequest, project: Project | None) -> HttpResponse:
    setup = ProjectSetup(request.POST if request.method == "POST" else None, project)
    if request.method == "POST" and setup.is_valid():
        assert isinstance(request.user, User)
        try:
            if project is None:
                saved = project_create(user=request.user, **setup.values())
            else:
                # The page's heading keeps the project as it is, also when the service refuses.
                saved = project_update(project=Project.objects.get(pk=project.pk), user=request.user, **setup.changes())
        except ValidationError as error:
            setup.refuse(error)
        else:
            messages.success(request, f"{saved} is saved." if project else f"{saved} is there.")
            return redirect(saved)
    context = {
        "setup": setup,
        "form": setup.form,
        "project": project,
        "versions": guideline_versions(project)[:5] if project else (),
    }
    return render(request, "annotate/projects/edit.html", context, status=422 if setup.has_errors else 200)


@never_cache
@admin_required
@require_POST
@xframe_options_sameorigin
@csp_replace(MAY_BE_FRAMED)
def project_preview(request: HttpRequest) -> HttpResponse:
    """The ranking page as the values of an unsaved form would make it. Nothing is saved."""
    project = Project.objects.filter(slug=request.POST.get("project", "").replace("\x00", "")).first()
    unsaved = ProjectSetup(request.POST, project).project()
    context = {"item": preview_item(unsaved), "project": unsaved, "guidelines": render_markdown(unsaved.guidelines)}
    return render(request, "annotate/projects/setup_preview.html", context)


@admin_required
def guidelines_history(request: HttpRequest, slug: str) -> HttpResponse:
    """The versions of a project's guidelines, and what one of them changed."""
    project = get_object_or_404(Project, slug=slug)
    versions = list(guideline_versions(project))
    chosen = request.GET.get("version", "")
    version = next((v for v in versions if str(v.number) == chosen), versions[0] if versions else None)
    since = request.GET.get("since", "")
    earlier = [v for v in versions if version and v.number < version.number]
    other = next((v for v in earlier if str(v.number) == since), earlier[0] if earlier else None)
    context = {
        "project": project,
        "versions": versions,
        "version": version,
        "other": other,
        "earlier": earlier,
        "passages": text_diff(other.text if other else "", version.text) if version else [],
    }
    return render(request, "annotate/projects/guidelines.html", context)
