"""A user's own account (password, language, tokens for scripts), and the audit trail for admins."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.utils import translation
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST
from knox.models import AuthToken

from accounts import selectors, services
from accounts.permissions import admin_required


@login_required
def account(request: HttpRequest) -> HttpResponse:
    tokens = AuthToken.objects.filter(user=request.user).order_by("-created")
    return render(request, "accounts/account.html", {"tokens": tokens})


@login_required
@require_POST
def token_create(request: HttpRequest) -> HttpResponse:
    """Show a new token this once: only its hash is kept."""
    token = services.token_create(user=request.user)
    tokens = AuthToken.objects.filter(user=request.user).order_by("-created")
    return render(request, "accounts/account.html", {"tokens": tokens, "new_token": token})


@login_required
@require_POST
def token_revoke(request: HttpRequest, key: str) -> HttpResponse:
    revoked = services.token_revoke(user=request.user, key=key)
    messages.success(request, _("Token revoked.") if revoked else _("That token was already gone."))
    return redirect("accounts:account")


@require_POST
def language(request: HttpRequest) -> HttpResponse:
    """Show the pages in another language from now on: in this browser, and wherever this person logs in."""
    chosen = request.POST.get("language", "")
    back = request.POST.get("next", "")
    ours = url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure())
    response = HttpResponseRedirect(back if ours and back.startswith("/") else "/")
    if chosen in dict(settings.LANGUAGES):
        if request.user.is_authenticated:
            request.user.language = chosen
            request.user.save(update_fields=["language"])
        translation.activate(chosen)
        response.set_cookie(
            settings.LANGUAGE_COOKIE_NAME,
            chosen,
            max_age=365 * 24 * 3600,
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
            samesite="Lax",
        )
    return response


@admin_required
@require_GET
def audit(request: HttpRequest) -> HttpResponse:
    """Who did what, the newest first; `?person=`, `?scope=`, `?action=` and `?q=` narrow it down."""
    given = {name: request.GET.get(name, "").replace("\x00", "").strip() for name in ("person", "scope", "action", "q")}
    entries = selectors.audit_entries(
        person=_key(given["person"]) if given["person"] else None,
        scope=given["scope"],
        action=given["action"],
        text=given["q"],
    )
    page = selectors.audit_page(entries, before=_key(request.GET.get("before", "")))
    query = request.GET.copy()
    query.pop("before", None)
    context = {
        "page": page,
        "given": given,
        "filtered": any(given.values()),
        "people": selectors.audit_people(_key(given["person"])),
        "scopes": selectors.audit_scopes(),
        "places": {scope.key: scope for scope in selectors.audit_scopes(entry.scope for entry in page.entries)},
        "actions": selectors.audit_actions(),
        "query": query.urlencode(),
        "is_first": "before" not in request.GET,
    }
    return render(request, "accounts/audit.html", context)


def _key(value: str) -> int:
    """An id from a URL; 0, which nothing has, for what is none."""
    return int(value) if value.isdecimal() and len(value) < 19 else 0
