from django.contrib import admin
from django.contrib.auth.admin import UserAdmin

from accounts.models import AuditEntry, User


@admin.register(User)
class PlumblineUserAdmin(UserAdmin):
    list_display = ("username", "email", "kind", "is_staff", "is_active", "last_login")
    list_filter = ("kind", "is_staff", "is_active")
    fieldsets = (*UserAdmin.fieldsets, ("Plumbline", {"fields": ("kind",)}))


@admin.register(AuditEntry)
class AuditEntryAdmin(admin.ModelAdmin):
    """Read only: entries are written once and never changed."""

    list_display = ("at", "actor", "action", "subject", "scope")
    list_filter = ("action",)
    list_select_related = ("actor",)
    search_fields = ("subject",)

    def has_add_permission(self, request) -> bool:  # type: ignore[no-untyped-def]
        return False

    def has_change_permission(self, request, obj=None) -> bool:  # type: ignore[no-untyped-def]
        return False

    def has_delete_permission(self, request, obj=None) -> bool:  # type: ignore[no-untyped-def]
        return False
