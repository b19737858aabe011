"""The annotator's own pages: what waits and why nothing does, how it goes, what was judged, under which guidelines."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from annotate.gold.models import Gold
from annotate.models import Guidelines, Membership, QualityReport
from annotate.projects.services import project_update
from annotate.ranking.engine import assignment_next
from annotate.ranking.models import Judgement
from annotate.ranking.own import paces, qualification_of
from annotate.ranking.services import judgement_submit
from annotate.review.models import Adjudication
from tests.annotate.ranking.desk import in_shown_order, make_comparison, make_project


@pytest.fixture
def project(annotator):
    return make_project(annotator, guidelines="Be fair.")


@pytest.fixture
def judged(project, annotator) -> Judgement:
    make_comparison(project)
    assignment = assignment_next(annotator=annotator, project=project)
    return judgement_submit(assignment=assignment, rankings=in_shown_order(assignment, 1, 2), seconds_active=0)


def gold_for(project, question: str, purpose: str):
    comparison = make_comparison(project, question, purpose=purpose, is_closed=True)
    one, two = comparison.members.values_list("response_id", flat=True)[:2]
    Gold.objects.create(comparison=comparison, rankings={"helpfulness": {str(one): 1, str(two): 2}})
    return comparison


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"is_paused": True}, "Nothing is handed out while the project is paused"),
        ({"must_qualify": True}, "begins with a qualification, and that is not ready yet"),
        ({"daily_limit": 1}, "as one person may in a day"),
        ({"total_limit": 1}, "as one person may in this project"),
        ({}, "All done."),
    ],
)
def test_the_reason_why_nothing_is_left_is_said(as_annotator, project, judged, change, sentence):
    for name, value in change.items():
        setattr(project, name, value)
    project.save()
    assert sentence in as_annotator.get("/annotate/").content.decode()
    assert sentence in as_annotator.get(f"/annotate/{project.slug}/next").content.decode()


def test_who_did_not_qualify_reads_so_and_the_score(as_annotator, project, annotator):
    project.must_qualify = True
    project.save()
    gold_for(project, "Known?", "qualification")
    Membership.objects.filter(user=annotator).update(qualification="failed", qualification_score=0.4)
    html = as_annotator.get(f"/annotate/{project.slug}/next").content.decode()
    assert "You did not qualify" in html and "You scored 40 %; 70 % is needed." in html
    assert "did not reach the score" in as_annotator.get("/annotate/").content.decode()


def test_the_way_through_the_qualification_is_shown(as_annotator, project, annotator):
    project.must_qualify = True
    project.save()
    for number in range(2):
        gold_for(project, f"Known {number}?", "qualification")
    assert "0 of 2 judged" in as_annotator.get("/annotate/").content.decode()
    assignment = assignment_next(annotator=annotator, project=project)
    judgement_submit(assignment=assignment, rankings=in_shown_order(assignment, 1, 2))
    assert "1 of 2 judged" in as_annotator.get("/annotate/").content.decode()
    assert qualification_of(annotator, project).state == "open"


def test_pace_is_the_median_of_the_last_seven_days(as_annotator, annotator, project):
    made = timezone.localtime().replace(hour=12, minute=0)
    for number, (days, seconds) in enumerate([(0, 20.0), (0, 40.0), (1, 60.0), (6, 200.0), (8, 999.0), (2, None)]):
        comparison = make_comparison(project, f"Q{number}")
        judgement = Judgement.objects.create(
            comparison=comparison, annotator=annotator, rankings={}, seconds_active=seconds
        )
        Judgement.objects.filter(pk=judgement.pk).update(created_at=made - timedelta(days=days))
    pace = paces(annotator)[project.pk]
    assert (pace.today, pace.typical) == (30.0, 50.0)
    assert list(pace.counts) == [1, 0, 0, 0, 1, 1, 2] and pace.total == 5
    assert [bar.height for bar in pace.bars] == [20, 1, 1, 1, 20, 20, 40]
    html = as_annotator.get("/annotate/").content.decode()
    assert "Judgements a day, last 7 days" in html and "30 s" in html and "50 s" in html


def test_agreement_is_ones_own_with_its_interval(as_annotator, annotator, other_annotator, project, judged):
    def known(value: float) -> dict[str, object]:
        return {
            "judgements": 9, "agreement": {"value": value, "low": 0.5, "high": 0.95, "n": 20},
            "gold": {"value": 0.25, "low": 0.1, "high": 0.4, "n": 8}, "pace": None,
        }  # fmt: skip

    people = {str(annotator.pk): known(0.75), str(other_annotator.pk): known(0.123)}
    QualityReport.objects.create(
        project=project, data={"groups": {"human": {"annotators": people}}}, computed_at=timezone.now()
    )
    html = as_annotator.get("/annotate/").content.decode()
    assert "75.0 % [50.0 %, 95.0 %]" in html and "12.3 %" not in html
    assert "25.0 %" not in html  # how one does on hidden gold is told only where the project says so
    project.gold_feedback = True
    project.save()
    assert "25.0 %" in as_annotator.get("/annotate/").content.decode()


def test_what_a_reviewer_decided_cannot_be_revised(as_annotator, admin, judged):
    revise = reverse("annotate:assignment", args=[judged.assignment_id])
    assert revise in as_annotator.get("/annotate/history/").content.decode()
    Adjudication.objects.create(comparison=judged.comparison, reviewer=admin, rankings=judged.rankings)
    html = as_annotator.get("/annotate/history/").content.decode()
    assert revise not in html and "decided by a reviewer" in html


def test_hidden_gold_looks_like_work_in_the_history(as_annotator, project, annotator):
    gold = gold_for(project, "Known?", "gold")
    work = make_comparison(project, "Unknown?", is_closed=True)
    for comparison in (gold, work):
        assignment = comparison.assignments.create(annotator=annotator, state="submitted", slot=None)
        Judgement.objects.create(comparison=comparison, annotator=annotator, assignment=assignment, rankings={})
    rows = as_annotator.get("/annotate/history/").content.decode().split("<tr>")[2:]
    extra = {("Known?" if "Known?" in row else "Unknown?"): "extra" in row for row in rows}
    assert extra == {"Known?": False, "Unknown?": True}


def test_gold_whose_answer_was_shown_cannot_be_revised(as_annotator, project, annotator):
    gold = gold_for(project, "Known?", "gold")
    assignment = gold.assignments.create(annotator=annotator, state="submitted", slot=None)
    Judgement.objects.create(comparison=gold, annotator=annotator, assignment=assignment, rankings={}, gold_score=0.5)
    assert "Revise" in as_annotator.get("/annotate/history/").content.decode()  # as with any work
    project.gold_feedback = True
    project.save()
    html = as_annotator.get("/annotate/history/").content.decode()
    assert "Revise<" not in html and "its answer was shown" in html


def test_ratings_are_in_the_history_by_their_labels(as_annotator, project, annotator, judged):
    project.attributes.create(key="wit", label="Wit")
    shown = [str(pk) for pk in judged.display_order]
    Judgement.objects.filter(pk=judged.pk).update(ratings={"wit": {shown[1]: 2, shown[0]: 5}})
    html = as_annotator.get("/annotate/history/").content.decode()
    assert "Wit" in html and "A 5 · B 2" in html


# guidelines -----------------------------------------------------------------------------------------------------------


def test_guidelines_say_their_version_and_what_changed_since_one_judged_last(as_annotator, admin, annotator, project):
    project_update(project=project, user=admin, guidelines="Be fair.\nBe brief.")
    path = reverse("annotate:guidelines", args=[project.slug])
    html = as_annotator.get(path).content.decode()
    assert "Version 1 of" in html and "Changed since" not in html
    make_comparison(project)
    assignment = assignment_next(annotator=annotator, project=project)
    judgement_submit(assignment=assignment, rankings=in_shown_order(assignment, 1, 2))
    project_update(project=project, user=admin, guidelines="Be fair.\nBe kind & brief.")
    html = as_annotator.get(path).content.decode()
    assert "Version 2 of" in html and "Changed since you last judged" in html
    assert re.search(r"<ins>[^<]*kind &amp;[^<]*</ins>", html) and "<del>" not in html
    earlier = as_annotator.get(f"{path}?version=1").content.decode()
    assert "This is an earlier version" in earlier and "kind" not in earlier
    for query in ("?version=99", "?version=x", "?version=" + "9" * 30):
        assert "Version 2 of" in as_annotator.get(path + query).content.decode()
    assert Guidelines.objects.count() == 2


@pytest.mark.parametrize(("who", "status"), [("as_outsider", 404), ("as_admin", 404), ("as_nobody", 302)])
def test_guidelines_are_for_members(request, who, status, project):
    client = request.getfixturevalue(who)
    assert client.get(reverse("annotate:guidelines", args=[project.slug]) + "?version=1").status_code == status


def test_hostile_guidelines_are_inert(as_annotator, admin, annotator, project, judged):
    project_update(project=project, user=admin, guidelines="one")
    Judgement.objects.update(guidelines=project.guideline_versions.first())
    project_update(project=project, user=admin, guidelines="<script>alert(1)</script>")
    html = as_annotator.get(reverse("annotate:guidelines", args=[project.slug])).content.decode()
    assert "Changed since" in html and "<script>alert" not in html


def test_nobodys_pages_tell_of_others(as_other_annotator, as_outsider, judged):
    for client in (as_other_annotator, as_outsider):
        html = client.get("/annotate/").content.decode()
        assert "You are in no project yet" in html
        assert "Nothing yet" in client.get("/annotate/history/").content.decode()
