"""REST for annotators' clients: one's own assignments and judgements. Admins read all judgements."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
    PolymorphicProxySerializer,
    extend_schema,
    extend_schema_view,
)
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import APIException
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from annotate.ranking import selectors
from annotate.ranking.answer import LARGEST_BODY
from annotate.ranking.engine import assignment_next
from annotate.ranking.letters import to_ids
from annotate.ranking.models import Assignment, Judgement
from annotate.ranking.serializers import (
    AnswerSerializer,
    AssignmentSerializer,
    JudgementSerializer,
    NextSerializer,
    OwnJudgementSerializer,
    SkipSerializer,
    SubmittedSerializer,
)
from annotate.ranking.services import (
    assignment_skip,
    assignment_start,
    draft_save,
    judgement_submit,
    judgement_undo,
)


class TooMuch(APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = _("That is too much text.")
    default_code = "too_much"


class AssignmentViewSet(mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """One's own assignments."""

    permission_classes = [IsAuthenticated]
    serializer_class = AssignmentSerializer
    queryset = Assignment.objects.none()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if len(request.body) > LARGEST_BODY:
            raise TooMuch

    def get_queryset(self) -> QuerySet[Assignment]:
        if getattr(self, "swagger_fake_view", False):
            return super().get_queryset()
        return selectors.own_assignments(self.request.user).prefetch_related(
            "comparison__project__dimensions", "comparison__project__attributes"
        )

    @extend_schema(
        request=NextSerializer,
        responses={
            200: AssignmentSerializer,
            204: OpenApiResponse(description="Nothing is handed out to you; the header X-Nothing says why."),
        },
    )
    @action(detail=False, methods=["post"], url_path="next")
    def next(self, request: Request) -> Response:
        """What to rank now: the lease one holds, else a new one."""
        given = NextSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        project = selectors.project_for(request.user, given.validated_data["project"])
        assignment = assignment_next(annotator=request.user, project=project)
        if assignment is None:
            why = selectors.why_nothing(request.user, project)
            return Response(status=status.HTTP_204_NO_CONTENT, headers={"X-Nothing": why})
        assignment_start(assignment=assignment)
        return Response(AssignmentSerializer(assignment).data)

    @extend_schema(request=AnswerSerializer, responses=AssignmentSerializer)
    @action(detail=True, methods=["post"])
    def draft(self, request: Request, pk: str) -> Response:
        """Keep unfinished work and extend the lease."""
        mine = self.get_object()
        saved = draft_save(assignment=mine, draft=_answer(request, mine))
        return Response(AssignmentSerializer(saved).data)

    @extend_schema(request=AnswerSerializer, responses={201: SubmittedSerializer})
    @action(detail=True, methods=["post"])
    def submit(self, request: Request, pk: str) -> Response:
        """Record a judgement. Sending the same again changes nothing; sending another one supersedes it."""
        mine = self.get_object()
        judgement = judgement_submit(assignment=mine, **_answer(request, mine))
        return Response(SubmittedSerializer(judgement).data, status.HTTP_201_CREATED)

    @extend_schema(request=SkipSerializer, responses=AssignmentSerializer)
    @action(detail=True, methods=["post"])
    def skip(self, request: Request, pk: str) -> Response:
        """Give the comparison back, with a reason."""
        mine = self.get_object()
        given = SkipSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        return Response(AssignmentSerializer(assignment_skip(assignment=mine, **given.validated_data)).data)

    @extend_schema(request=None, responses=AssignmentSerializer)
    @action(detail=True, methods=["post"])
    def undo(self, request: Request, pk: str) -> Response:
        """Take the submission back; it becomes the draft."""
        return Response(AssignmentSerializer(judgement_undo(assignment=self.get_object())).data)


def _answer(request: Request, mine: Assignment) -> dict[str, Any]:
    """The answer in response ids."""
    given = AnswerSerializer(data=request.data)
    given.is_valid(raise_exception=True)
    return to_ids(mine, given.validated_data)


# What an annotator reads is spelt in letters, what an admin reads in ids.
READ = PolymorphicProxySerializer(
    component_name="AnyJudgement",
    serializers=[JudgementSerializer, OwnJudgementSerializer],
    resource_type_field_name=None,
)


@extend_schema_view(list=extend_schema(responses=READ), retrieve=extend_schema(responses=READ))
@extend_schema(
    parameters=[
        OpenApiParameter("project", str, description="slug"),
        OpenApiParameter("comparison", int, description="its id; for admins"),
        OpenApiParameter("all", bool, description="superseded ones too"),
    ]
)
class JudgementViewSet(viewsets.ReadOnlyModelViewSet):
    """Judgements that count: one's own; for admins, everybody's."""

    permission_classes = [IsAuthenticated]
    serializer_class = JudgementSerializer
    queryset = Judgement.objects.none()

    def get_serializer_class(self) -> type[JudgementSerializer]:
        return JudgementSerializer if self.request.user.is_staff else OwnJudgementSerializer

    def get_queryset(self) -> QuerySet[Judgement]:
        if getattr(self, "swagger_fake_view", False):
            return super().get_queryset()
        judgements = Judgement.objects.select_related("annotator", "assignment", "comparison").order_by("id")
        if not self.request.user.is_staff:
            judgements = judgements.filter(annotator=self.request.user)
        wanted = self.request.query_params
        if wanted.get("project"):
            judgements = judgements.filter(comparison__project__slug=wanted["project"])
        if self.request.user.is_staff and wanted.get("comparison", "").isdecimal():
            judgements = judgements.filter(comparison=int(wanted["comparison"]))
        if self.action == "list" and wanted.get("all") not in ("1", "true"):
            judgements = judgements.filter(is_current=True)
        return judgements


def register_api(router: BaseRouter) -> None:
    router.register("assignments", AssignmentViewSet, "assignment")
    router.register("judgements", JudgementViewSet, "judgement")
