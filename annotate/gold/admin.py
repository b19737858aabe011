from django.contrib import admin

from annotate.gold.models import Gold


@admin.register(Gold)
class GoldAdmin(admin.ModelAdmin):
    """Read only: its page keeps what was judged against it in step, which a change here would not."""

    list_display = ("comparison_id", "created_by", "created_at")
    list_select_related = ("created_by",)

    def has_add_permission(self, request) -> bool:  # type: ignore[no-untyped-def]
        return False

    def has_change_permission(self, request, obj=None) -> bool:  # type: ignore[no-untyped-def]
        return False

    def has_delete_permission(self, request, obj=None) -> bool:  # type: ignore[no-untyped-def]
        return False
