"""What can be done with a version that is there: exports, lineage, comparison with another. For admins."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from accounts.permissions import admin_required
from annotate.datasets.diff import KINDS
from annotate.datasets.exports import export_options, export_response
from annotate.datasets.forms import ExportForm
from annotate.datasets.models import DatasetVersion
from annotate.datasets.origins import version_diff, version_models, version_origins
from annotate.datasets.selectors import dataset_versions
from annotate.datasets.words import change_words, number_of, origin_words, setting_text
from runs.artifacts import artifact_open

MOST = 200  # versions to choose among


@admin_required
@require_GET
def dataset_export(request: HttpRequest, pk: int) -> HttpResponseBase:
    """A version in another format, as a download that begins at once."""
    version = get_object_or_404(dataset_versions(), pk=pk)
    form = ExportForm(version, request.GET)
    if not form.is_valid():
        said = [f"{form.fields[name].label}: {message}" for name, errors in form.errors.items() for message in errors]
        context = {"version": version, "errors": said}
        return render(request, "annotate/datasets/not_exported.html", context, status=400)
    return export_response(request, version, form.cleaned_data["as"], export_options(version, **form.options()))


@admin_required
@require_GET
def dataset_plot(request: HttpRequest, pk: int, name: str) -> HttpResponse:
    """A picture of the dataset card. Whatever is in it, no browser runs it."""
    version = get_object_or_404(dataset_versions(), pk=pk)
    try:
        with artifact_open(version.artifact, f"plots/{name}") as file:
            content = file.read()
    except FileNotFoundError:
        raise Http404 from None
    if not name.endswith(".svg"):
        raise Http404
    response = HttpResponse(content, content_type="image/svg+xml")
    response["Cache-Control"] = "private, max-age=86400, immutable"
    return response


@admin_required
@require_GET
def dataset_lineage(request: HttpRequest, pk: int) -> HttpResponse:
    """Where a pair comes from (`?pair=` its number, or `?comparison=`), and what was trained on the version."""
    version = get_object_or_404(dataset_versions(), pk=pk)
    pair, comparison = number_of(request.GET.get("pair")), number_of(request.GET.get("comparison"))
    asked = pair is not None or comparison is not None
    origins = version_origins(version, pair=pair, comparison=None if pair is not None else comparison) if asked else []
    context = {
        "version": version,
        "pair": pair,
        "comparison": comparison,
        "asked": asked or any(request.GET.get(name) for name in ("pair", "comparison")),
        "origins": [origin_words(origin, pair) for origin in origins],
        "models": version_models(version),
        "pairs": sum(version.pair_counts.values()),
    }
    return render(request, "annotate/datasets/lineage.html", context)


@admin_required
@require_GET
def dataset_diff(request: HttpRequest, pk: int) -> HttpResponse:
    """How a version differs from another (`?with=`), by default the one before it."""
    version = get_object_or_404(dataset_versions(), pk=pk)
    others = dataset_versions().filter(project=version.project).exclude(pk=version.pk)
    asked = number_of(request.GET.get("with"))
    if asked is not None:
        other: DatasetVersion | None = get_object_or_404(dataset_versions(), pk=asked)
    else:
        other = others.filter(number__lt=version.number).first() or others.first()
    context = {"version": version, "other": other, "others": others[:MOST], "kinds": KINDS}
    if other is not None:
        found = version_diff(other, version)
        context["diff"] = found
        context["rows"] = [(kind, found["rankings"][kind], found["pairs"][kind]) for kind in KINDS]
        context["settings"] = [
            (row["setting"], setting_text(row["before"]), setting_text(row["after"])) for row in found["config"]
        ]
        context["lists"] = [
            (kind, found["rankings"][kind], [(change, change_words(change)) for change in found["listed"][kind]])
            for kind in KINDS
            if found["listed"][kind]
        ]
    return render(request, "annotate/datasets/diff.html", context)
