from django.contrib import admin

from annotate.ranking.models import Assignment, Comparison, ComparisonResponse, Judgement


class ComparisonResponseInline(admin.TabularInline):
    model = ComparisonResponse
    raw_id_fields = ("response",)
    extra = 0


@admin.register(Comparison)
class ComparisonAdmin(admin.ModelAdmin):
    list_display = ("id", "project", "round", "priority", "overlap", "is_closed", "created_at")
    list_filter = ("project", "is_closed", "round")
    list_select_related = ("project",)
    raw_id_fields = ("prompt", "run")
    inlines = (ComparisonResponseInline,)
    show_full_result_count = False


@admin.register(Assignment)
class AssignmentAdmin(admin.ModelAdmin):
    list_display = ("id", "comparison_id", "annotator", "state", "slot", "lease_expires_at")
    list_filter = ("state",)
    list_select_related = ("annotator",)
    raw_id_fields = ("comparison", "annotator")
    show_full_result_count = False


@admin.register(Judgement)
class JudgementAdmin(admin.ModelAdmin):
    """Read only: a judgement is never overwritten, only superseded."""

    list_display = ("id", "comparison_id", "annotator", "source", "is_current", "created_at")
    list_filter = ("source", "is_current")
    list_select_related = ("annotator",)
    show_full_result_count = False

    def has_add_permission(self, request) -> bool:  # type: ignore[no-untyped-def]
        return False

    def has_change_permission(self, request, obj=None) -> bool:  # type: ignore[no-untyped-def]
        return False

    def has_delete_permission(self, request, obj=None) -> bool:  # type: ignore[no-untyped-def]
        return False
