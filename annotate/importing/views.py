"""The pages of an import: upload or paste, look at what comes of it, confirm, see what came of it. For admins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts.models import User
from accounts.permissions import admin_required
from annotate.formats.reading import FORMATS_IN
from annotate.importing.forms import UploadForm, column_choices, format_choices, settings_posted
from annotate.importing.models import Import
from annotate.importing.preview import import_seen
from annotate.importing.selectors import complaints_open, import_run, imports, is_underway, project_imports
from annotate.importing.services import import_configure, import_discard, import_start, import_upload
from annotate.projects.forms import add_service_errors
from annotate.projects.models import Project
from runs.selectors import time_left

PAGE = 20


@admin_required
def import_new(request: HttpRequest, slug: str) -> HttpResponse:
    project = get_object_or_404(Project, slug=slug)
    form = UploadForm(request.POST, request.FILES) if request.method == "POST" else UploadForm()
    if request.method == "POST" and form.is_valid():
        assert isinstance(request.user, User)
        try:
            upload = import_upload(project=project, user=request.user, **form.upload())
        except ValidationError as error:
            add_service_errors(form, error)
        else:
            return redirect(upload)
    page = Paginator(project_imports(project), PAGE).get_page(request.GET.get("page"))
    context = {"project": project, "form": form, "page": page, "formats": sorted(f.label for f in FORMATS_IN.values())}
    return render(request, "annotate/importing/import.html", context, status=422 if form.errors else 200)


@admin_required
@require_GET
def import_show(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """What a file would become, how far it is, or what came of it."""
    return _page(request, _import(slug, pk))


@admin_required
@require_POST
def import_settings(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Read the file another way; the preview alone when htmx asks for it."""
    upload = _import(slug, pk)
    try:
        upload = import_configure(upload=upload, settings=settings_posted(upload, request.POST))
    except ValidationError as error:
        return _page(request, upload, complaints=error.messages)
    return _page(request, upload)


@admin_required
@require_POST
def import_confirm(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Import the file: what the preview read to its end at once, anything larger by a run."""
    upload = _import(slug, pk)
    assert isinstance(request.user, User)
    try:
        if "format" in request.POST:
            upload = import_configure(upload=upload, settings=settings_posted(upload, request.POST))
        at_once = bool(upload.upload) and import_seen(upload)["whole"]
        import_start(upload=upload, user=request.user, at_once=at_once)
    except ValidationError as error:
        if Import.objects.filter(pk=pk, state=Import.State.REFUSED).exists():
            return redirect(upload)
        messages.error(request, " ".join(error.messages))
    return redirect(upload)


@admin_required
@require_POST
def import_cancel(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    import_discard(upload=_import(slug, pk))
    return redirect("annotate:prompt-import", slug)


@admin_required
@require_GET
def import_live(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """The progress of a run; the whole page anew once it has ended."""
    upload = _import(slug, pk)
    run = import_run(upload)
    response = render(request, "annotate/importing/_progress.html", _running(upload, run))
    if run is None or not run.is_active:
        response["HX-Refresh"] = "true"
    return response


@admin_required
@require_GET
def import_complaints(request: HttpRequest, slug: str, pk: int) -> HttpResponseBase:
    """Everything that was wrong, as CSV."""
    try:
        file = complaints_open(_import(slug, pk))
    except FileNotFoundError:
        raise Http404 from None
    return FileResponse(file, as_attachment=True, filename=f"import-{pk}-complaints.csv", content_type="text/csv")


def _import(slug: str, pk: int) -> Import:
    return get_object_or_404(imports(), pk=pk, project__slug=slug)


def _running(upload: Import, run: Any) -> dict[str, Any]:
    return {"upload": upload, "project": upload.project, "run": run, "left": time_left(run) if run else None}


def _blocked(upload: Import, seen: Mapping[str, Any]) -> str:
    """Why a file cannot be imported as it is read now, and what helps; "" if it can."""
    if seen["complaint"]:
        return "No dimension of the project is chosen for what it judges by."
    if not seen["records"]:
        return "Nothing in it can be stored as it is read now. Choose another format or other columns."
    if seen["error_count"] and not upload.settings.get("good_rows"):
        return "Rows are wrong. Correct the file, or choose above that they stay out."
    return ""


def _page(request: HttpRequest, upload: Import, *, complaints: list[str] | None = None) -> HttpResponse:
    run = import_run(upload)
    context = {**_running(upload, run), "complaints": complaints or []}
    if upload.upload and upload.state != Import.State.DONE and not is_underway(upload):
        seen = import_seen(upload)
        form = FORMATS_IN.get(seen["format"])
        context |= {
            "seen": seen,
            "form": form,
            "recognised": next((one for one in seen["formats"] if one["format"] == seen["format"]), None),
            "choices": format_choices(seen),
            "columns": column_choices(upload, seen),
            "dimensions": list(upload.project.dimensions.values_list("key", "label")),
            "can_import": not (blocked := _blocked(upload, seen)),
            "blocked": blocked,
        }
    is_fragment = request.headers.get("HX-Request") == "true"
    template = "annotate/importing/_seen.html" if is_fragment and "seen" in context else "annotate/importing/show.html"
    response = render(request, template, context, status=422 if complaints else 200)
    response["Vary"] = "HX-Request"
    return response
