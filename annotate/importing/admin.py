from django.contrib import admin

from accounts.admin import LookOnly
from annotate.importing.models import Import, ImportRun


@admin.register(Import)
class ImportAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("id", "project", "format", "filename", "state", "size", "created_by", "created_at")
    list_filter = ("state", "format")
    list_select_related = ("project", "created_by")


@admin.register(ImportRun)
class ImportRunAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("id", "title", "project", "state", "created_at")
    list_filter = ("state", "project")
    list_select_related = ("project",)
