"""Projects, people, prompts and comparisons over REST, for admins."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.db import transaction
from django.db.models import Prefetch, QuerySet
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from annotate.formats.prompts import PromptRecord
from annotate.gold.services import membership_qualify
from annotate.pairs import content_hash
from annotate.projects.invitations import invitation_create, invitation_revoke
from annotate.projects.models import Invitation, Membership, Project, Prompt
from annotate.projects.selectors import project_progress
from annotate.projects.selectors_comparisons import Wanted, comparisons_matching
from annotate.projects.serializers import (
    ComparisonsChangedSerializer,
    ComparisonsChangeSerializer,
    ComparisonSerializer,
    InvitationCreatedSerializer,
    InvitationCreateSerializer,
    InvitationSerializer,
    MembershipChangeSerializer,
    MembershipSerializer,
    ProgressSerializer,
    ProjectSerializer,
    PromptSerializer,
)
from annotate.projects.services import (
    PRESETS,
    membership_add,
    membership_update,
    project_create,
    project_update,
    prompts_store,
)
from annotate.projects.services_comparisons import comparisons_change
from annotate.ranking.models import Comparison, ComparisonResponse


def narrowed(rows: QuerySet, request: Request, **columns: str) -> QuerySet:
    """`rows` as the query parameters ask; a value that is no id finds nothing."""
    for name, column in columns.items():
        value = request.query_params.get(name)
        if value is not None:
            rows = rows.filter(**{column: value}) if value.isdecimal() and len(value) < 19 else rows.none()
    return rows


BY_PROJECT = OpenApiParameter("project", OpenApiTypes.INT, description="only those of this project")


class ProjectViewSet(
    mixins.CreateModelMixin, mixins.UpdateModelMixin, mixins.ListModelMixin, mixins.RetrieveModelMixin,
    viewsets.GenericViewSet,
):  # fmt: skip
    """Annotation campaigns. A project is paused rather than deleted: what people judged stays."""

    queryset = Project.objects.prefetch_related("dimensions", "attributes").order_by("pk")
    serializer_class = ProjectSerializer

    def perform_create(self, serializer: serializers.BaseSerializer) -> None:
        given = {"dimensions": PRESETS, **serializer.validated_data}
        serializer.instance = project_create(user=self.request.user, **given)

    def perform_update(self, serializer: serializers.BaseSerializer) -> None:
        assert isinstance(serializer.instance, Project)
        project_update(project=serializer.instance, user=self.request.user, **serializer.validated_data)
        serializer.instance = self.get_queryset().get(pk=serializer.instance.pk)

    @extend_schema(responses=ProgressSerializer)
    @action(detail=True)
    def progress(self, request: Request, pk: str | None = None) -> Response:
        """How far a project is."""
        return Response(asdict(project_progress(self.get_object())))


@extend_schema(parameters=[BY_PROJECT])
class MembershipViewSet(
    mixins.CreateModelMixin, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet
):
    """Who may work where."""

    queryset = Membership.objects.order_by("pk")
    serializer_class = MembershipSerializer

    def get_queryset(self) -> QuerySet[Membership]:
        return narrowed(super().get_queryset(), self.request, project="project", user="user")

    @transaction.atomic
    def perform_create(self, serializer: serializers.BaseSerializer) -> None:
        given: dict[str, Any] = dict(serializer.validated_data)
        project, user = given.pop("project"), given.pop("user")
        membership = membership_add(project=project, user=user, by=self.request.user)
        serializer.instance = membership_update(membership=membership, by=self.request.user, **given)

    @extend_schema(request=MembershipChangeSerializer, responses=MembershipSerializer)
    @transaction.atomic
    def partial_update(self, request: Request, pk: str | None = None) -> Response:
        """Pause or resume somebody, change their role or limit, or decide about their qualification."""
        membership = self.get_object()
        asked = MembershipChangeSerializer(data=request.data, partial=True)
        asked.is_valid(raise_exception=True)
        given = dict(asked.validated_data)
        decided = given.pop("qualification", membership.qualification)
        membership = membership_update(membership=membership, by=request.user, **given)
        if decided != membership.qualification:
            passed = {"passed": True, "failed": False}.get(decided)
            membership = membership_qualify(membership=membership, passed=passed, by=request.user)
        return Response(MembershipSerializer(membership).data)


class InvitationViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Links that make accounts. Deleting one revokes it."""

    queryset = Invitation.objects.prefetch_related("projects").order_by("-pk")
    serializer_class = InvitationSerializer

    @extend_schema(request=InvitationCreateSerializer, responses={201: InvitationCreatedSerializer})
    def create(self, request: Request) -> Response:
        """Make a link. It is shown this once."""
        asked = InvitationCreateSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        invitation, token = invitation_create(user=request.user, **asked.validated_data)
        url = request.build_absolute_uri(reverse("annotate:invitation", args=[token]))
        made = InvitationCreatedSerializer({"invitation": invitation, "url": url})
        return Response(made.data, status.HTTP_201_CREATED)

    def destroy(self, request: Request, pk: str | None = None) -> Response:
        invitation_revoke(invitation=self.get_object(), by=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema(parameters=[BY_PROJECT, OpenApiParameter("tag", str, description="only those with this tag")])
class PromptViewSet(mixins.CreateModelMixin, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Conversations that end with a user turn. Creating one that the project has returns the one that is there."""

    queryset = Prompt.objects.order_by("pk")
    serializer_class = PromptSerializer

    def get_queryset(self) -> QuerySet[Prompt]:
        rows = narrowed(super().get_queryset(), self.request, project="project")
        tag = self.request.query_params.get("tag", "").replace("\x00", "")  # the database refuses NUL
        return rows.filter(tags__contains=[tag]) if tag else rows

    def perform_create(self, serializer: serializers.BaseSerializer) -> None:
        given: dict[str, Any] = dict(serializer.validated_data)
        project, source = given.pop("project"), given.pop("source", "")
        record = PromptRecord(line=1, content_hash=content_hash(given["messages"]), source=source, **given)
        prompts_store(project=project, records=[record], source="api")
        serializer.instance = Prompt.objects.get(project=project, content_hash=record.content_hash)


@extend_schema(
    parameters=[
        BY_PROJECT,
        OpenApiParameter("prompt", OpenApiTypes.INT, description="only those of this prompt"),
        OpenApiParameter("round", OpenApiTypes.INT, description="only those of this round; 0 is imported"),
    ]
)
class ComparisonViewSet(viewsets.ReadOnlyModelViewSet):
    """Responses that are ranked together."""

    queryset = Comparison.objects.prefetch_related(
        Prefetch("members", ComparisonResponse.objects.order_by("comparison", "position"))
    ).order_by("pk")
    serializer_class = ComparisonSerializer

    def get_queryset(self) -> QuerySet[Comparison]:
        return narrowed(super().get_queryset(), self.request, project="project", prompt="prompt", round="round")

    @extend_schema(request=ComparisonsChangeSerializer, responses=ComparisonsChangedSerializer, parameters=[])
    @action(detail=False, methods=["post"])
    def change(self, request: Request) -> Response:
        """Set the priority, overlap or round of many comparisons, close them, or open them again."""
        asked = ComparisonsChangeSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        project = given["project"]
        if "ids" in given:
            rows, meant = Comparison.objects.filter(pk__in=given["ids"]), {"comparisons": given["ids"]}
        else:
            wanted = Wanted(given["state"], given.get("round"), given["tag"])
            rows, meant = comparisons_matching(project, wanted), {"all_matching": wanted.json() or "no filter"}
        changed = comparisons_change(
            project=project,
            comparisons=rows,
            action=given["action"],
            value=given.get("value"),
            by=request.user,
            asked=meant,
        )
        return Response(asdict(changed))


def register_api(router: BaseRouter) -> None:
    router.register("projects", ProjectViewSet, "project")
    router.register("memberships", MembershipViewSet, "membership")
    router.register("invitations", InvitationViewSet, "invitation")
    router.register("prompts", PromptViewSet, "prompt")
    router.register("comparisons", ComparisonViewSet, "comparison")
