"""The import page: upload or paste, look at what was recognised, then import all of it or nothing."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from accounts.models import User
from accounts.permissions import admin_required
from annotate.imports import LARGEST, import_apply, import_preview
from annotate.projects.forms import ImportForm, add_service_errors
from annotate.projects.models import Project, PromptImport
from annotate.projects.services import import_discard


@admin_required
def prompt_import(request: HttpRequest, slug: str) -> HttpResponse:
    project = get_object_or_404(Project, slug=slug)
    form = ImportForm(request.POST or None, request.FILES or None, project=project)
    if request.method == "POST" and form.is_valid():
        assert isinstance(request.user, User)
        given = form.cleaned_data
        # One byte more than is allowed tells that it is too large without holding the rest.
        data = given["file"].read(LARGEST + 1) if given["file"] else given["text"].encode("utf-8", "replace")
        try:
            preview = import_preview(
                project=project,
                data=data,
                filename=given["file"].name if given["file"] else "pasted lines",
                user=request.user,
                format=given["format"],
                dimension=given["dimension"],
            )
        except ValidationError as error:
            add_service_errors(form, error)
        else:
            return redirect("annotate:import-preview", project.slug, preview.pk)
    context = {"project": project, "form": form}
    return render(request, "annotate/projects/import.html", context, status=422 if form.errors else 200)


@admin_required
def import_show(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """What was recognised in a file, or what came of it."""
    preview = get_object_or_404(PromptImport.objects.defer("content"), pk=pk, project__slug=slug)
    return render(request, "annotate/projects/preview.html", {"project": preview.project, "preview": preview})


@admin_required
@require_POST
def import_confirm(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    preview = get_object_or_404(PromptImport, pk=pk, project__slug=slug)
    assert isinstance(request.user, User)
    try:
        import_apply(preview=preview, user=request.user)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    return redirect("annotate:import-preview", slug, pk)


@admin_required
@require_POST
def import_cancel(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    preview = get_object_or_404(PromptImport, pk=pk, project__slug=slug)
    import_discard(preview=preview)
    return redirect("annotate:prompt-import", slug)
