from django.contrib import admin

from accounts.admin import LookOnly
from annotate.datasets.models import DatasetRun, DatasetVersion


@admin.register(DatasetRun)
class DatasetRunAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("id", "title", "project", "state", "created_at")
    list_filter = ("state", "project")
    list_select_related = ("project",)


@admin.register(DatasetVersion)
class DatasetVersionAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("project", "number", "sha256", "created_at")
    list_filter = ("project",)
    list_select_related = ("project",)
