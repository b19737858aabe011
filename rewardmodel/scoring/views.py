"""Pages about scoring, for admins."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render

from accounts.models import User
from accounts.permissions import admin_required
from rewardmodel.scoring.forms import ScoreForm
from rewardmodel.scoring.selectors import FILE, score_artifact, score_lines, score_runs
from rewardmodel.scoring.services import LARGEST, score_file_start
from rewardmodel.selectors import reward_models
from runs.downloads import file_response

SHOWN, RECENT = 20, 10


@admin_required
def score_start(request: HttpRequest, pk: int) -> HttpResponse:
    """The form that has a file scored, and what was scored lately."""
    reward_model = get_object_or_404(reward_models(), pk=pk)
    form = ScoreForm(request.POST or None, request.FILES or None, reward_model=reward_model)
    if request.method == "POST" and form.is_valid():
        assert isinstance(request.user, User)
        file = form.cleaned_data["file"]
        try:
            run = score_file_start(
                reward_model=reward_model,
                data=file.read(LARGEST + 1),
                filename=file.name,
                config=form.cleaned_data["config"],
                user=request.user,
            )
        except ValidationError as error:
            form.add_service_errors(error)
        else:
            return redirect(run.get_absolute_url())
    context = {"reward_model": reward_model, "form": form, "recent": score_runs(reward_model)[:RECENT]}
    return render(request, "rewardmodel/scoring/start.html", context, status=422 if form.errors else 200)


@admin_required
def score_show(request: HttpRequest, pk: int) -> HttpResponse:
    """The first lines of a scoring, the best response first, and its file."""
    run = get_object_or_404(score_runs(), pk=pk)
    by = run.config["dimension"] or run.reward_model.dimensions[0]
    lines = score_lines(score_artifact(run), 0, SHOWN)
    means, spreads = (run.result.get(name, {}) for name in ("reward_mean", "reward_std"))
    context = {
        "run": run,
        "reward_model": run.reward_model,
        "by": by,
        "rewards": [(name, mean, spreads[name]) for name, mean in means.items()],
        "lines": [_shown(line, by) for line in lines],
    }
    return render(request, "rewardmodel/scoring/show.html", context)


@admin_required
def score_download(request: HttpRequest, pk: int) -> HttpResponseBase:
    """All lines; a broken download continues."""
    artifact = score_artifact(get_object_or_404(score_runs(), pk=pk))
    if artifact is None:
        raise Http404
    return file_response(request, artifact, FILE)


def _shown(line: dict, by: str) -> dict:
    """A line for people: the prompt's last turn, and the responses from the best to the worst by one dimension."""
    if "messages" in line:
        *prompt, answer = line["messages"]
        responses = [{**line, "text": answer["content"]}]
    else:
        prompt, responses = line["prompt"], line["responses"]
    ordered = sorted(responses, key=lambda response: -response["rewards"][by])
    shown = [
        {
            "text": each["text"],
            "rewards": each["rewards"].items(),
            "disagreement": (each.get("disagreement") or {}).items(),
            "cut": each["cut"],
        }
        for each in ordered
    ]
    return {"prompt": prompt[-1]["content"], "earlier": len(prompt) - 1, "responses": shown, "line": line["line"]}
