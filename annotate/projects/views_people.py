"""People: who may work where, and links that invite others."""

from __future__ import annotations

from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth import login
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from accounts.models import User
from accounts.permissions import admin_required
from annotate.gold.services import membership_qualify
from annotate.projects.forms import AcceptForm, InvitationForm, MembershipForm, add_service_errors
from annotate.projects.invitations import invitation_accept, invitation_create, invitation_find, invitation_revoke
from annotate.projects.models import Invitation, Membership, Project
from annotate.projects.selectors_people import (
    ROLES,
    STATES,
    Work,
    members_found,
    qualification_rates,
    quality_of_people,
    users_found,
    work_of,
)
from annotate.projects.services import PEOPLE_ACTIONS, membership_update, people_change

PAGE = 50


@admin_required
@never_cache
def people(request: HttpRequest) -> HttpResponse:
    """Everybody, and a form that makes an invitation link. The link is shown this once."""
    initial = {"projects": request.GET.getlist("project")}
    form = InvitationForm(request.POST or None, initial=initial, label_suffix="")
    link = ""
    if request.method == "POST" and form.is_valid():
        assert isinstance(request.user, User)
        try:
            _, token = invitation_create(user=request.user, **form.cleaned_data)
        except ValidationError as error:
            add_service_errors(form, error)
        else:
            link = request.build_absolute_uri(reverse("annotate:invitation", args=[token]))
            form = InvitationForm(label_suffix="")
    text, role = request.GET.get("q", ""), request.GET.get("role", "")
    memberships = Membership.objects.select_related("project").order_by("project__name")
    found = users_found(text=text, role=role).prefetch_related(Prefetch("memberships", memberships))
    page = Paginator(found, PAGE).get_page(request.GET.get("page"))
    work = work_of([user.pk for user in page])
    context = {
        "form": form,
        "link": link,
        "page": page,
        "rows": [(user, work.get(user.pk, Work())) for user in page],
        "text": text,
        "role": role,
        "roles": ROLES,
        "query": urlencode({"q": text, "role": role}),
        "actions": PEOPLE_ACTIONS,
        "projects": Project.objects.all(),
        "chosen": request.GET.get("project", ""),
        "invitations": Invitation.objects.filter(accepted_at=None, revoked_at=None, expires_at__gt=timezone.now())
        .select_related("created_by")
        .prefetch_related("projects"),
    }
    return render(request, "annotate/projects/people.html", context, status=422 if form.errors else 200)


@admin_required
@require_POST
def people_act(request: HttpRequest) -> HttpResponse:
    """Do something to all checked people in a project, or in all of theirs."""
    chosen = request.POST.get("project", "")
    project = None
    if chosen:
        project = get_object_or_404(Project, pk=chosen if chosen.isdecimal() and len(chosen) < 19 else 0)
    back = reverse("annotate:people")
    if request.POST.get("back") == "project" and project:
        back = reverse("annotate:project-people", args=[project.slug])
    picked = [int(pk) for pk in request.POST.getlist("pick") if pk.isdecimal() and len(pk) < 19]
    users = User.objects.filter(pk__in=picked)
    action = request.POST.get("action", "")
    assert isinstance(request.user, User)
    try:
        if not picked:
            raise ValidationError("Check some people first.")
        count = people_change(users=users, project=project, action=action, by=request.user)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        where = project or "their projects"
        plural = "person" if count == 1 else "people"
        rest = "" if count == len(picked) else " The others were so already, or are not in it."
        messages.success(request, f"{PEOPLE_ACTIONS[action]} {where}: {count:,} {plural}.{rest}")
    return redirect(back)


@admin_required
def project_people(request: HttpRequest, slug: str) -> HttpResponse:
    """The people of one project: what they may, what they did, and how well."""
    project = get_object_or_404(Project, slug=slug)
    text, state = request.GET.get("q", ""), request.GET.get("state", "")
    page = Paginator(members_found(project, text=text, state=state), PAGE).get_page(request.GET.get("page"))
    work = work_of([member.user_id for member in page], project)
    quality, computed_at = quality_of_people(project)
    for member in page:
        member.project = project
    context = {
        "project": project,
        "page": page,
        "rows": [(member, work.get(member.user_id, Work()), quality.get(member.user_id, {})) for member in page],
        "computed_at": computed_at,
        "text": text,
        "state": state,
        "states": STATES,
        "query": urlencode({"q": text, "state": state}),
        "actions": {key: label for key, label in PEOPLE_ACTIONS.items() if key != "add"},
        "rates": qualification_rates(project) if project.must_qualify else None,
    }
    return render(request, "annotate/projects/project_people.html", context)


@admin_required
def membership(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """One person in one project."""
    member = get_object_or_404(Membership.objects.select_related("user", "project"), pk=pk, project__slug=slug)
    # The form cleans into the instance it is given; the page's heading keeps the person as they are.
    form = MembershipForm(
        request.POST or None, instance=Membership.objects.get(pk=pk), label_suffix="", initial=_decision(member)
    )
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        decision = given.pop("qualification")
        assert isinstance(request.user, User)
        try:
            with transaction.atomic():
                membership_update(membership=member, by=request.user, **given)
                if decision != _decision(member)["qualification"]:
                    passed = None if decision == "" else decision == "1"
                    membership_qualify(membership=member, passed=passed, by=request.user)
        except ValidationError as error:
            add_service_errors(form, error)
        else:
            messages.success(request, f"{member.user} is saved.")
            return redirect("annotate:project-people", slug)
    quality, computed_at = quality_of_people(member.project)
    context = {
        "project": member.project,
        "membership": member,
        "form": form,
        "work": work_of([member.user_id], member.project).get(member.user_id, Work()),
        "quality": quality.get(member.user_id, {}),
        "computed_at": computed_at,
    }
    return render(request, "annotate/projects/membership.html", context, status=422 if form.errors else 200)


def _decision(member: Membership) -> dict[str, str]:
    """The state of the qualification as the form spells it."""
    states = {Membership.Qualification.PASSED: "1", Membership.Qualification.FAILED: "0"}
    return {"qualification": states.get(Membership.Qualification(member.qualification), "")}


@admin_required
@require_POST
def membership_switch(request: HttpRequest, pk: int) -> HttpResponse:
    """Pause or resume somebody in a project."""
    member = get_object_or_404(Membership.objects.select_related("user", "project"), pk=pk)
    assert isinstance(request.user, User)
    member = membership_update(membership=member, by=request.user, is_active=request.POST.get("active") == "1")
    state = "may work" if member.is_active else "is paused"
    messages.success(request, f"{member.user} {state} in {member.project}.")
    return redirect("annotate:project-people", member.project.slug)


@admin_required
@require_POST
def invitation_cancel(request: HttpRequest, pk: int) -> HttpResponse:
    assert isinstance(request.user, User)
    invitation_revoke(invitation=get_object_or_404(Invitation, pk=pk), by=request.user)
    messages.success(request, "The link opens nothing any more.")
    return redirect("annotate:people")


@never_cache
@sensitive_post_parameters("password", "again")
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """The page behind an invitation link: choose a name and a password, and go to work."""
    found = invitation_find(token)
    if found is None:
        return render(request, "annotate/projects/invitation_gone.html", status=410)
    form = AcceptForm(request.POST or None, label_suffix="")
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        try:
            user = invitation_accept(
                token=token, username=given["username"], password=given["password"], email=given["email"]
            )
        except ValidationError as error:
            add_service_errors(form, error)
        else:
            login(request, user, backend="django.contrib.auth.backends.ModelBackend")
            return redirect("home")
    context = {"form": form, "invitation": found, "projects": found.projects.all()}
    return render(request, "annotate/projects/invitation.html", context, status=422 if form.errors else 200)
