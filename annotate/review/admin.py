from django.contrib import admin

from accounts.admin import LookOnly
from annotate.review.models import Adjudication, Withdrawal


@admin.register(Adjudication)
class AdjudicationAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("comparison", "reviewer", "is_current", "created_at")
    list_filter = ("is_current",)
    list_select_related = ("comparison", "reviewer")


@admin.register(Withdrawal)
class WithdrawalAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("annotator", "project", "count", "created_at", "restored_at")
    list_filter = ("project",)
    list_select_related = ("annotator", "project")
