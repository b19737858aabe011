"""A user's own account: password, language, and the tokens that scripts use in their name."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import translation
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST
from knox.models import AuthToken


@login_required
def account(request: HttpRequest) -> HttpResponse:
    tokens = AuthToken.objects.filter(user=request.user).order_by("-created")
    return render(request, "accounts/account.html", {"tokens": tokens})


@login_required
@require_POST
def token_create(request: HttpRequest) -> HttpResponse:
    """Show a new token this once: only its hash is kept."""
    _instance, token = AuthToken.objects.create(request.user)
    tokens = AuthToken.objects.filter(user=request.user).order_by("-created")
    return render(request, "accounts/account.html", {"tokens": tokens, "new_token": token})


@login_required
@require_POST
def token_revoke(request: HttpRequest, key: str) -> HttpResponse:
    revoked, _rows = AuthToken.objects.filter(user=request.user, token_key=key).delete()
    messages.success(request, _("Token revoked.") if revoked else _("That token was already gone."))
    return redirect("accounts:account")


@require_POST
def language(request: HttpRequest) -> HttpResponse:
    """Show the pages in another language from now on: in this browser, and wherever this person logs in."""
    chosen = request.POST.get("language", "")
    back = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure()):
        back = "/"
    response = redirect(back)
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
