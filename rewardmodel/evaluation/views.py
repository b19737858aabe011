"""Pages about evaluations of reward models, for admins."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render

from accounts.models import User
from accounts.permissions import admin_required
from rewardmodel.evaluation.forms import ItemFilterForm, RewardEvaluationForm
from rewardmodel.evaluation.page import page_of, shown
from rewardmodel.evaluation.selectors import (
    ITEMS,
    ItemFilter,
    evaluation_artifact,
    evaluation_items,
    evaluation_report,
    reward_evaluations,
)
from rewardmodel.evaluation.services import LARGEST, reward_evaluation_start
from rewardmodel.selectors import reward_models
from rewardmodel.staleness import stale_evaluation
from runs.downloads import file_response

PAGE, ITEMS_PAGE, RECENT = 50, 20, 10


@admin_required
def evaluation_list(request: HttpRequest) -> HttpResponse:
    """Every evaluation, the newest first."""
    page = Paginator(reward_evaluations(), PAGE).get_page(request.GET.get("page"))
    context = {"page": page, "has_models": bool(page.object_list) or reward_models().exists()}
    return render(request, "rewardmodel/evaluation/list.html", context)


@admin_required
def evaluation_start(request: HttpRequest, pk: int) -> HttpResponse:
    """The form that has a reward model evaluated, and how it was before. `?dataset_version=` fills it in."""
    reward_model = get_object_or_404(reward_models(), pk=pk)
    initial = {name: request.GET[name] for name in ("dataset_version", "second") if name in request.GET}
    form = RewardEvaluationForm(request.POST or None, request.FILES or None, reward_model=reward_model, initial=initial)
    if request.method == "POST" and form.is_valid():
        assert isinstance(request.user, User)
        file = form.cleaned_data["file"]
        try:
            run = reward_evaluation_start(
                reward_model=reward_model,
                dataset_version=form.cleaned_data["dataset_version"],
                data=file.read(LARGEST + 1) if file else None,
                filename=file.name if file else "",
                second=form.cleaned_data["second"],
                config=form.cleaned_data["config"],
                user=request.user,
            )
        except ValidationError as error:
            form.add_service_errors(error)
        else:
            return redirect(run.get_absolute_url())
    context = {"reward_model": reward_model, "form": form, "recent": reward_evaluations(reward_model)[:RECENT]}
    return render(request, "rewardmodel/evaluation/start.html", context, status=422 if form.errors else 200)


@admin_required
def evaluation_show(request: HttpRequest, pk: int) -> HttpResponse:
    """How good the reward model is, beside people and beside choosing the longer, with every interval."""
    run = get_object_or_404(reward_evaluations(), pk=pk)
    artifact = evaluation_artifact(run)
    report = evaluation_report(artifact)
    context = {"run": run, "runs": [run], "report": report, "artifact": artifact, **(page_of(report) if report else {})}
    context["stale_reason"] = stale_evaluation(run)
    return render(request, "rewardmodel/evaluation/show.html", context)


@admin_required
def evaluation_pairs(request: HttpRequest, pk: int) -> HttpResponse:
    """The pairs with their texts; what the model gets wrong and is surest of comes first, unless told otherwise."""
    run = get_object_or_404(reward_evaluations(), pk=pk)
    artifact = evaluation_artifact(run)
    if artifact is None:
        return render(request, "rewardmodel/evaluation/pairs.html", {"run": run})
    whole = evaluation_items(artifact, ItemFilter())
    asked = request.GET if request.GET.keys() - {"page"} else {"outcome": "wrong", "order": "sure"}
    form = ItemFilterForm(asked, dimensions=list(whole.dimensions), tags=list(whole.tags), second=whole.can_differ)
    form.is_valid()
    wanted: dict[str, Any] = {"order": "sure", **{name: value for name, value in form.cleaned_data.items() if value}}
    found = evaluation_items(artifact, ItemFilter(**wanted))
    page = Paginator(range(len(found.chosen)), ITEMS_PAGE).get_page(request.GET.get("page"))
    items = [shown(line) for line in found.lines(page.start_index() - 1, ITEMS_PAGE)] if found.chosen else []
    context = {
        "run": run,
        "form": form,
        "page": page,
        "items": items,
        "of": whole.of,
        "query": urlencode({name: value for name, value in asked.items() if name != "page" and value}),
    }
    return render(request, "rewardmodel/evaluation/pairs.html", context)


@admin_required
def evaluation_download(request: HttpRequest, pk: int) -> HttpResponseBase:
    """All pairs; a broken download continues."""
    artifact = evaluation_artifact(get_object_or_404(reward_evaluations(), pk=pk))
    if artifact is None:
        raise Http404
    return file_response(request, artifact, ITEMS)
