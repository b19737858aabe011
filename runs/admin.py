from django.contrib import admin

from runs.models import Artifact, Run


@admin.register(Run)
class RunAdmin(admin.ModelAdmin):
    """To look at only: runs change through their services, which keep the rules."""

    list_display = (
        "id",
        "title",
        "kind",
        "state",
        "fault",
        "attempt",
        "queued_at",
        "finished_at",
    )
    list_filter = ("state", "kind", "fault")
    search_fields = ("title",)

    def has_add_permission(self, request, obj=None) -> bool:  # type: ignore[no-untyped-def]
        return False

    has_change_permission = has_delete_permission = has_add_permission


@admin.register(Artifact)
class ArtifactAdmin(admin.ModelAdmin):
    list_display = ("id", "kind", "name", "run", "size", "sha256", "created_at")
    list_filter = ("kind",)

    def has_add_permission(self, request, obj=None) -> bool:  # type: ignore[no-untyped-def]
        return False

    has_change_permission = has_delete_permission = has_add_permission
