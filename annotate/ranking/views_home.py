"""The annotator's pages around the work: the queue, what was judged, the guidelines."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from annotate.projects.diffs import text_diff
from annotate.projects.models import Project
from annotate.quality.selectors import annotator_quality
from annotate.ranking import selectors
from annotate.ranking.models import Judgement
from annotate.ranking.own import Pace, guidelines_last_used, history_revisable, paces, qualification_of
from annotate.ranking.presets import in_language
from annotate.ranking.sanitise import render_markdown


@never_cache
@login_required
@require_GET
def home(request: HttpRequest) -> HttpResponse:
    """What waits for the annotator in each project, and how it goes."""
    pace, queues = paces(request.user), selectors.queues(request.user)
    cards = [
        {
            "queue": queue,
            "pace": pace.get(queue.project.pk, Pace()),
            "quality": annotator_quality(request.user, queue.project),
            "qualification": qualification_of(request.user, queue.project),
        }
        for queue in queues
    ]
    recent = [_line(judgement) for judgement in history_revisable(request.user)[:5]]
    return render(request, "annotate/ranking/home.html", {"queues": queues, "cards": cards, "recent": recent})


def nothing_left(request: HttpRequest, project: Project) -> HttpResponse:
    """What stands in the place of the next comparison when there is none."""
    context = {
        "project": project,
        "today": selectors.done_today(request.user, project),
        "why": selectors.why_nothing(request.user, project),
        "qualification": qualification_of(request.user, project),
    }
    return render(request, "annotate/ranking/done.html", context)


@never_cache
@login_required
@require_GET
def history(request: HttpRequest) -> HttpResponse:
    """All that the annotator judged; what nobody has decided yet can be revised."""
    page = Paginator(history_revisable(request.user), 50).get_page(request.GET.get("page"))
    context = {"page": page, "lines": [_line(judgement) for judgement in page]}
    return render(request, "annotate/ranking/history.html", context)


def _line(judgement: Judgement) -> dict[str, Any]:
    names = selectors.letters(judgement.display_order)
    project = judgement.comparison.project
    labels = {asked.key: asked.label for asked in project.attributes.all()}
    labels |= {asked.key: in_language(asked.label) for asked in project.dimensions.all()}
    standings = [(labels.get(key, key), selectors.standing(row, names)) for key, row in judgement.rankings.items()]
    ratings = [
        (labels.get(key, key), sorted((names.get(response, "?"), points) for response, points in row.items()))
        for key, row in judgement.ratings.items()
    ]
    all_bad = [labels.get(key, key) for key in judgement.all_bad]
    return {"judgement": judgement, "standings": standings, "ratings": ratings, "all_bad": all_bad}


@never_cache
@login_required
@require_GET
def guidelines(request: HttpRequest, slug: str) -> HttpResponse:
    """The guidelines as they are now, or an earlier version; and what changed since the annotator judged last."""
    project = selectors.project_for(request.user, slug)
    versions = list(project.guideline_versions.defer("text"))
    latest = versions[0] if versions else None
    chosen = request.GET.get("version", "")
    if chosen and not any(str(version.number) == chosen for version in versions):
        chosen = ""
    shown = get_object_or_404(project.guideline_versions, number=chosen) if chosen else latest
    used = guidelines_last_used(request.user, project)
    changed = bool(used and latest and used.number < latest.number and shown == latest)
    context = {
        "project": project,
        "html": render_markdown(shown.text if shown else project.guidelines),
        "version": shown,
        "is_latest": shown == latest,
        "versions": versions,
        "changed_since": used if changed else None,
        "passages": text_diff(used.text, project.guidelines) if used and changed else [],
    }
    return render(request, "annotate/ranking/guidelines.html", context)
