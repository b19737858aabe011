"""Withdrawing somebody's work from a project and putting it back, for admins."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.models import User
from accounts.permissions import admin_required
from annotate.projects.models import Membership, Project
from annotate.projects.services import membership_set_active
from annotate.review.models import Withdrawal
from annotate.review.selectors import withdrawals
from annotate.review.withdrawals import withdrawal_preview, work_restore, work_withdraw

PAGE = 50


@admin_required
@require_GET
def withdrawal_list(request: HttpRequest, slug: str) -> HttpResponse:
    """What was withdrawn from a project, and whose work could be."""
    project = get_object_or_404(Project, slug=slug)
    page = Paginator(withdrawals(project), PAGE).get_page(request.GET.get("page"))
    people = User.objects.filter(judgements__comparison__project=project, judgements__is_current=True).distinct()
    context = {"project": project, "page": page, "people": people.order_by("kind", "username")[:200]}
    return render(request, "annotate/review/withdrawals.html", context)


@admin_required
@require_http_methods(["GET", "POST"])
def withdraw(request: HttpRequest, slug: str, user: int) -> HttpResponse:
    """What withdrawing somebody's work would do; with a reason, it is done."""
    project = get_object_or_404(Project, slug=slug)
    person = get_object_or_404(User, pk=user)
    membership = Membership.objects.filter(project=project, user=person).first()
    given, errors = {"reason": "", "pause": True}, []
    if request.method == "POST":
        given = {"reason": request.POST.get("reason", ""), "pause": request.POST.get("pause") == "1"}
        assert isinstance(request.user, User)
        try:
            with transaction.atomic():
                if given["pause"] and membership and membership.is_active:
                    membership_set_active(membership=membership, is_active=False, by=request.user)
                done = work_withdraw(project=project, annotator=person, by=request.user, reason=str(given["reason"]))
        except ValidationError as error:
            errors = error.messages
        else:
            s = "" if done.count == 1 else "s"
            messages.success(request, f"{done.count:,} judgement{s} of {person} withdrawn. They can be restored here.")
            return redirect("annotate:withdrawal-list", project.slug)
    context = {
        "project": project,
        "person": person,
        "membership": membership,
        "preview": withdrawal_preview(project, person),
        "given": given,
        "errors": errors,
    }
    return render(request, "annotate/review/withdraw.html", context, status=422 if errors else 200)


@admin_required
@require_POST
def restore(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Let withdrawn work count again."""
    withdrawal = get_object_or_404(Withdrawal.objects.select_related("annotator", "project"), pk=pk, project__slug=slug)
    assert isinstance(request.user, User)
    try:
        work_restore(withdrawal=withdrawal, by=request.user)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(request, f"The work of {withdrawal.annotator} counts again. A pause stays until you end it.")
    return redirect("annotate:withdrawal-list", slug)
