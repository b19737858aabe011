from django.contrib import admin
from django.http import HttpRequest

from rewardmodel.models import RewardModel, RewardModelRun


class ReadOnlyAdmin(admin.ModelAdmin):
    """To look at only: these rows come from runs and say where their results come from."""

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    has_change_permission = has_delete_permission = has_add_permission


@admin.register(RewardModelRun)
class RewardModelRunAdmin(ReadOnlyAdmin):
    list_display = ("id", "title", "dataset_version", "generator", "state", "created_at")
    list_filter = ("state",)
    list_select_related = ("dataset_version__project", "generator")
    search_fields = ("title",)


@admin.register(RewardModel)
class RewardModelAdmin(ReadOnlyAdmin):
    list_display = ("id", "name", "base_model", "dimensions", "created_at")
    search_fields = ("name", "base_model")
