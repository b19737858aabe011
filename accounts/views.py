"""A user's own account: password, language, and the tokens that scripts use in their name."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
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
    _, token = AuthToken.objects.create(request.user)
    tokens = AuthToken.objects.filter(user=request.user).order_by("-created")
    return render(request, "accounts/account.html", {"tokens": tokens, "new_token": token})


@login_required
@require_POST
def token_revoke(request: HttpRequest, key: str) -> HttpResponse:
    revoked, _ = AuthToken.objects.filter(user=request.user, token_key=key).delete()
    messages.success(request, "Token revoked." if revoked else "That token was already gone.")
    return redirect("accounts:account")
