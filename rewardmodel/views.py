"""Pages about reward models, for admins."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from accounts.models import User
from accounts.permissions import admin_required
from annotate.models import DatasetVersion
from annotate.ranking.sanitise import render_markdown
from rewardmodel.comparing import compared_runs, duels, figures_side_by_side, same_held_out_data
from rewardmodel.forms import RewardModelRunForm
from rewardmodel.selectors import model_card, reward_model_runs, reward_models
from rewardmodel.services import reward_model_run_start
from rewardmodel.staleness import stale_reward_models
from runs.comparing import FEWEST, LETTERS, MOST, asked_runs, overlaid_series, settings_apart

PAGE = 50


@admin_required
def run_list(request: HttpRequest) -> HttpResponse:
    """Every reward-model run, the newest first, and what came of it."""
    page = Paginator(reward_model_runs(), PAGE).get_page(request.GET.get("page"))
    context = {"page": page, "has_datasets": DatasetVersion.objects.exists(), "stale": stale_reward_models()}
    return render(request, "rewardmodel/list.html", context)


@admin_required
def run_start(request: HttpRequest) -> HttpResponse:
    """The form that starts a run. `?dataset_version=` and `?generator=` fill it in."""
    initial = {name: request.GET[name] for name in ("dataset_version", "generator") if name in request.GET}
    form = RewardModelRunForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        assert isinstance(request.user, User)
        try:
            run = reward_model_run_start(
                dataset_version=form.cleaned_data["dataset_version"],
                generator=form.cleaned_data["generator"],
                config=form.cleaned_data["config"],
                title=form.cleaned_data["title"],
                user=request.user,
            )
        except ValidationError as error:
            form.add_service_errors(error)
        else:
            return redirect(run)
    return render(request, "rewardmodel/start.html", {"form": form}, status=422 if form.errors else 200)


@admin_required
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One reward model: how good it is, where it comes from, how to use it."""
    reward_model = get_object_or_404(reward_models(), pk=pk)
    context = {
        "reward_model": reward_model,
        "run": reward_model.run,
        "version": reward_model.run.dataset_version,
        "generator": reward_model.run.generator,
        "artifact": reward_model.artifact,
        "card": render_markdown(model_card(reward_model)),
        "stale_reason": stale_reward_models().get(reward_model.pk, ""),
    }
    return render(request, "rewardmodel/detail.html", context)


@admin_required
def compare(request: HttpRequest) -> HttpResponse:
    """Two to four runs side by side: `?run=1&run=2`."""
    runs = compared_runs(asked_runs(request.GET.getlist("run")))
    if not FEWEST <= len(runs) <= MOST:
        problem = f"Choose {FEWEST} to {MOST} runs in the list, and then compare. Now it is {len(runs)}."
        return render(request, "rewardmodel/compare.html", {"problem": problem}, status=422 if runs else 200)
    context = {
        "named": list(zip(LETTERS, runs, strict=False)),
        "letters": LETTERS[: len(runs)],
        "figures": figures_side_by_side(runs),
        "same_data": same_held_out_data(runs),
        "duels": duels(runs),
        "settings": settings_apart(runs),
        "curves": overlaid_series(runs),
    }
    return render(request, "rewardmodel/compare.html", context)
