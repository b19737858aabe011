"""Pages of runs. The live parts are fragments of the same page, fetched again while the run is active."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts.permissions import admin_required
from config.templatetags.plumbline import filesize, interval
from runs import child, documentation, figures, kinds, samples, selectors, services
from runs.models import Run
from runs.states import State
from runs.tensorboard import FOLDER

PAGE_SIZE = 50
WRITTEN_OUT = 400  # characters of a structured setting


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
    return render(request, "runs/detail.html", _context(request, get_object_or_404(Run, pk=pk)))


@admin_required
@require_GET
def run_live(request: HttpRequest, pk: int) -> HttpResponse:
    """What moves on a run's page; all of it when the state is no longer `?state=`, for buttons change with it."""
    run = get_object_or_404(Run, pk=pk)
    if run.state == request.GET.get("state"):
        return render(request, "runs/_live.html", _context(request, run))
    response = render(request, "runs/_run.html", _context(request, run))
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
@require_GET
def run_tensorboard(request: HttpRequest, pk: int) -> HttpResponseBase:
    """The run's event file for TensorBoard."""
    file = _event_file(get_object_or_404(Run, pk=pk))
    if file is None:
        raise Http404("This run has no event file here.")
    return FileResponse(
        file.open("rb"), as_attachment=True, filename=file.name, content_type="application/octet-stream"
    )


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


def _context(request: HttpRequest, run: Run) -> dict[str, Any]:
    """`?smooth=1` adds averages to the charts, `?sample=STEP` shows the answers of that step instead of the last."""
    smooth, step = request.GET.get("smooth") == "1", _step(request.GET.get("sample", ""))
    lines = selectors.log_lines(run)
    alarms = selectors.alarms(run)
    answers = samples.timeline(run, step)
    checkpoints = sorted(path.name for path in run.directory.glob("checkpoints/step-*"))
    return {
        **_row(run),
        "subjects": figures.run_figures(run, alarms, smooth=smooth),
        "smooth": smooth,
        "alarms": alarms,
        "stopped_by_alarm": run.config.get("on_alarm") == "stop",
        "timeline": answers,
        **_queries(smooth, answers),
        "samples": samples.newest(run) if answers is None else [],
        "history": selectors.history(run),
        "log": "\n".join(lines),
        "checkpoint": int(checkpoints[-1].removeprefix("step-")) if checkpoints else None,
        "kept": selectors.kept(run),
        "config": sorted(_flat(run.config)),
        "result": sorted(_flat(run.result)),
        "artifacts": run.artifacts.all(),
        "event_file": _event_file(run),
        "domain_url": selectors.domain_url(run),
    }


def _event_file(run: Run) -> Path | None:
    return next((run.directory / FOLDER).glob("events.out.tfevents.*"), None)


def _queries(smooth: bool, answers: samples.Timeline | None) -> dict[str, Any]:
    """How the page is asked for again: as it is, with averages or without, with the answers of other steps.

    Whoever looks at the newest answers goes on to do so when there are newer ones.
    """

    def query(smooth: bool, step: int | None) -> str:
        return urlencode({**({"smooth": "1"} if smooth else {}), **({"sample": step} if step is not None else {})})

    if answers is None:
        return {"live_query": query(smooth, None), "smooth_query": query(not smooth, None) or "smooth=0"}
    shown = None if answers.newest else answers.step
    ways = [
        ("first", None if answers.earlier is None else answers.steps[0], "First"),
        ("earlier", answers.earlier, "Earlier"),
        ("later", answers.later, "Later"),
        ("last", answers.later and answers.steps[-1], "Last"),
    ]
    return {
        "live_query": query(smooth, shown),
        "smooth_query": query(not smooth, shown) or "smooth=0",
        "sample_links": [(name, None if step is None else query(smooth, step), label) for name, step, label in ways],
    }


def _step(asked: str) -> int | None:
    return int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 16 else None


def _flat(value: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings or figures as dotted names, each as people read it."""
    found: list[tuple[str, str]] = []
    for name, item in value.items():
        if isinstance(item, dict) and {"value", "low", "high"} <= item.keys():
            found.append((f"{prefix}{name}", interval(item)))
        elif isinstance(item, dict):
            found += _flat(item, f"{prefix}{name}.")
        else:
            found.append((f"{prefix}{name}", _shown(name, item)))
    return found


def _shown(name: str, value: Any) -> str:
    if value is None or value == "" or value == []:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name.endswith("_bytes"):
        return filesize(value)
    if isinstance(value, float):
        return f"{value:.6g}".replace("-", "−")
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        text = json.dumps(_rounded(value), ensure_ascii=False)
        return text if len(text) <= WRITTEN_OUT else f"{len(value)} entries"  # the API has them whole
    return ", ".join(_shown(name, item) for item in value) if isinstance(value, list) else str(value)


def _rounded(value: Any) -> Any:
    """The same lists and dictionaries with their numbers as short as those beside them."""
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value
