from django.contrib import admin

from accounts.admin import LookOnly
from annotate.quality.models import QualityReport


@admin.register(QualityReport)
class QualityReportAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("project", "judgements", "computed_at", "seconds", "error")
    list_select_related = ("project",)
