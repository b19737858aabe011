from django.contrib import admin

from annotate.projects.models import (
    Attribute,
    Dimension,
    Guidelines,
    Invitation,
    Membership,
    Project,
    Prompt,
    PromptImport,
)


class DimensionInline(admin.TabularInline):
    model = Dimension
    extra = 0


class AttributeInline(admin.TabularInline):
    model = Attribute
    extra = 0


@admin.register(Project)
class ProjectAdmin(admin.ModelAdmin):
    list_display = ("name", "slug", "task", "k", "overlap", "is_paused", "created_at")
    prepopulated_fields = {"slug": ("name",)}
    raw_id_fields = ("created_by",)
    inlines = (DimensionInline, AttributeInline)


@admin.register(Dimension)
class DimensionAdmin(admin.ModelAdmin):
    list_display = ("label", "key", "project", "position")
    list_select_related = ("project",)
    list_filter = ("project",)


@admin.register(Attribute)
class AttributeAdmin(admin.ModelAdmin):
    list_display = ("label", "key", "project", "points", "position")
    list_select_related = ("project",)
    list_filter = ("project",)


@admin.register(Guidelines)
class GuidelinesAdmin(admin.ModelAdmin):
    """Read only: judgements name the version they were made under."""

    list_display = ("project", "number", "created_by", "created_at")
    list_filter = ("project",)
    list_select_related = ("project", "created_by")

    def has_add_permission(self, request) -> bool:  # type: ignore[no-untyped-def]
        return False

    def has_change_permission(self, request, obj=None) -> bool:  # type: ignore[no-untyped-def]
        return False

    def has_delete_permission(self, request, obj=None) -> bool:  # type: ignore[no-untyped-def]
        return False


@admin.register(Membership)
class MembershipAdmin(admin.ModelAdmin):
    list_display = ("user", "project", "role", "is_active", "qualification", "created_at")
    list_filter = ("project", "role", "is_active", "qualification")
    list_select_related = ("user", "project")
    raw_id_fields = ("user",)


@admin.register(Invitation)
class InvitationAdmin(admin.ModelAdmin):
    list_display = ("id", "role", "note", "expires_at", "accepted_by", "revoked_at")
    list_select_related = ("accepted_by",)
    readonly_fields = ("token_hash", "accepted_by", "accepted_at")
    raw_id_fields = ("created_by",)

    def has_add_permission(self, request) -> bool:  # type: ignore[no-untyped-def]
        return False  # the link is shown once by the page that makes it


@admin.register(Prompt)
class PromptAdmin(admin.ModelAdmin):
    list_display = ("id", "__str__", "project", "language", "source", "created_at")
    list_filter = ("project",)
    list_select_related = ("project",)
    raw_id_fields = ("project",)
    readonly_fields = ("content_hash",)
    show_full_result_count = False


@admin.register(PromptImport)
class PromptImportAdmin(admin.ModelAdmin):
    list_display = ("id", "project", "format", "filename", "state", "size", "created_by", "created_at")
    list_filter = ("state", "format")
    list_select_related = ("project", "created_by")
    exclude = ("content",)
    readonly_fields = ("project", "format", "filename", "sha256", "size", "state", "report", "created_by")
