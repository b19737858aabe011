"""The conflict queue over REST, beside an evaluation. For admins."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from rewardmodel.conflicts.selectors import (
    conflict_dimensions,
    conflict_lines,
    conflicts,
    relabelling_outcome,
    relabelling_verdicts,
    relabellings,
)
from rewardmodel.conflicts.serializers import (
    ConflictPageSerializer,
    ConflictsQuerySerializer,
    ConflictsSendSerializer,
    OutcomeSerializer,
    RelabellingPageSerializer,
    RelabellingSerializer,
    SentSerializer,
)
from rewardmodel.conflicts.services import conflicts_fit, conflicts_send
from rewardmodel.evaluation.selectors import evaluation_artifact


class ConflictActions:
    """`conflicts/` and `relabellings/` of an evaluation."""

    @extend_schema(parameters=[ConflictsQuerySerializer], responses=ConflictPageSerializer)
    @action(detail=True, methods=["get"], pagination_class=None)
    def conflicts(self, request: Request, pk: str | None = None) -> Response:
        """Pairs where the model is sure and people are not with it, the most telling first."""
        run = self.get_object()  # type: ignore[attr-defined]
        asked = ConflictsQuerySerializer(data=request.query_params)
        asked.is_valid(raise_exception=True)
        artifact = evaluation_artifact(run)
        if artifact is None or run.dataset_version is None:
            return Response({"count": 0, "sendable": 0, "items": []})
        wanted = asked.wanted(conflict_dimensions(artifact))
        offset, limit = asked.validated_data["offset"], asked.validated_data["limit"]
        fits = conflicts_fit(evaluation=run, found=conflicts(artifact, wanted), wanted=wanted)
        page = fits[offset : offset + limit]
        items: list[dict[str, Any]] = [
            line | {"information": each.conflict.information, "people": each.before, "not_sent": each.reason}
            for each, line in zip(page, conflict_lines(artifact, [each.conflict for each in page]), strict=True)
        ]
        ready = sum(not each.reason for each in fits)
        return Response({"count": len(fits), "sendable": ready, "items": items})

    @extend_schema(request=ConflictsSendSerializer, responses={200: SentSerializer})
    @conflicts.mapping.post
    def conflicts_send(self, request: Request, pk: str | None = None) -> Response:
        """Send the first of them to be judged again, by people who have not judged them and are told nothing of it."""
        run = self.get_object()  # type: ignore[attr-defined]
        asked = ConflictsSendSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        artifact = evaluation_artifact(run)
        if artifact is None or run.dataset_version is None:
            detail = "Only what was measured on a dataset version of this platform can be judged again."
            return Response({"detail": detail}, status.HTTP_409_CONFLICT)
        wanted = asked.wanted(conflict_dimensions(artifact))
        numbers = {name: asked.validated_data[name] for name in ("count", "extra")}
        sent = conflicts_send(evaluation=run, wanted=wanted, by=request.user, **numbers)
        return Response({"count": sent.count, "left": sent.left})

    @extend_schema(responses=RelabellingPageSerializer)
    @action(detail=True, methods=["get"], pagination_class=None)
    def relabellings(self, request: Request, pk: str | None = None) -> Response:
        """What was sent from this evaluation and what became of it."""
        sent = relabellings(self.get_object())  # type: ignore[attr-defined]
        verdicts = relabelling_verdicts(sent)
        rows = [RelabellingSerializer(each).data | {"after": new} for each, new in zip(sent, verdicts, strict=True)]
        outcome = OutcomeSerializer(relabelling_outcome(sent, verdicts), many=True).data
        return Response({"outcome": outcome, "items": rows})
