"""Pages of reviewers: what is contested, and one comparison to decide. And, for admins, who ranked what."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from accounts.models import User
from accounts.permissions import admin_required
from annotate.ranking.models import Comparison
from annotate.ranking.sanitise import render_markdown, render_plain
from annotate.ranking.selectors import comparison_judgements, standing
from annotate.review import selectors
from annotate.review.page import form_read, letters_for, numbered, review_build, token_of
from annotate.review.services import adjudicate, decision_from

PAGE = 30


@never_cache
@login_required
@require_GET
def queue(request: HttpRequest, slug: str) -> HttpResponse:
    """What is contested in a project, the most contested first; `?show=decided` is what was decided."""
    user = _user(request)
    project = selectors.project_for_review(user, slug)
    show = "decided" if request.GET.get("show") == "decided" else "waiting"
    text = request.GET.get("q", "").replace("\x00", "").strip()
    rounds = request.GET.get("round", "")
    chosen = int(rounds) if rounds.isdecimal() and len(rounds) < 5 else None
    rows = selectors.decided(project) if show == "decided" else selectors.review_queue(project, user)
    rows = selectors.narrowed(rows, round=chosen, text=text).select_related("prompt")
    page = Paginator(rows, PAGE).get_page(request.GET.get("page"))
    query = request.GET.copy()
    query.pop("page", None)
    context = {
        "project": project,
        "show": show,
        "text": text,
        "round": chosen,
        "filtered": bool(text) or chosen is not None,
        "page": page,
        "lines": selectors.queue_lines(project, page.object_list),
        "first": page.object_list[0].pk if show == "waiting" and page.object_list else None,
        "progress": selectors.review_progress(project, user),
        "query": query.urlencode(),
    }
    return render(request, "annotate/review/queue.html", context)


@never_cache
@login_required
@require_http_methods(["GET", "POST"])
def review(request: HttpRequest, pk: int) -> HttpResponse:
    """One comparison with everything said about it, and the form that decides it. It works without JavaScript."""
    user = _user(request)
    found = selectors.comparison_for_review(user, pk)
    if request.method == "GET":
        return _review_page(request, found)
    given = form_read(request.POST, letters_for(found, user))
    taken = request.POST.get("take", "")
    if taken:
        judgement = next((each for each in numbered(found).values() if token_of(each) == taken), None)
        if judgement is None:
            sentence = _("That judgement does not count any more: its annotator has changed it.")
            return _review_page(request, found, given, [sentence])
        given |= decision_from(judgement)
    seen = request.POST.get("revises", "")
    revises = int(seen) if seen.isdecimal() and len(seen) < 19 else None
    try:
        adjudicate(comparison=found, reviewer=user, revises=revises, **given)
    except ValidationError as error:
        return _review_page(request, found, given, error.messages)
    messages.success(request, _("Decided."))
    following = selectors.review_queue(found.project, user).exclude(pk=found.pk).first()
    if following is None:
        return redirect("annotate:review-queue", found.project.slug)
    return redirect("annotate:review", following.pk)


def _review_page(
    request: HttpRequest, found: Comparison, given: dict[str, Any] | None = None, errors: list[str] | None = None
) -> HttpResponse:
    user = _user(request)
    item = review_build(found, user, given=given)
    own = selectors.has_judged(user, found)
    context = {
        "item": item,
        "project": found.project,
        "errors": errors or [],
        "progress": selectors.review_progress(found.project, user),
        "own": own,
        "may_decide": found.is_closed and bool(item.opinions or item.decision) and (user.is_staff or not own),
    }
    return render(request, "annotate/review/review.html", context, status=400 if errors else 200)


@never_cache
@admin_required
@require_GET
def comparison(request: HttpRequest, pk: int) -> HttpResponse:
    """Who ranked what, and what a reviewer decided; read only, for admins."""
    found = get_object_or_404(Comparison.objects.select_related("project", "prompt"), pk=pk)
    members = list(found.members.select_related("response__generator").order_by("position"))
    names = {str(member.response_id): str(member.position + 1) for member in members}
    dimensions = list(found.project.dimensions.all())
    labels = {d.key: d.label for d in dimensions}
    rows = [
        {
            "judgement": judgement,
            "standings": [standing(judgement.rankings.get(d.key, {}), names) for d in dimensions],
            "all_bad": [labels.get(key, key) for key in judgement.all_bad],
            "seen": [names.get(str(response), "?") for response in judgement.display_order],
            "flags": [(flag["flag"], names.get(str(flag.get("response")), "")) for flag in judgement.flags],
        }
        for judgement in comparison_judgements(found).select_related("withdrawal")
    ]
    decisions = [
        {
            "decision": decision,
            "standings": [standing(decision.rankings.get(d.key, {}), names) for d in dimensions],
            "all_bad": [labels.get(key, key) for key in decision.all_bad],
        }
        for decision in found.adjudications.select_related("reviewer").order_by("-pk")
    ]
    context = {
        "comparison": found,
        "turns": [(turn["role"], render_plain(turn["content"])) for turn in found.prompt.messages],
        "members": [
            (member.position + 1, member.response, render_markdown(member.response.text)) for member in members
        ],
        "dimensions": dimensions,
        "rows": rows,
        "decisions": decisions,
        "may_review": found.purpose == Comparison.Purpose.WORK and bool(rows),
        "assignments": found.assignments.select_related("annotator").order_by("id"),
    }
    return render(request, "annotate/review/comparison.html", context)


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user
