"""How many SQL statements each page and endpoint sends, compared with tests/query_counts.json.

A page that begins to ask once a row shows here as a rise. Where a change is meant, record it and let the diff of the
file be looked at:

    RECORD_QUERY_COUNTS=1 pytest tests/test_query_counts.py

The world is small but nothing in it is alone, so that a query a row counts at least twice. The processes' own memory of
a project's questions is emptied before each request: the figures are those of the first request, the highest.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from annotate.models import Comparison, Guidelines, Membership, Prompt
from annotate.ranking import questions
from annotate.ranking.engine import assignment_ahead, assignment_next
from annotate.ranking.services import assignment_start, judgement_submit
from tests.annotate.gold.stage import known_order, make_gold
from tests.annotate.ranking.desk import in_shown_order, make_comparison, make_project

RECORD = Path(__file__).with_name("query_counts.json")
RANKS = {"helpfulness": {"A": 1, "B": 2, "C": 3, "D": 4}, "harmlessness": {"A": 1, "B": 1}}


@pytest.fixture
def project(admin, annotator, other_annotator, outsider):
    project = make_project(annotator, other_annotator, outsider, overlap=2, guidelines="# Be fair")
    Guidelines.objects.create(project=project, number=1, text=project.guidelines)
    Membership.objects.filter(user=other_annotator).update(role="reviewer")
    for number in range(8):
        make_comparison(project, f"question {number}")
    for number in range(2):
        make_gold(project, f"gold {number}")
        make_gold(project, f"qualification {number}", purpose="qualification")
    for person, ranks in ((annotator, (1, 2, 3)), (outsider, (3, 2, 1))):  # not the reviewer, who may then see it
        for _ in range(4):
            assignment = assignment_next(annotator=person, project=project)
            judgement_submit(assignment=assignment, rankings=in_shown_order(assignment, *ranks))
    return project


class Counter:
    """Counts the statements of requests, by the name of what was asked for."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def __call__(self, name: str, client: Client, method: str, url: str, data: Any = None, status: int = 200) -> Any:
        questions._kept.clear()
        ContentType.objects.clear_cache()
        send: Callable[..., Any] = getattr(client, method)
        options = {} if data is None else {"data": data, "content_type": "application/json"}
        with CaptureQueriesContext(connection) as sent:
            response = send(url, **options)
        assert response.status_code == status, f"{name}: {response.status_code} {response.content[:300]!r}"
        self.counts[name] = len(sent)
        return response


def annotators_pages(count: Counter, client: Client, annotator, project) -> None:
    slug = [project.slug]
    for name in ("home", "history"):
        count(f"annotator: {name}", client, "get", reverse(f"annotate:{name}"))
    for name in ("guidelines", "guidelines-text"):
        count(f"annotator: {name}", client, "get", reverse(f"annotate:{name}", args=slug))
    count("annotator: next, a new lease", client, "get", reverse("annotate:next", args=slug), status=302)
    desk = assignment_next(annotator=annotator, project=project)
    count("annotator: next, the lease that is held", client, "get", reverse("annotate:next", args=slug), status=302)
    pages = {name: reverse(f"annotate:assignment-{name}", args=[desk.pk]) for name in ("ahead", "draft", "submit")}
    count("annotator: ranking page", client, "get", reverse("annotate:assignment", args=[desk.pk]))
    count("annotator: ahead, a new lease", client, "post", pages["ahead"], {})
    count("annotator: ahead, fetched before", client, "post", pages["ahead"], {})
    count("annotator: draft", client, "post", pages["draft"], {"rankings": RANKS})
    count("annotator: submit, stays open", client, "post", pages["submit"], {"rankings": RANKS})
    count("annotator: submit, the same again", client, "post", pages["submit"], {"rankings": RANKS})
    revised = RANKS | {"helpfulness": {"A": 2, "B": 1}}
    count("annotator: submit, revised", client, "post", pages["submit"], {"rankings": revised})
    count("annotator: ranking page of a submission", client, "get", reverse("annotate:assignment", args=[desk.pk]))
    count("annotator: undo", client, "get", reverse("annotate:undo", args=slug), status=302)
    following = assignment_next(annotator=annotator, project=project)
    skip = reverse("annotate:assignment-skip", args=[following.pk])
    count("annotator: skip", client, "post", skip, {"reason": "expertise"})


def closing_and_gold(count: Counter, client: Client, person, project) -> None:
    """What only the second judgement of a comparison, gold, or an empty queue brings about."""
    assignment = assignment_next(annotator=person, project=project)
    assignment_start(assignment=assignment)
    assignment_ahead(assignment=assignment)
    submit = reverse("annotate:assignment-submit", args=[assignment.pk])
    count("annotator: submit, closes", client, "post", submit, {"rankings": RANKS})
    assert Comparison.objects.get(pk=assignment.comparison_id).is_closed
    project.gold_rate = 0.5
    project.save()
    while assignment.comparison.purpose != "gold":
        assignment = assignment_next(annotator=person, project=project)
        if assignment.comparison.purpose != "gold":
            judgement_submit(assignment=assignment, rankings=known_order(assignment.comparison))
            make_comparison(project, f"more after {assignment.pk}")
    submit = reverse("annotate:assignment-submit", args=[assignment.pk])
    count("annotator: submit, gold", client, "post", submit, {"rankings": RANKS})
    project.daily_limit = 1
    project.save()
    count("annotator: next, a limit is reached", client, "get", reverse("annotate:next", args=[project.slug]))


def api(count: Counter, client: Client, project) -> None:
    given = count("api: next", client, "post", "/api/v1/assignments/next/", {"project": project.slug}).json()
    row = {response["letter"]: rank for rank, response in enumerate(given["responses"], start=1)}
    answer = {"rankings": {"helpfulness": row, "harmlessness": row}}
    url = f"/api/v1/assignments/{given['id']}/"
    count("api: assignment", client, "get", url)
    count("api: draft", client, "post", f"{url}draft/", answer)
    count("api: submit", client, "post", f"{url}submit/", answer, status=201)
    count("api: undo", client, "post", f"{url}undo/", {})
    count("api: skip", client, "post", f"{url}skip/", {"reason": "expertise"})
    count("api: judgements", client, "get", "/api/v1/judgements/")


def reviewers_pages(count: Counter, client: Client, project) -> None:
    count("reviewer: queue", client, "get", reverse("annotate:review-queue", args=[project.slug]))
    contested = Comparison.objects.filter(project=project, is_closed=True, disagreement__gt=0).first()
    assert contested is not None
    count("reviewer: comparison", client, "get", reverse("annotate:review", args=[contested.pk]))


def admins_pages(count: Counter, client: Client, project) -> None:
    plain = ("project-list", "project-new", "people", "generator-list", "dataset-list")
    count("admin: dashboard", client, "get", reverse("home"))
    for name in plain:
        count(f"admin: {name}", client, "get", reverse(f"annotate:{name}"))
    for name in (
        "runs:list",
        "rewardmodel:list",
        "rewardmodel:evaluations",
        "rl:policy-list",
        "rl:evaluation-list",
        "accounts:audit",
    ):
        count(f"admin: {name}", client, "get", reverse(name))
    of_project = ("project-detail", "project-edit", "project-people", "prompt-list", "response-list", "comparison-list")
    for name in (*of_project, "gold-list", "quality", "withdrawal-list", "guidelines-history"):
        count(f"admin: {name}", client, "get", reverse(f"annotate:{name}", args=[project.slug]))
    given = [{"prompt": f"q{n}", "responses": [f"a{n}", f"b{n}"], "ranks": [1, 2]} for n in range(9)]
    for rows in (given[:4], given):
        file = SimpleUploadedFile("r.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
        seen = client.post(reverse("annotate:prompt-import", args=[project.slug]), {"file": file}).url
        count("admin: import preview", client, "get", seen)
        count("admin: import confirm", client, "post", f"{seen}confirm", status=302)
        count("admin: import report", client, "get", seen)
    count("admin: import", client, "get", reverse("annotate:prompt-import", args=[project.slug]))
    prompt = Prompt.objects.filter(project=project).first()
    count("admin: prompt", client, "get", reverse("annotate:prompt-detail", args=[project.slug, prompt.pk]))
    comparison = Comparison.objects.filter(project=project, is_closed=True, purpose="work").first()
    count("admin: comparison", client, "get", reverse("annotate:comparison", args=[comparison.pk]))
    membership = Membership.objects.filter(project=project).first()
    count("admin: membership", client, "get", reverse("annotate:membership", args=[project.slug, membership.pk]))


def test_pages_send_as_many_statements_as_recorded(
    project, annotator, other_annotator, as_annotator, as_other_annotator, as_admin
):
    count = Counter()
    annotators_pages(count, as_annotator, annotator, project)
    reviewers_pages(count, as_other_annotator, project)
    admins_pages(count, as_admin, project)
    api(count, as_annotator, project)
    closing_and_gold(count, as_other_annotator, other_annotator, project)
    if os.environ.get("RECORD_QUERY_COUNTS"):
        RECORD.write_text(json.dumps(count.counts, indent=1, sort_keys=True) + "\n")
    recorded = json.loads(RECORD.read_text())
    changed = {
        name: f"{recorded.get(name, 'none')} recorded, {count.counts.get(name, 'none')} now"
        for name in sorted(recorded.keys() | count.counts.keys())
        if recorded.get(name) != count.counts.get(name)
    }
    assert not changed, "If this is meant: RECORD_QUERY_COUNTS=1 pytest tests/test_query_counts.py"
