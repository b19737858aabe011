from django.contrib import admin

from annotate.review.models import Adjudication, Withdrawal


class ReadOnly(admin.ModelAdmin):
    """Made and changed by services only, which keep everything that hangs on it in step."""

    def has_add_permission(self, request) -> bool:  # type: ignore[no-untyped-def]
        return False

    def has_change_permission(self, request, obj=None) -> bool:  # type: ignore[no-untyped-def]
        return False

    def has_delete_permission(self, request, obj=None) -> bool:  # type: ignore[no-untyped-def]
        return False


@admin.register(Adjudication)
class AdjudicationAdmin(ReadOnly):
    list_display = ("comparison", "reviewer", "is_current", "created_at")
    list_filter = ("is_current",)
    list_select_related = ("comparison", "reviewer")


@admin.register(Withdrawal)
class WithdrawalAdmin(ReadOnly):
    list_display = ("annotator", "project", "count", "created_at", "restored_at")
    list_filter = ("project",)
    list_select_related = ("annotator", "project")
