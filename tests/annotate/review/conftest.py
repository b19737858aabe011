"""A stage for reviewers: a project whose annotators disagree, and a reviewer who did not take part."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from django.test import Client

from accounts.models import User
from annotate.projects.models import Membership, Project
from annotate.ranking.engine import assignment_next
from annotate.ranking.models import Assignment, Comparison, Judgement
from annotate.ranking.services import judgement_submit
from tests.annotate.ranking.desk import make_comparison, make_project


@pytest.fixture
def reviewer(db) -> User:
    return User.objects.create_user("rita", "rita@example.org", "plumb-line-9")


@pytest.fixture
def as_reviewer(reviewer) -> Client:
    client = Client()
    client.force_login(reviewer)
    return client


@pytest.fixture
def project(admin, annotator, other_annotator, reviewer) -> Project:
    project = make_project(annotator, other_annotator, overlap=2, k=3, adjudicate_above=0.3)
    Membership.objects.create(project=project, user=reviewer, role=Membership.Role.REVIEWER)
    return project


def by_position(comparison: Comparison, *ranks: int | None) -> dict[str, dict[str, int]]:
    ids = comparison.members.order_by("position").values_list("response_id", flat=True)
    row = {str(pk): rank for pk, rank in zip(ids, ranks, strict=True) if rank is not None}
    return {"helpfulness": row, "harmlessness": dict(row)}


def submit(user: User, comparison: Comparison, *ranks: int | None, **fields: object) -> Judgement:
    """Let somebody who holds, or is now handed, this comparison judge it."""
    held = Assignment.objects.filter(annotator=user, comparison=comparison).first()
    while held is None:
        given = assignment_next(annotator=user, project=comparison.project)
        assert given is not None, "nothing left to hand out"
        if given.comparison_id == comparison.pk:
            held = given
        else:
            judgement_submit(assignment=given, rankings=by_position(given.comparison, *ranks))
    return judgement_submit(assignment=held, rankings=by_position(comparison, *ranks), **fields)


@pytest.fixture
def judged(project, annotator, other_annotator) -> Callable[..., Comparison]:
    """`judged("Why?", [1, 2, 3], [3, 2, 1])`: a comparison that ben and cleo judged, ranks by position."""

    def make(question: str, first: Sequence[int | None], second: Sequence[int | None], **fields: object) -> Comparison:
        comparison = make_comparison(project, question)
        submit(annotator, comparison, *first, **fields)
        submit(other_annotator, comparison, *second)
        comparison.refresh_from_db()
        assert comparison.is_closed
        return comparison

    return make


@pytest.fixture
def contested(judged) -> Comparison:
    return judged("Which way is down?", [1, 2, 3], [3, 2, 1], rationale="The first is short.")
