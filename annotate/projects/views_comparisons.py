"""The list of a project's comparisons, and changing many of them at once."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from accounts.models import User
from accounts.permissions import admin_required
from annotate.projects.models import Project
from annotate.projects.selectors import prompt_tags
from annotate.projects.selectors_comparisons import (
    STATES,
    Wanted,
    comparisons_matching,
    comparisons_page,
    project_rounds,
)
from annotate.projects.services_comparisons import ACTIONS, BOUNDS, Changed, comparisons_change
from annotate.ranking.models import Comparison

MANY = 200  # comparisons that are changed without asking again


@admin_required
def comparison_list(request: HttpRequest, slug: str) -> HttpResponse:
    """A project's comparisons, a page at a time."""
    project = get_object_or_404(Project, slug=slug)
    wanted = Wanted.read(request.GET)
    context = {
        "project": project,
        "wanted": wanted,
        "page": comparisons_page(
            project, wanted, after=request.GET.get("after", ""), before=request.GET.get("before", "")
        ),
        "matching": comparisons_matching(project, wanted).count(),
        "states": STATES,
        "rounds": project_rounds(project),
        "tags": prompt_tags(project),
        "actions": ACTIONS,
    }
    return render(request, "annotate/projects/comparisons.html", context)


@admin_required
@require_POST
def comparisons_act(request: HttpRequest, slug: str) -> HttpResponse:
    """Change the checked comparisons, or all that match; many are asked about once more."""
    project = get_object_or_404(Project, slug=slug)
    wanted = Wanted.read(request.POST)
    back = f"{reverse('annotate:comparison-list', args=[slug])}?{wanted.query}"
    rows, asked = _meant(request, project, wanted)
    count = rows.count()
    if not count:
        messages.error(request, "Check some comparisons first, or choose all that match.")
        return redirect(back)
    action, value = request.POST.get("action", ""), request.POST.get("value", "")
    if count > MANY and not request.POST.get("sure") and action in ACTIONS:
        context = {
            "project": project,
            "wanted": wanted,
            "count": count,
            "action": action,
            "label": ACTIONS[action],
            "value": value if action in BOUNDS else "",
            "back": back,
        }
        return render(request, "annotate/projects/comparisons_sure.html", context)
    assert isinstance(request.user, User)
    try:
        changed = comparisons_change(
            project=project, comparisons=rows, action=action, value=value, by=request.user, asked=asked
        )
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        say = messages.success if changed.complete else messages.warning
        say(request, outcome(changed, count))
    return redirect(back)


def _meant(request: HttpRequest, project: Project, wanted: Wanted) -> tuple[QuerySet[Comparison], dict[str, object]]:
    if request.POST.get("scope") == "all":
        return comparisons_matching(project, wanted), {"all_matching": wanted.json() or "no filter"}
    picked = [int(pk) for pk in request.POST.getlist("pick") if pk.isdecimal() and len(pk) < 19]
    return Comparison.objects.filter(project=project, pk__in=picked), {"comparisons": picked}


def outcome(changed: Changed, asked: int) -> str:
    """What came of it, in a sentence or three."""
    plural = "" if changed.count == 1 else "s"
    parts = [f"{changed.count:,} of {asked:,} comparison{plural if asked == 1 else 's'} changed."]
    if changed.closed:
        parts.append(f"{changed.closed:,} closed.")
    if changed.opened:
        parts.append(f"{changed.opened:,} opened again.")
    if not changed.complete:
        parts.append("Time ran out before the rest; do the same again to go on.")
    elif changed.count < asked:
        parts.append("The others were so already, or it does not apply to them.")
    return " ".join(parts)
