"""People: who may work where, and links that invite others."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth import login
from django.core.exceptions import ValidationError
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
from annotate.projects.forms import AcceptForm, InvitationForm, add_service_errors
from annotate.projects.invitations import invitation_accept, invitation_create, invitation_find, invitation_revoke
from annotate.projects.models import Invitation, Membership, Project
from annotate.projects.services import membership_add, membership_set_active


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
    memberships = Membership.objects.select_related("project").order_by("project__name")
    context = {
        "form": form,
        "link": link,
        "users": User.objects.prefetch_related(Prefetch("memberships", memberships)).order_by("kind", "username"),
        "projects": Project.objects.all(),
        "invitations": Invitation.objects.filter(accepted_at=None, revoked_at=None, expires_at__gt=timezone.now())
        .select_related("created_by")
        .prefetch_related("projects"),
    }
    return render(request, "annotate/projects/people.html", context, status=422 if form.errors else 200)


@admin_required
@require_POST
def membership_new(request: HttpRequest, pk: int) -> HttpResponse:
    """Let somebody work in a project."""
    user = get_object_or_404(User, pk=pk)
    chosen = request.POST.get("project", "")
    project = get_object_or_404(Project, pk=chosen if chosen.isdecimal() and len(chosen) < 19 else 0)
    assert isinstance(request.user, User)
    membership_add(project=project, user=user, by=request.user)
    messages.success(request, f"{user} may work in {project}.")
    return redirect("annotate:people")


@admin_required
@require_POST
def membership_switch(request: HttpRequest, pk: int) -> HttpResponse:
    """Pause or resume somebody in a project."""
    membership = get_object_or_404(Membership.objects.select_related("user", "project"), pk=pk)
    membership_set_active(membership=membership, is_active=request.POST.get("active") == "1")
    state = "may work" if membership.is_active else "is paused"
    messages.success(request, f"{membership.user} {state} in {membership.project}.")
    return redirect("annotate:people")


@admin_required
@require_POST
def invitation_cancel(request: HttpRequest, pk: int) -> HttpResponse:
    invitation_revoke(invitation=get_object_or_404(Invitation, pk=pk))
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
