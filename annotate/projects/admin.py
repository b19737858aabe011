from django.contrib import admin

from accounts.admin import LookOnly
from annotate.projects.models import (
    Attribute,
    Dimension,
    Guidelines,
    Invitation,
    Membership,
    Project,
    Prompt,
)


class DimensionInline(LookOnly, admin.TabularInline):
    model = Dimension
    extra = 0


class AttributeInline(LookOnly, admin.TabularInline):
    model = Attribute
    extra = 0


@admin.register(Project)
class ProjectAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("name", "slug", "task", "k", "overlap", "is_paused", "created_at")
    inlines = (DimensionInline, AttributeInline)


@admin.register(Dimension)
class DimensionAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("label", "key", "project", "position")
    list_select_related = ("project",)
    list_filter = ("project",)


@admin.register(Attribute)
class AttributeAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("label", "key", "project", "points", "position")
    list_select_related = ("project",)
    list_filter = ("project",)


@admin.register(Guidelines)
class GuidelinesAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("project", "number", "created_by", "created_at")
    list_filter = ("project",)
    list_select_related = ("project", "created_by")


@admin.register(Membership)
class MembershipAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("user", "project", "role", "is_active", "qualification", "created_at")
    list_filter = ("project", "role", "is_active", "qualification")
    list_select_related = ("user", "project")


@admin.register(Invitation)
class InvitationAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("id", "role", "note", "expires_at", "accepted_by", "revoked_at")
    list_select_related = ("accepted_by",)


@admin.register(Prompt)
class PromptAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("id", "__str__", "project", "language", "source", "created_at")
    list_filter = ("project",)
    list_select_related = ("project",)
    show_full_result_count = False
