from django.contrib import admin

from annotate.datasets.models import DatasetRun, DatasetVersion


@admin.register(DatasetRun)
class DatasetRunAdmin(admin.ModelAdmin):
    list_display = ("id", "title", "project", "state", "created_at")
    list_filter = ("state", "project")
    list_select_related = ("project",)
    raw_id_fields = ("project", "created_by")


@admin.register(DatasetVersion)
class DatasetVersionAdmin(admin.ModelAdmin):
    """Read only: a version is immutable."""

    list_display = ("project", "number", "sha256", "created_at")
    list_filter = ("project",)
    list_select_related = ("project",)

    def has_add_permission(self, request) -> bool:  # type: ignore[no-untyped-def]
        return False

    def has_change_permission(self, request, obj=None) -> bool:  # type: ignore[no-untyped-def]
        return False
