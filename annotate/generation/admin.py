from django.contrib import admin

from accounts.admin import LookOnly
from annotate.generation.models import GenerationRun, Generator, Response


@admin.register(Generator)
class GeneratorAdmin(admin.ModelAdmin):
    list_display = ("name", "kind", "model", "endpoint_model", "created_at")
    list_filter = ("kind",)
    raw_id_fields = ("adapter", "produced_by", "created_by")


@admin.register(GenerationRun)
class GenerationRunAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("id", "title", "project", "generator", "state", "created_at")
    list_filter = ("state", "project")
    list_select_related = ("project", "generator")
    raw_id_fields = ("project", "generator", "mix_with", "created_by")


@admin.register(Response)
class ResponseAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("id", "__str__", "generator", "finish_reason", "tokens", "created_at")
    list_filter = ("generator",)
    list_select_related = ("generator",)
    raw_id_fields = ("prompt", "generator", "run")
    show_full_result_count = False
