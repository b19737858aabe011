"""The conflict queue of an evaluation, for admins. Annotators have no page of it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from accounts.models import User
from accounts.permissions import admin_required
from rewardmodel.conflicts.forms import SendForm, WantedForm
from rewardmodel.conflicts.measures import verdict
from rewardmodel.conflicts.selectors import (
    Wanted,
    conflict_dimensions,
    conflict_lines,
    conflicts,
    relabelling_outcome,
    relabelling_verdicts,
    relabellings,
)
from rewardmodel.conflicts.services import REASONS, conflicts_fit, conflicts_send, left_of, left_words
from rewardmodel.evaluation.page import shown
from rewardmodel.evaluation.selectors import evaluation_artifact, reward_evaluations
from rewardmodel.models import RewardEvaluation
from runs.models import Artifact

PAGE, SENT = 20, 50
NAME = "rewardmodel/conflicts/list.html"
SAID = {"model": "the model's choice", "other": "the other", "tie": "a tie", "open": "not judged yet"}


@admin_required
def conflict_list(request: HttpRequest, pk: int) -> HttpResponse:
    """Pairs where the model is sure and people are not with it; POST sends them to be judged again."""
    run = get_object_or_404(reward_evaluations(), pk=pk)
    artifact = evaluation_artifact(run)
    if artifact is None or run.dataset_version is None:
        return render(request, NAME, {"run": run})
    form = WantedForm(request.GET, dimensions=conflict_dimensions(artifact))
    send = SendForm(request.POST or None, label_suffix="")
    query = urlencode({name: value for name, value in request.GET.items() if name in form.fields})
    if not form.is_valid():
        return render(request, NAME, {"run": run, "form": form, **_sent(run)}, status=422)
    if request.method == "POST" and send.is_valid():
        assert isinstance(request.user, User)
        try:
            sent = conflicts_send(evaluation=run, wanted=form.wanted(), by=request.user, **send.cleaned_data)
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
        else:
            (messages.success if sent.count else messages.warning)(request, str(sent))
        return redirect(f"{request.path}?{query}")
    found = _found(run, artifact, form.wanted(), request.GET.get("page"))
    context = {"run": run, "form": form, "send": send, "query": query, **found, **_sent(run)}
    return render(request, NAME, context, status=422 if send.errors else 200)


def _found(run: RewardEvaluation, artifact: Artifact, wanted: Wanted, number: str | None) -> dict[str, Any]:
    """The conflicts of one page with their texts, and how many of all can be sent."""
    fits = conflicts_fit(evaluation=run, found=conflicts(artifact, wanted), wanted=wanted)
    page = Paginator(fits, PAGE).get_page(number)
    lines = conflict_lines(artifact, [each.conflict for each in page.object_list])
    items = [
        shown(line)
        | {"information": fit.conflict.information, "before": fit.before, "reason": REASONS.get(fit.reason, "")}
        for fit, line in zip(page.object_list, lines, strict=True)
    ]
    ready = sum(not each.reason for each in fits)
    return {"page": page, "items": items, "ready": ready, "left": left_words(left_of(fits))}


def _sent(run: RewardEvaluation) -> dict[str, Any]:
    """What was sent before and what became of it."""
    sent = relabellings(run)
    verdicts = relabelling_verdicts(sent)
    rows = [(each, new, SAID[verdict(new)]) for each, new in zip(sent[:SENT], verdicts, strict=False)]
    return {"sent": rows, "sent_count": len(sent), "outcome": relabelling_outcome(sent, verdicts)}
