from django.contrib import admin

from accounts.admin import LookOnly
from annotate.ranking.models import Assignment, Comparison, ComparisonResponse, Judgement


class ComparisonResponseInline(LookOnly, admin.TabularInline):
    model = ComparisonResponse
    extra = 0


@admin.register(Comparison)
class ComparisonAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("id", "project", "round", "priority", "overlap", "is_closed", "created_at")
    list_filter = ("project", "is_closed", "round")
    list_select_related = ("project",)
    inlines = (ComparisonResponseInline,)
    show_full_result_count = False


@admin.register(Assignment)
class AssignmentAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("id", "comparison_id", "annotator", "state", "slot", "lease_expires_at")
    list_filter = ("state",)
    list_select_related = ("annotator",)
    show_full_result_count = False


@admin.register(Judgement)
class JudgementAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("id", "comparison_id", "annotator", "source", "is_current", "created_at")
    list_filter = ("source", "is_current")
    list_select_related = ("annotator",)
    show_full_result_count = False
