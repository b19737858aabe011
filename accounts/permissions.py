"""Who may do what, said once for pages and once for the API."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

if TYPE_CHECKING:  # rest_framework.views imports the permission classes of the settings, that is, this module
    from rest_framework.views import APIView


def admin_required(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """A page for admins: strangers are asked to log in, annotators are told that it is not theirs."""

    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        if not request.user.is_staff:
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return wrapper


class IsAdmin(BasePermission):
    """The API is for admins unless an endpoint says otherwise."""

    message = "This endpoint is for admins."

    def has_permission(self, request: Request, view: APIView) -> bool:
        return bool(request.user and request.user.is_authenticated and request.user.is_staff)
