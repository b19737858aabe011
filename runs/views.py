"""Pages of runs. The live parts are fragments of the same page, fetched again while the run is active."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts.permissions import admin_required
from runs import child, documentation, kinds, selectors, services
from runs.figures import figures_flat
from runs.models import Run
from runs.states import State

PAGE_SIZE = 50


@admin_required
@require_GET
def run_list(request: HttpRequest) -> HttpResponse:
    """All kinds of runs at once; the table alone when htmx asks for it."""
    kind, state = request.GET.get("kind", ""), request.GET.get("state", "")
    page = Paginator(selectors.runs_list(kind=kind, state=state), PAGE_SIZE).get_page(request.GET.get("page"))
    runs = [_row(run) for run in page.object_list]
    query = request.GET.copy()
    query.pop("page", None)
    context = {
        "page": page,
        "rows": runs,
        "kind": kind,
        "state": state,
        "kinds": kinds.choices(),
        "states": [("active", "active"), *State.choices],
        "filtered": bool(kind or state),
        "query": query.urlencode(),
        "here": request.get_full_path(),
        "is_live": any(row["run"].is_active for row in runs),
    }
    response = render(request, "runs/_table.html" if _is_fragment(request) else "runs/list.html", context)
    response["Vary"] = "HX-Request"
    return response


@admin_required
@require_GET
def run_detail(request: HttpRequest, pk: int) -> HttpResponse:
    return render(request, "runs/detail.html", _context(get_object_or_404(Run, pk=pk)))


@admin_required
@require_GET
def run_live(request: HttpRequest, pk: int) -> HttpResponse:
    """What moves on a run's page; all of it when the state is no longer `?state=`, for buttons change with it."""
    run = get_object_or_404(Run, pk=pk)
    if run.state == request.GET.get("state"):
        return render(request, "runs/_live.html", _context(run))
    response = render(request, "runs/_run.html", _context(run))
    response["HX-Retarget"] = "#run"
    response["HX-Reswap"] = "outerHTML"
    return response


@admin_required
@require_GET
def run_log(request: HttpRequest, pk: int) -> HttpResponseBase:
    """The whole log as plain text."""
    path = get_object_or_404(Run, pk=pk).directory / child.LOG
    try:
        return FileResponse(path.open("rb"), content_type="text/plain; charset=utf-8")
    except OSError:
        raise Http404("This run has no log here.") from None


@admin_required
@require_POST
def run_cancel(request: HttpRequest, pk: int) -> HttpResponse:
    run = get_object_or_404(Run, pk=pk)
    try:
        run = services.run_cancel(run=run, user=request.user)
        done = run.state == State.CANCELLED
        messages.success(request, "Cancelled." if done else "Cancelling: it saves a checkpoint and stops in seconds.")
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    return redirect("runs:detail", pk=pk)


@admin_required
@require_POST
def run_retry(request: HttpRequest, pk: int) -> HttpResponse:
    run = get_object_or_404(Run, pk=pk)
    try:
        services.run_retry(run=run, user=request.user)
        messages.success(request, "Queued again.")
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    return redirect("runs:detail", pk=pk)


@admin_required
@require_GET
def metrics_help(request: HttpRequest) -> HttpResponse:
    return render(request, "runs/metrics.html", {"text": documentation.metrics_page()})


def _is_fragment(request: HttpRequest) -> bool:
    return request.headers.get("HX-Request") == "true"


def _row(run: Run) -> dict[str, Any]:
    return {"run": run, "label": kinds.label(run.kind), "left": selectors.time_left(run)}


def _context(run: Run) -> dict[str, Any]:
    lines = selectors.log_lines(run)
    checkpoints = sorted(path.name for path in run.directory.glob("checkpoints/step-*"))
    return {
        **_row(run),
        "series": selectors.metric_series(run),
        "samples": selectors.samples(run),
        "history": selectors.history(run),
        "log": "\n".join(lines),
        "checkpoint": int(checkpoints[-1].removeprefix("step-")) if checkpoints else None,
        "config": sorted(figures_flat(run.config)),
        "result": sorted(figures_flat(run.result)),
        "artifacts": run.artifacts.all(),
        "domain_url": selectors.domain_url(run),
    }
