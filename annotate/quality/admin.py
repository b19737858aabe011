from django.contrib import admin

from annotate.quality.models import QualityReport


@admin.register(QualityReport)
class QualityReportAdmin(admin.ModelAdmin):
    """Read only: it is computed from the judgements."""

    list_display = ("project", "judgements", "computed_at", "seconds", "error")
    list_select_related = ("project",)

    def has_add_permission(self, request) -> bool:  # type: ignore[no-untyped-def]
        return False

    def has_change_permission(self, request, obj=None) -> bool:  # type: ignore[no-untyped-def]
        return False
