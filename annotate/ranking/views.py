"""The annotator's pages. Whatever is not one's own does not exist: 404."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotate.ranking import selectors
from annotate.ranking.answer import LARGEST_BODY, Answer
from annotate.ranking.engine import assignment_ahead, assignment_next
from annotate.ranking.feedback import Feedback, feedback_of
from annotate.ranking.form import form_read, gaps_closed
from annotate.ranking.letters import to_ids
from annotate.ranking.models import Assignment
from annotate.ranking.page import item_build, page_version, settled_of
from annotate.ranking.sanitise import render_markdown
from annotate.ranking.services import (
    UNSAID,
    assignment_skip,
    assignment_start,
    draft_save,
    judgement_current,
    judgement_submit,
    outcome_of,
)
from annotate.ranking.strings import page_strings
from annotate.ranking.views_home import nothing_left
from config.templatetags.plumbline import percent

# pages ----------------------------------------------------------------------------------------------------------------


@never_cache
@login_required
@require_GET
def next_assignment(request: HttpRequest, slug: str) -> HttpResponse:
    project = selectors.project_for(request.user, slug)
    assignment = assignment_next(annotator=request.user, project=project)
    if assignment is None:
        return nothing_left(request, project)
    return redirect("annotate:assignment", assignment.pk)


@never_cache
@login_required
@require_GET
def undo(request: HttpRequest, slug: str) -> HttpResponse:
    """Open the last submission again. It counts as it is until something else is submitted in its place."""
    project = selectors.project_for(request.user, slug)
    last = selectors.last_submitted(request.user, project)
    if last is None:
        messages.info(request, _("You have not submitted anything in this project yet."))
        return redirect("annotate:home")
    return redirect("annotate:assignment", last.pk)


@never_cache
@login_required
@require_http_methods(["GET", "POST"])
def assignment(request: HttpRequest, pk: int) -> HttpResponse:
    """The ranking page; its form works without JavaScript."""
    mine = selectors.own_assignment(request.user, pk)
    if request.method == "GET":
        assignment_start(assignment=mine)
        return _ranking_page(request, mine)
    action = request.POST.get("action", "submit")
    given = form_read(request.POST, list(selectors.letters(mine.display_order).values()))
    try:
        if action == "skip":
            assignment_skip(assignment=mine, reason=request.POST.get("reason", ""), note=request.POST.get("note", ""))
        elif action == "save":
            revises = _shown(request)["revises"]
            saved = draft_save(assignment=mine, draft=to_ids(mine, given) | {"revises": revises})
            if why := _not_kept(saved, revises):
                messages.error(request, why)
            else:
                messages.success(request, _("Saved."))
            return redirect("annotate:assignment", mine.pk)
        elif action.startswith("edit-"):
            return _ranking_page(request, mine, given=_edit_begun(mine, given, action.removeprefix("edit-")))
        else:
            judgement = judgement_submit(assignment=mine, **to_ids(mine, gaps_closed(given)), **_shown(request))
            if (outcome := outcome_of(judgement)) in ("extra", "stale"):
                messages.info(request, outcome_text(outcome))
            if feedback := feedback_of(judgement, mine.comparison):
                messages.info(request, feedback_text(feedback))
    except ValidationError as error:
        return _ranking_page(request, mine, given=given, errors=error.messages)
    return redirect("annotate:next", mine.comparison.project.slug)


def _ranking_page(
    request: HttpRequest, mine: Assignment, *, given: dict[str, Any] | None = None, errors: list[str] | None = None
) -> HttpResponse:
    context = {
        "item": item_build(mine, given=given),
        "errors": errors or [],
        "strings": json.dumps(page_strings()),
        "user_key": request.user.pk,
        "version": page_version(),
        "now": str(int(time.time() * 1000)),
    }
    return render(request, "annotate/ranking/rank.html", context, status=400 if errors else 200)


def _shown(request: HttpRequest) -> dict[str, Any]:
    """What the form says was on the page: the judgement that it may replace, and the version of the guidelines."""
    values = {name: request.POST.get(name) for name in ("revises", "guidelines")}
    numbers = {name: int(value[:18]) if value and value.isdecimal() else None for name, value in values.items()}
    return numbers | ({"revises": UNSAID} if values["revises"] is None else {})


def _not_kept(saved: Assignment, revises: object) -> str:
    """Why a draft that was sent is not kept; nothing if it is. `revises`: the judgement it was to replace."""
    current = judgement_current(saved)
    if current is None:
        return ""
    if why := settled_of(saved.comparison, current):
        return why
    return "" if current.pk == revises else _("Not saved: a newer answer of yours is there, which is shown here.")


def _edit_begun(mine: Assignment, given: dict[str, Any], letter: str) -> dict[str, Any]:
    """Without JavaScript: what was chosen so far, with the text of one response to be edited."""
    response = next((pk for pk, name in selectors.letters(mine.display_order).items() if name == letter), None)
    if response is None:
        raise Http404
    if (given["edit"] or {}).get("response") != letter:
        given["edit"] = {"response": letter, "text": mine.comparison.responses.get(pk=response).text}
    return given


# what ranking.js calls ------------------------------------------------------------------------------------------------


def json_endpoint(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """POST with a JSON object, from the page: a lost login is said in a status code, not by a page that asks for it."""

    @wraps(view)
    def wrapper(request: HttpRequest, pk: int) -> HttpResponse:
        if not request.user.is_authenticated:
            return JsonResponse({"message": _("You are signed out.")}, status=401)
        if len(request.body) > LARGEST_BODY:
            return JsonResponse({"message": _("That is too much text.")}, status=413)
        mine = selectors.own_assignment(request.user, pk)
        try:
            data = json.loads(request.body or b"{}")
            if not isinstance(data, dict):
                raise ValueError
            return view(request, mine, data)
        except ValidationError as error:
            return JsonResponse({"message": " ".join(error.messages), "errors": error.messages}, status=400)
        except ValueError:
            return JsonResponse({"message": _("This is not a JSON object.")}, status=400)

    return never_cache(require_POST(wrapper))


@json_endpoint
def draft(request: HttpRequest, mine: Assignment, data: dict[str, Any]) -> HttpResponse:
    saved = draft_save(assignment=mine, draft=to_ids(mine, data))
    return JsonResponse({"state": saved.state, "kept": not _not_kept(saved, data.get("revises"))})


@json_endpoint
def submit(request: HttpRequest, mine: Assignment, data: dict[str, Any]) -> HttpResponse:
    given = to_ids(mine, data)
    fields = (*Answer.__slots__, "seconds_active", "guidelines")
    values = {name: given.get(name) for name in fields}
    judgement = judgement_submit(assignment=mine, **values, revises=given.get("revises", UNSAID))
    outcome = outcome_of(judgement)
    reply = {"judgement": judgement.pk, "outcome": outcome, "message": outcome_text(outcome)}
    if feedback := feedback_of(judgement, mine.comparison):
        html = render_to_string("annotate/ranking/_feedback.html", {"feedback": feedback})
        reply["feedback"] = {"message": feedback_text(feedback), "share": percent(feedback.score, 0), "html": html}
    return JsonResponse(reply)


@json_endpoint
def skip(request: HttpRequest, mine: Assignment, data: dict[str, Any]) -> HttpResponse:
    assignment_skip(assignment=mine, reason=str(data.get("reason", "")), note=str(data.get("note", "")))
    return JsonResponse({"outcome": "skipped", "message": _("Skipped.")})


@json_endpoint
def ahead(request: HttpRequest, mine: Assignment, data: dict[str, Any]) -> HttpResponse:
    """The next item as HTML, under its own lease. That it is asked for means that `mine` is on screen."""
    following = assignment_ahead(assignment=mine)
    if following is None:
        return HttpResponse(status=204)
    item = item_build(following)
    html = render_to_string("annotate/ranking/_item.html", {"item": item}, request=request)
    return JsonResponse({"id": following.pk, "url": item.url, "html": html, "version": page_version()})


@never_cache
@require_GET
def guidelines_text(request: HttpRequest, slug: str) -> HttpResponse:
    """The current guidelines, to be read beside the work."""
    if not request.user.is_authenticated:
        return JsonResponse({"message": _("You are signed out.")}, status=401)
    project = selectors.project_for(request.user, slug)
    latest = project.guideline_versions.first()
    return JsonResponse({"number": latest.number if latest else 0, "html": render_markdown(project.guidelines)})


def outcome_text(outcome: str) -> str:
    return {
        "accepted": _("Submitted."),
        "revised": _("Submitted; it replaces your earlier answer."),
        "stale": _("A newer answer of yours is there and counts; this one is only kept on record."),
        "extra": _(
            "Your lease had run out and others have judged this one, so your answer is kept as an extra judgement."
        ),
    }[outcome]


def feedback_text(feedback: Feedback) -> str:
    return _("The last one had a known answer: %(share)s of its pairs are ordered as there.") % {
        "share": percent(feedback.score, 0)
    }
