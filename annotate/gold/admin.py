from django.contrib import admin

from accounts.admin import LookOnly
from annotate.gold.models import Gold


@admin.register(Gold)
class GoldAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("comparison_id", "created_by", "created_at")
    list_select_related = ("created_by",)
