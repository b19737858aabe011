"""The annotator's pages around the work: the queue, what was judged, the guidelines."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from annotate.projects.models import Project
from annotate.ranking import selectors
from annotate.ranking.models import Judgement
from annotate.ranking.sanitise import render_markdown


@never_cache
@login_required
@require_GET
def home(request: HttpRequest) -> HttpResponse:
    recent = list(selectors.history(request.user)[:5])
    return render(
        request,
        "annotate/ranking/home.html",
        {"queues": selectors.queues(request.user), "recent": [_line(judgement) for judgement in recent]},
    )


def nothing_left(request: HttpRequest, project: Project) -> HttpResponse:
    """What stands in the place of the next comparison when there is none."""
    context = {"project": project, "today": selectors.done_today(request.user, project)}
    return render(request, "annotate/ranking/done.html", context)


@never_cache
@login_required
@require_GET
def history(request: HttpRequest) -> HttpResponse:
    page = Paginator(selectors.history(request.user), 50).get_page(request.GET.get("page"))
    return render(
        request, "annotate/ranking/history.html", {"page": page, "lines": [_line(judgement) for judgement in page]}
    )


def _line(judgement: Judgement) -> dict[str, Any]:
    names = selectors.letters(judgement.display_order)
    labels = {d.key: d.label for d in judgement.comparison.project.dimensions.all()}
    standings = [(labels.get(key, key), selectors.standing(row, names)) for key, row in judgement.rankings.items()]
    all_bad = [labels.get(key, key) for key in judgement.all_bad]
    return {"judgement": judgement, "standings": standings, "all_bad": all_bad}


@login_required
@require_GET
def guidelines(request: HttpRequest, slug: str) -> HttpResponse:
    project = selectors.project_for(request.user, slug)
    return render(
        request,
        "annotate/ranking/guidelines.html",
        {"project": project, "html": render_markdown(project.guidelines)},
    )
