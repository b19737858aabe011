from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.http import HttpRequest

from accounts.audit import audit_record
from accounts.models import AuditEntry, User


class LookOnly:
    """Shows rows and changes none: pages, REST and commands go through services, which check and keep the trail."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(User)
class PlumblineUserAdmin(UserAdmin):
    """People are changed here and nowhere else, so the trail is written here; passwords never stand in it."""

    list_display = ("username", "email", "kind", "is_staff", "is_active", "last_login")
    list_filter = ("kind", "is_staff", "is_active")
    fieldsets = (*UserAdmin.fieldsets, ("Plumbline", {"fields": ("kind",)}))

    def log_addition(self, request: HttpRequest, obj: User, message: Any) -> Any:
        audit_record(actor=_user(request), action="user.added", subject=obj)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: User, message: Any) -> Any:
        fields = [str(name) for part in message if isinstance(part, dict) for name in _fields(part)]
        audit_record(
            actor=_user(request), action="user.changed", subject=obj, fields=fields, is_admin=obj.is_staff,
            is_active=obj.is_active,
        )  # fmt: skip
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        for user in queryset:
            audit_record(actor=_user(request), action="user.deleted", subject=user)
        return super().log_deletions(request, queryset)


def _fields(part: dict[str, Any]) -> list[str]:
    return part.get("changed", {}).get("fields", [])


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


@admin.register(AuditEntry)
class AuditEntryAdmin(LookOnly, admin.ModelAdmin):
    """Read only: entries are written once and never changed."""

    list_display = ("at", "actor", "action", "subject", "scope")
    list_filter = ("action",)
    list_select_related = ("actor",)
    search_fields = ("subject",)
