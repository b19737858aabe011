"""Tokens for scripts (hashed in the database by django-rest-knox) and who one is."""

from __future__ import annotations

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from knox.models import AuthToken
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.authentication import BasicAuthentication, SessionAuthentication
from rest_framework.decorators import action
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from accounts import services
from accounts.models import AuditEntry, User
from accounts.selectors import audit_entries


class UserSerializer(serializers.ModelSerializer):
    role = serializers.CharField(read_only=True)

    class Meta:
        model = User
        fields = ["id", "username", "email", "role", "kind", "is_active", "date_joined", "last_login"]
        read_only_fields = fields


class TokenSerializer(serializers.ModelSerializer):
    class Meta:
        model = AuthToken
        fields = ["token_key", "created", "expiry"]


class NewTokenSerializer(serializers.Serializer):
    token = serializers.CharField(help_text="Shown this once; only its hash is kept.")
    user = UserSerializer()


class UserViewSet(viewsets.ReadOnlyModelViewSet):
    """The people of this platform (admins only); `me` is for everyone."""

    queryset = User.objects.order_by("id")
    serializer_class = UserSerializer

    @action(detail=False, permission_classes=[IsAuthenticated])
    def me(self, request: Request) -> Response:
        return Response(UserSerializer(request.user).data)


class TokenViewSet(mixins.ListModelMixin, mixins.DestroyModelMixin, viewsets.GenericViewSet):
    """One's own API tokens. Create one with user name and password (HTTP Basic) or from a logged-in session."""

    permission_classes = [IsAuthenticated]
    serializer_class = TokenSerializer
    lookup_field = "token_key"

    def get_authenticators(self):  # type: ignore[no-untyped-def]
        basic = (
            [BasicAuthentication(), SessionAuthentication()] if self.request and self.request.method == "POST" else []
        )
        return basic or super().get_authenticators()

    def get_queryset(self):  # type: ignore[no-untyped-def]
        if getattr(self, "swagger_fake_view", False):
            return AuthToken.objects.none()
        return AuthToken.objects.filter(user=self.request.user).order_by("-created")

    @extend_schema(request=None, responses={201: NewTokenSerializer})
    def create(self, request: Request) -> Response:
        token = services.token_create(user=request.user)
        return Response(NewTokenSerializer({"token": token, "user": request.user}).data, status.HTTP_201_CREATED)

    def perform_destroy(self, instance: AuthToken) -> None:
        services.token_revoke(user=instance.user, key=instance.token_key)


class AuditEntrySerializer(serializers.ModelSerializer):
    actor = serializers.CharField(source="actor.username", default=None, allow_null=True, read_only=True)

    class Meta:
        model = AuditEntry
        fields = ["id", "at", "actor", "action", "subject", "scope", "details"]
        read_only_fields = fields


@extend_schema(
    parameters=[
        OpenApiParameter("person", OpenApiTypes.INT, description="id of who did it"),
        OpenApiParameter("scope", str, description="where it belongs, such as project:3"),
        OpenApiParameter("action", str, description="such as membership.paused, or membership for all of them"),
        OpenApiParameter("q", str, description="anywhere in an entry"),
        OpenApiParameter("before", OpenApiTypes.INT, description="only entries older than this one"),
    ]
)
class AuditViewSet(mixins.ListModelMixin, viewsets.GenericViewSet):
    """Who did what, the newest first. Entries are never changed."""

    queryset = AuditEntry.objects.order_by("-id")
    serializer_class = AuditEntrySerializer

    def get_queryset(self):  # type: ignore[no-untyped-def]
        if getattr(self, "swagger_fake_view", False):
            return super().get_queryset()
        given = {key: value.replace("\x00", "") for key, value in self.request.query_params.items()}
        rows = audit_entries(
            person=_key(given["person"]) if given.get("person") else None,
            scope=given.get("scope", ""),
            action=given.get("action", ""),
            text=given.get("q", ""),
        )
        return rows.filter(pk__lt=_key(given["before"])) if given.get("before") else rows


def _key(value: str) -> int:
    return int(value) if value.isdecimal() and len(value) < 19 else 0


def register_api(router: BaseRouter) -> None:
    router.register("users", UserViewSet, "user")
    router.register("tokens", TokenViewSet, "token")
    router.register("audit", AuditViewSet, "audit")
