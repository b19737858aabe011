"""Deciding where annotators disagree: the queue, the page, and what a decision leaves untouched."""

import re

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEntry
from annotate.projects.models import Membership, Project
from annotate.ranking.engine import assignment_next
from annotate.ranking.models import Assignment, Comparison, Judgement
from annotate.ranking.services import assignment_skip, judgement_submit, judgement_undo
from annotate.review.models import Adjudication
from annotate.review.page import letters_for, numbered, token_of
from annotate.review.selectors import review_counts, review_progress, review_queue
from annotate.review.services import adjudicate
from tests.annotate.ranking.desk import make_comparison, make_project
from tests.annotate.ranking.hostile import PAYLOADS
from tests.annotate.review.conftest import by_position, submit

pytestmark = pytest.mark.django_db


def url_of(comparison) -> str:
    return reverse("annotate:review", args=[comparison.pk])


def queue_url(project) -> str:
    return reverse("annotate:review-queue", args=[project.slug])


def form(comparison, reviewer, *ranks, **fields) -> dict:
    """The form as a browser sends it: a rank for each response, in the order of positions, on both dimensions."""
    names = letters_for(comparison, reviewer)
    ids = comparison.members.order_by("position").values_list("response_id", flat=True)
    chosen = {
        f"rank-{key}-{names[str(pk)]}": "" if rank is None else str(rank)
        for key in ("helpfulness", "harmlessness")
        for pk, rank in zip(ids, ranks, strict=True)
    }
    return chosen | {"revises": ""} | fields


# the service ----------------------------------------------------------------------------------------------------------


def test_a_decision_stands_beside_the_judgements(contested, reviewer):
    before = list(Judgement.objects.order_by("pk").values())
    decision = adjudicate(
        comparison=contested, reviewer=reviewer, rankings=by_position(contested, 2, 1, 2), rationale="Shorter."
    )
    assert decision.rankings == by_position(contested, 2, 1, 2)
    assert list(Judgement.objects.order_by("pk").values()) == before
    entry = AuditEntry.objects.get(action="adjudication.made")
    assert (entry.actor, entry.scope) == (reviewer, f"project:{contested.project_id}")


def test_a_revision_supersedes_and_the_same_again_changes_nothing(contested, reviewer, admin):
    first = adjudicate(comparison=contested, reviewer=reviewer, rankings=by_position(contested, 1, 2, 3))
    assert adjudicate(comparison=contested, reviewer=reviewer, rankings=by_position(contested, 1, 2, 3)) == first
    second = adjudicate(comparison=contested, reviewer=admin, rankings=by_position(contested, 3, 2, 1))
    first.refresh_from_db()
    assert (first.is_current, second.is_current, second.supersedes) == (False, True, first)
    assert AuditEntry.objects.filter(action="adjudication.revised").count() == 1


def test_a_decision_that_the_reviewer_has_not_seen_is_not_overwritten(contested, reviewer, admin):
    theirs = adjudicate(comparison=contested, reviewer=admin, rankings=by_position(contested, 1, 2, 3))
    with pytest.raises(ValidationError, match="meanwhile"):
        adjudicate(comparison=contested, reviewer=reviewer, rankings=by_position(contested, 3, 2, 1), revises=None)
    adjudicate(comparison=contested, reviewer=reviewer, rankings=by_position(contested, 3, 2, 1), revises=theirs.pk)
    assert Adjudication.objects.get(is_current=True).reviewer == reviewer


def test_what_cannot_be_decided_is_refused_with_a_sentence(contested, project, reviewer, annotator, outsider):
    rankings = by_position(contested, 1, 2, 3)
    for who in (annotator, outsider):
        with pytest.raises(PermissionDenied):
            adjudicate(comparison=contested, reviewer=who, rankings=rankings)
    waiting = make_comparison(project, "Still open?")
    with pytest.raises(ValidationError, match="still waits"):
        adjudicate(comparison=waiting, reviewer=reviewer, rankings=by_position(waiting, 1, 2, 3))
    gold = make_comparison(project, "Gold?", is_closed=True, purpose=Comparison.Purpose.GOLD)
    with pytest.raises(ValidationError, match="known already"):
        adjudicate(comparison=gold, reviewer=reviewer, rankings=by_position(gold, 1, 2, 3))
    for wrong in (
        {"helpfulness": {"999": 1}},
        {"helpfulness": {}, "harmlessness": {}},
        {"wit": {}},
        None,
        {"helpfulness": 3},
    ):
        with pytest.raises(ValidationError) as refused:
            adjudicate(comparison=contested, reviewer=reviewer, rankings=wrong)
        assert "rankings" in refused.value.message_dict
    assert not Adjudication.objects.exists()


def test_nobody_decides_on_their_own_work_but_an_admin_may(contested, project, annotator, admin):
    Membership.objects.filter(project=project, user=annotator).update(role=Membership.Role.REVIEWER)
    with pytest.raises(ValidationError, match="You judged this comparison yourself"):
        adjudicate(comparison=contested, reviewer=annotator, rankings=by_position(contested, 1, 2, 3))
    assert not review_queue(project, annotator).exists()
    assert review_progress(project, annotator).own == 1
    another = make_comparison(project, "Another?")
    submit(admin_member(project, admin), another, 1, 2, 3)
    Comparison.objects.filter(pk=another.pk).update(is_closed=True)
    assert adjudicate(comparison=another, reviewer=admin, rankings=by_position(another, 1, 2, 3))


def admin_member(project: Project, admin):
    Membership.objects.create(project=project, user=admin)
    return admin


def test_what_is_decided_can_be_revised_no_more(contested, reviewer, annotator):
    mine = Assignment.objects.get(annotator=annotator, comparison=contested)
    adjudicate(comparison=contested, reviewer=reviewer, rankings=by_position(contested, 1, 2, 3))
    for act in (
        lambda: judgement_submit(assignment=mine, rankings=by_position(contested, 2, 1, 3)),
        lambda: judgement_undo(assignment=mine),
        lambda: assignment_skip(assignment=mine, reason="other"),
    ):
        with pytest.raises(ValidationError, match="decided by a reviewer"):
            act()
    assert Judgement.objects.filter(comparison=contested, is_current=True).count() == 2


# the queue ------------------------------------------------------------------------------------------------------------


def test_the_most_contested_come_first_and_agreement_never(judged, project, reviewer, as_reviewer):
    some = judged("One pair?", [1, 2, 3], [1, 3, 2])
    most = judged("All pairs?", [1, 2, 3], [3, 2, 1])
    judged("None?", [1, 2, 3], [1, 2, 3])
    assert list(review_queue(project, reviewer)) == [most, some]
    page = as_reviewer.get(queue_url(project)).content.decode()
    assert page.index("All pairs?") < page.index("One pair?")
    assert "None?" not in page
    assert "3 of 3 pairs" in page
    assert "0 of 2 decided" in page
    Project.objects.filter(pk=project.pk).update(adjudicate_above=0.5)
    assert list(review_queue(project, reviewer)) == [most]


def test_the_queue_can_be_filtered_and_shows_what_is_decided(judged, project, reviewer, as_reviewer):
    down = judged("Which way is down?", [1, 2, 3], [3, 2, 1])
    judged("Which way is up?", [1, 2, 3], [3, 2, 1])

    def found(query: str) -> list[str]:
        page = as_reviewer.get(queue_url(project) + query)
        assert page.status_code == 200
        return [line.comparison.prompt.question for line in page.context["lines"]]

    assert found("?q=DOWN") == ["Which way is down?"]
    assert found("?round=1") == ["Which way is down?", "Which way is up?"]
    assert found("?round=2") == []
    assert found("?q=%00&round=x&page=zz") == ["Which way is down?", "Which way is up?"]
    adjudicate(comparison=down, reviewer=reviewer, rankings=by_position(down, 1, 2, 3))
    assert found("?show=decided") == ["Which way is down?"]
    assert found("") == ["Which way is up?"]


def test_an_empty_queue_says_what_comes_here(as_reviewer, project):
    page = as_reviewer.get(queue_url(project)).content.decode()
    assert "Nothing waits for you" in page
    assert "at least 30 % of its pairs" in " ".join(page.split())


def test_a_longer_queue_needs_no_more_queries(judged, project, as_reviewer, django_assert_max_num_queries):
    for number in range(6):
        judged(f"Question {number}?", [1, 2, 3], [3, 2, 1])
    with django_assert_max_num_queries(13):
        assert as_reviewer.get(queue_url(project)).status_code == 200


# who sees it ----------------------------------------------------------------------------------------------------------


def test_reviewers_of_the_project_and_admins_only(
    contested, project, reviewer, as_reviewer, as_admin, as_annotator, as_outsider, as_nobody
):
    for path in (url_of(contested), queue_url(project)):
        assert as_reviewer.get(path).status_code == as_admin.get(path).status_code == 200
        assert as_annotator.get(path).status_code == as_outsider.get(path).status_code == 404
        assert as_nobody.get(path).status_code == 302
    assert as_annotator.post(url_of(contested), {"take": token_of(numbered(contested)[1])}).status_code == 404
    Membership.objects.filter(user=reviewer).update(is_active=False)
    assert as_reviewer.get(url_of(contested)).status_code == 404
    elsewhere = make_project(name="Elsewhere", slug="elsewhere")
    Membership.objects.filter(user=reviewer).update(is_active=True, project=elsewhere)
    assert as_reviewer.get(url_of(contested)).status_code == as_reviewer.get(queue_url(project)).status_code == 404
    assert not Adjudication.objects.exists()


def test_gold_is_not_for_review(project, as_reviewer, as_admin):
    gold = make_comparison(project, "Gold?", is_closed=True, purpose=Comparison.Purpose.GOLD)
    assert as_reviewer.get(url_of(gold)).status_code == as_admin.get(url_of(gold)).status_code == 404


def test_neither_annotators_nor_generators_nor_ids_are_on_a_reviewers_page(
    contested, annotator, other_annotator, as_reviewer, as_admin
):
    page = as_reviewer.get(url_of(contested)).content.decode()
    main = page[page.index("<main") : page.index("</main>")]
    for secret in (annotator.username, other_annotator.username, "secret-model-7b"):
        assert secret not in main
    ids = [str(pk) for pk in contested.responses.values_list("pk", flat=True)]
    assert not {f"rank-helpfulness-{pk}" for pk in ids} & set(re.findall(r'name="([^"]+)"', main))
    assert "Annotator 1" in main
    assert "Annotator 2" in main
    assert "The first is short." in main
    assert "secret-model-7b" in as_admin.get(url_of(contested)).content.decode()


def test_numbers_of_annotators_stay_but_follow_nobody(judged, annotator, reviewer):
    comparisons = [judged(f"Question {n}?", [1, 2, 3], [3, 2, 1]) for n in range(12)]
    first = [numbered(comparison)[1].annotator for comparison in comparisons]
    assert first == [numbered(comparison)[1].annotator for comparison in comparisons]
    assert {annotator} < set(first), "one annotator is always number 1"


def test_model_text_is_inert(judged, project, as_reviewer, annotator, other_annotator):
    comparison = make_comparison(project, "<script>alert(1)</script>", list(PAYLOADS)[:3])
    submit(annotator, comparison, 1, 2, 3, rationale="<img src=x onerror=alert(1)>")
    submit(other_annotator, comparison, 3, 2, 1)
    page = as_reviewer.get(url_of(comparison)).content.decode()
    main = page[page.index("<main") : page.index("</main>")]
    assert "<script" not in main
    assert "<img" not in main
    queue = as_reviewer.get(queue_url(project)).content.decode()
    assert "<script>alert" not in queue


# the page -------------------------------------------------------------------------------------------------------------


def test_the_form_decides_without_javascript_and_leads_on(judged, project, reviewer, as_reviewer):
    most = judged("All pairs?", [1, 2, 3], [3, 2, 1])
    some = judged("One pair?", [1, 2, 3], [1, 3, 2])
    answer = as_reviewer.post(url_of(most), form(most, reviewer, 3, 1, 1, rationale="Because."))
    assert answer["Location"] == url_of(some)
    decision = Adjudication.objects.get(comparison=most)
    assert decision.rankings == by_position(most, 2, 1, 1), "gaps are closed"
    assert decision.rationale == "Because."
    answer = as_reviewer.post(url_of(some), form(some, reviewer, 1, 2, None))
    assert answer["Location"] == queue_url(project)


def test_a_judgement_can_be_taken_as_it_is(contested, as_reviewer, reviewer):
    second = numbered(contested)[2]
    assert f'value="{token_of(second)}"' in as_reviewer.get(url_of(contested)).content.decode()
    taken = {"take": token_of(second), "revises": "", "rationale": "Right."}
    assert as_reviewer.post(url_of(contested), taken).status_code == 302
    decision = Adjudication.objects.get()
    assert decision.rankings == second.rankings
    assert decision.rationale == "Right."
    for nonsense in ("2", "x", "\x00", str(second.pk)):
        again = as_reviewer.post(url_of(contested), {"take": nonsense, "revises": str(decision.pk)})
        assert again.status_code == 400
    assert Adjudication.objects.get() == decision


def test_what_an_annotator_changed_meanwhile_is_not_taken_unseen(contested, as_reviewer, annotator):
    seen = contested.judgements.get(annotator=annotator)
    judgement_submit(assignment=seen.assignment, rankings=by_position(contested, 2, 1, 3))
    answer = as_reviewer.post(url_of(contested), {"take": token_of(seen), "revises": ""})
    assert answer.status_code == 400
    assert "has changed it" in answer.content.decode()
    assert not Adjudication.objects.exists()


def test_a_refused_form_says_why_and_keeps_what_was_chosen(contested, reviewer, as_reviewer):
    answer = as_reviewer.post(url_of(contested), form(contested, reviewer, 1, None, None, rationale="Hm."))
    assert answer.status_code == 400
    page = answer.content.decode()
    assert "place at least two responses" in page
    assert page.count("selected") == 2
    assert "Hm." in page
    all_bad = form(contested, reviewer, None, None, None, all_bad=["helpfulness", "harmlessness"])
    assert as_reviewer.post(url_of(contested), all_bad).status_code == 302
    assert Adjudication.objects.get().all_bad == ["helpfulness", "harmlessness"]


def test_nonsense_in_the_form_is_refused_and_changes_nothing(contested, reviewer, as_reviewer):
    for data in (
        {},
        {"rank-helpfulness-Z": "1"},
        {"rank-nothing-A": "1", "rank-nothing-B": "2"},
        {"rank-helpfulness-A": "99", "rank-helpfulness-B": "-1"},
        {"rank-": "1", "rank-helpfulness-A": "²"},
        form(contested, reviewer, 1, 2, 3, revises="7"),
    ):
        assert as_reviewer.post(url_of(contested), data).status_code == 400
    assert not Adjudication.objects.exists()


def test_what_the_judgements_add_up_to_waits_until_it_is_asked_for(contested, reviewer, as_reviewer):
    page = as_reviewer.get(url_of(contested)).content.decode()
    assert '<details class="suggestion">' in page
    adjudicate(comparison=contested, reviewer=reviewer, rankings=by_position(contested, 1, 2, 3))
    page = as_reviewer.get(url_of(contested)).content.decode()
    assert '<details class="suggestion" open>' in page
    assert "rita decided this" in page
    assert page.count("selected") == 6


def test_a_reviewer_who_judged_it_reads_it_once_it_is_decided(contested, project, annotator, as_annotator, admin):
    """Until then it is as absent as gold is, or their own gold could be told from their own work."""
    Membership.objects.filter(project=project, user=annotator).update(role=Membership.Role.REVIEWER)
    taken = {"take": token_of(numbered(contested)[1])}
    assert as_annotator.get(url_of(contested)).status_code == 404
    assert as_annotator.post(url_of(contested), taken).status_code == 404
    adjudicate(comparison=contested, reviewer=admin, rankings=by_position(contested, 1, 2, 3))
    page = as_annotator.get(url_of(contested)).content.decode()
    assert "You judged this comparison yourself" in page
    assert "<select" not in page
    assert as_annotator.post(url_of(contested), taken).status_code == 400


def test_a_reviewer_does_not_read_what_they_may_still_judge(project, annotator, reviewer, as_reviewer, as_admin):
    comparison = make_comparison(project, "Mine too?")
    submit(annotator, comparison, 1, 2, 3, rationale="A secret thought.")
    assert as_reviewer.get(url_of(comparison)).status_code == 404, "it still waits for judgements"
    mine = assignment_next(annotator=reviewer, project=project)
    assert mine.comparison == comparison
    assert as_reviewer.get(url_of(comparison)).status_code == 404
    Comparison.objects.filter(pk=comparison.pk).update(is_closed=True, disagreement=1.0)
    assert as_reviewer.get(url_of(comparison)).status_code == 404, "it is on their desk"
    Assignment.objects.filter(pk=mine.pk).update(state="released", slot=None, started_at=timezone.now())
    assert as_reviewer.get(url_of(comparison)).status_code == 404, "a lapsed lease can be taken up again"
    assert not review_queue(project, reviewer).exists()
    assert (review_progress(project, reviewer).own, review_counts(reviewer)[0].waiting) == (1, 0)
    assert "A secret thought." in as_admin.get(url_of(comparison)).content.decode()
    Assignment.objects.filter(pk=mine.pk).update(state="skipped")
    assert "A secret thought." in as_reviewer.get(url_of(comparison)).content.decode()


def test_admins_see_the_decision_beside_the_judgements(contested, reviewer, as_admin, as_annotator):
    url = reverse("annotate:comparison", args=[contested.pk])
    assert f'href="{url_of(contested)}"' in as_admin.get(url).content.decode()
    adjudicate(comparison=contested, reviewer=reviewer, rankings=by_position(contested, 1, 2, 3), rationale="Clear.")
    page = as_admin.get(url).content.decode()
    assert "Decision of a reviewer" in page
    assert "rita" in page
    assert "Clear." in page
    assert as_annotator.get(url).status_code == 403


def test_home_counts_what_waits_for_a_reviewer_only(contested, project, reviewer, annotator, as_reviewer, as_annotator):
    assert [(count.project, count.waiting) for count in review_counts(reviewer)] == [(project, 1)]
    assert review_counts(annotator) == []
    home = reverse("annotate:home")
    assert queue_url(project) in as_reviewer.get(home).content.decode()
    assert queue_url(project) not in as_annotator.get(home).content.decode()


# over REST ------------------------------------------------------------------------------------------------------------


def test_decisions_over_rest_are_for_admins(contested, as_admin, as_reviewer, as_annotator, as_nobody, admin):
    endpoint = "/api/v1/adjudications/"
    given = {"comparison": contested.pk, "rankings": by_position(contested, 1, 2, 3), "rationale": "By hand."}
    made = as_admin.post(endpoint, given, content_type="application/json")
    assert made.status_code == 201
    assert made.json()["reviewer"] == "ada"
    assert as_admin.get(endpoint, {"project": contested.project_id}).json()["count"] == 1
    assert as_admin.get(endpoint, {"comparison": contested.pk + 1}).json()["count"] == 0
    wrong = as_admin.post(endpoint, given | {"rankings": {"wit": {"1": 1}}}, content_type="application/json")
    assert wrong.status_code == 400
    assert "rankings" in wrong.json()
    for client, status in ((as_reviewer, 403), (as_annotator, 403), (as_nobody, 401)):
        assert client.get(endpoint).status_code == status
        assert client.post(endpoint, given, content_type="application/json").status_code == status


def test_an_admins_script_does_not_replace_a_decision_that_it_has_not_seen(contested, reviewer, as_admin):
    first = adjudicate(comparison=contested, reviewer=reviewer, rankings=by_position(contested, 1, 2, 3))
    endpoint = "/api/v1/adjudications/"
    given = {"comparison": contested.pk, "rankings": by_position(contested, 3, 2, 1)}
    for seen in ({}, {"revises": None}, {"revises": first.pk + 1}):
        refused = as_admin.post(endpoint, given | seen, content_type="application/json")
        assert refused.status_code == 400
        assert "meanwhile" in str(refused.json())
    assert as_admin.post(endpoint, given | {"revises": "x"}, content_type="application/json").status_code == 400
    assert Adjudication.objects.get() == first
    made = as_admin.post(endpoint, given | {"revises": first.pk}, content_type="application/json")
    assert (made.status_code, made.json()["supersedes"]) == (201, first.pk)
