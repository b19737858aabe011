"""Pages about dataset versions, for admins."""

from __future__ import annotations

import re

from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render

from accounts.models import User
from accounts.permissions import admin_required
from annotate.datasets.card import TITLES as PLOTS
from annotate.datasets.forms import DatasetRunForm, ExportForm
from annotate.datasets.selectors import dataset_preview, dataset_runs, dataset_versions
from annotate.datasets.services import dataset_run_start
from annotate.datasets.words import choices_of
from annotate.formats.writing import FORMATS_OUT
from annotate.projects.models import Project
from annotate.ranking.sanitise import render_markdown
from runs.artifacts import artifact_open
from runs.downloads import archive_response, file_response

PAGE = 50


@admin_required
def dataset_list(request: HttpRequest) -> HttpResponse:
    """Every dataset run, the newest first, and the version that came of it."""
    page = Paginator(dataset_runs(), PAGE).get_page(request.GET.get("page"))
    return render(request, "annotate/datasets/list.html", {"page": page, "has_projects": Project.objects.exists()})


@admin_required
def dataset_start(request: HttpRequest) -> HttpResponse:
    """The form that builds a version. `?project=` fills it in; "Count" shows what the filters find."""
    initial = {name: request.GET[name] for name in ("project",) if name in request.GET}
    form = DatasetRunForm(request.POST or None, initial=initial)
    preview = None
    if request.method == "POST" and form.is_valid():
        assert isinstance(request.user, User)
        project, config = form.cleaned_data["project"], form.cleaned_data["config"]
        if "count" in request.POST:
            preview = dataset_preview(project, DatasetRunForm.config_model.model_validate(config))
        else:
            try:
                return redirect(dataset_run_start(project=project, config=config, user=request.user))
            except ValidationError as error:
                form.add_service_errors(error)
    status = 422 if form.errors else 200
    return render(request, "annotate/datasets/start.html", {"form": form, "preview": preview}, status=status)


@admin_required
def dataset_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One version: how much of what, where it comes from, how to read it, and its files."""
    version = get_object_or_404(dataset_versions(), pk=pk)
    with artifact_open(version.artifact, "README.md") as file:
        text = file.read().decode("utf-8")
    # The front matter is for programs.
    card = text.split("---\n", 2)[2] if text.startswith("---\n") else text
    context = {
        "version": version,
        "artifact": version.artifact,
        "files": version.artifact.manifest["files"],
        "dimensions": [
            (name, {**tally, "comparison_count": sum(tally["comparisons"].values())})
            for name, tally in version.counts["dimensions"].items()
        ],
        "choices": choices_of(version),
        "plots": [
            {"name": path.partition("/")[2], "alt": PLOTS.get(path, path)}
            for path in (file["path"] for file in version.artifact.manifest["files"])
            if path.startswith("plots/")
        ],
        "shares": [
            (title, list(version.counts[key].items()))
            for key, title in (("languages", "Languages"), ("tags", "Tags"), ("generators", "Responses by"))
            if version.counts.get(key)
        ],
        "export": ExportForm(version),
        "formats": FORMATS_OUT.values(),
        "card": render_markdown(re.sub(r"## Plots\n.*?(?=\n## )", "", card, flags=re.DOTALL)),
    }
    return render(request, "annotate/datasets/detail.html", context)


@admin_required
def dataset_file(request: HttpRequest, pk: int, path: str) -> HttpResponseBase:
    """Download one file; a broken download continues."""
    version = get_object_or_404(dataset_versions(), pk=pk)
    if path not in {file["path"] for file in version.artifact.manifest["files"]} | {"manifest.json"}:
        raise Http404
    return file_response(request, version.artifact, path)


@admin_required
def dataset_archive(request: HttpRequest, pk: int) -> HttpResponseBase:
    """All files as one tar."""
    return archive_response(get_object_or_404(dataset_versions(), pk=pk).artifact)
