"""Pages about policies and evaluations, for admins."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from accounts.models import User
from accounts.permissions import admin_required
from annotate.models import DatasetVersion
from rewardmodel.models import RewardModel
from rl.forms import POLICY_FORMS, EvaluationRunForm
from rl.frontier import frontier_of
from rl.models import ONLINE, PolicyRun
from rl.selectors import evaluation_runs, evaluation_table, gain_of, memory_table, policy_runs, training_table
from rl.services import evaluation_run_start, merge_run_start, policy_run_start
from rl.staleness import stale_now
from runs.documentation import metrics_advice
from runs.states import State

PAGE = 50


@admin_required
def policy_list(request: HttpRequest) -> HttpResponse:
    """Every policy run, the newest first, and what came of it."""
    page = Paginator(policy_runs(), PAGE).get_page(request.GET.get("page"))
    context = {"page": page, "has_datasets": DatasetVersion.objects.exists(), "stale": stale_now().policies}
    return render(request, "rl/policy_list.html", context)


@admin_required
def policy_choose(request: HttpRequest) -> HttpResponse:
    """Which algorithm."""
    kinds = [
        {"name": name, "label": PolicyRun.Algorithm(name).label, "form": form, "online": name in ONLINE}
        for name, form in POLICY_FORMS.items()
    ]
    context = {
        "offline": [kind for kind in kinds if not kind["online"]],
        "online": [kind for kind in kinds if kind["online"]],
        "has_datasets": DatasetVersion.objects.exists(),
        "has_reward_models": RewardModel.objects.exists(),
    }
    return render(request, "rl/policy_choose.html", context)


@admin_required
def policy_start(request: HttpRequest, algorithm: str) -> HttpResponse:
    """The form that starts a policy run. `?dataset_version=`, `?generator=` and `?reward_model=` fill it in."""
    if algorithm not in POLICY_FORMS:
        raise Http404
    names = ("dataset_version", "generator", "reward_model", "more_reward_models", "watched_reward_model", "project")
    form = POLICY_FORMS[algorithm](request.POST or None, initial=_asked(request, names))
    if request.method == "POST" and form.is_valid():
        assert isinstance(request.user, User)
        chosen = {name: form.cleaned_data[name] for name in names if name in form.fields}
        try:
            run = policy_run_start(
                config={**form.cleaned_data["config"], "algorithm": algorithm},
                title=form.cleaned_data["title"],
                user=request.user,
                **chosen,
            )
        except ValidationError as error:
            form.add_service_errors(error)
        else:
            return redirect(run)
    context = {"form": form, "label": PolicyRun.Algorithm(algorithm).label}
    return render(request, "rl/policy_start.html", context, status=422 if form.errors else 200)


@admin_required
def policy_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One policy run: what training did, what was measured since, how to use the policy, where it comes from."""
    run = get_object_or_404(policy_runs(), pk=pk)
    evaluations = evaluation_runs().filter(generator=run.policy) if run.policy else []
    context = {
        "run": run,
        "stale_reason": stale_now().policies.get(run.pk, ""),
        "artifact": run.artifacts.first(),
        "merged": run.merges.filter(state=State.SUCCEEDED).last(),
        "table": training_table(run),
        "test": run.result.get("test"),
        "alarms": [{**each, "advice": metrics_advice(each["name"])} for each in run.result.get("alarms") or []],
        "gain": gain_of(run),
        "frontier": frontier_of(run) if run.is_online else None,
        "memory": memory_table(run),
        "more_reward_models": run.more_reward_models.all() if run.is_online else [],
        "evaluations": [{"run": each, "table": evaluation_table(each)} for each in evaluations[:5]],
    }
    return render(request, "rl/policy_detail.html", context)


@admin_required
@require_POST
def policy_merge(request: HttpRequest, pk: int) -> HttpResponse:
    """Make one model of the adapter and its base, and go where that can be watched and downloaded."""
    assert isinstance(request.user, User)
    try:
        return redirect(merge_run_start(policy_run=get_object_or_404(PolicyRun, pk=pk), user=request.user))
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return redirect("rl:policy-detail", pk=pk)


@admin_required
def evaluation_list(request: HttpRequest) -> HttpResponse:
    """Every evaluation, the newest first."""
    page = Paginator(evaluation_runs(), PAGE).get_page(request.GET.get("page"))
    context = {"page": page, "has_reward_models": RewardModel.objects.exists(), "stale": stale_now().evaluations}
    return render(request, "rl/evaluation_list.html", context)


@admin_required
def evaluation_start(request: HttpRequest) -> HttpResponse:
    """The form that starts an evaluation. `?generator=`, `?reference=` and the like fill it in."""
    names = ("project", "generator", "reference", "reward_model")
    form = EvaluationRunForm(request.POST or None, initial=_asked(request, names))
    if request.method == "POST" and form.is_valid():
        assert isinstance(request.user, User)
        try:
            run = evaluation_run_start(
                config=form.cleaned_data["config"],
                title=form.cleaned_data["title"],
                user=request.user,
                **{name: form.cleaned_data[name] for name in names},
            )
        except ValidationError as error:
            form.add_service_errors(error)
        else:
            return redirect(run)
    return render(request, "rl/evaluation_start.html", {"form": form}, status=422 if form.errors else 200)


@admin_required
def evaluation_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One evaluation: before and after, with intervals."""
    run = get_object_or_404(evaluation_runs(), pk=pk)
    context = {
        "run": run,
        "stale_reason": stale_now().evaluations.get(run.pk, ""),
        "table": evaluation_table(run),
        "artifact": run.artifacts.first(),
    }
    return render(request, "rl/evaluation_detail.html", context)


def _asked(request: HttpRequest, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: request.GET[name] for name in names if name in request.GET}
