"""Tokens for scripts (hashed in the database by django-rest-knox) and who one is."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from knox.models import AuthToken
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.authentication import BasicAuthentication, SessionAuthentication
from rest_framework.decorators import action
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from accounts.models import User


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
        _, token = AuthToken.objects.create(request.user)
        return Response(NewTokenSerializer({"token": token, "user": request.user}).data, status.HTTP_201_CREATED)


def register_api(router: BaseRouter) -> None:
    router.register("users", UserViewSet, "user")
    router.register("tokens", TokenViewSet, "token")
