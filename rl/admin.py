from django.contrib import admin
from django.http import HttpRequest

from rl.models import EvaluationRun, MergeRun, PolicyRun


class ReadOnlyAdmin(admin.ModelAdmin):
    """To look at only: these rows come from runs and say where their results come from."""

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    has_change_permission = has_delete_permission = has_add_permission


@admin.register(PolicyRun)
class PolicyRunAdmin(ReadOnlyAdmin):
    list_display = ("id", "title", "algorithm", "generator", "policy", "state", "created_at")
    list_filter = ("algorithm", "state")
    list_select_related = ("generator", "policy")
    search_fields = ("title",)


@admin.register(EvaluationRun)
class EvaluationRunAdmin(ReadOnlyAdmin):
    list_display = ("id", "title", "generator", "reference", "reward_model", "state", "created_at")
    list_filter = ("state",)
    list_select_related = ("generator", "reference", "reward_model")
    search_fields = ("title",)


@admin.register(MergeRun)
class MergeRunAdmin(ReadOnlyAdmin):
    list_display = ("id", "title", "policy_run", "state", "created_at")
    list_filter = ("state",)
    list_select_related = ("policy_run",)
    search_fields = ("title",)
