from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils import timezone

from annotate.projects.models import Guidelines, Membership
from annotate.projects.services_comparisons import comparisons_change
from annotate.ranking.engine import assignment_ahead, assignment_next
from annotate.ranking.models import Assignment, Comparison, Judgement
from annotate.ranking.places import leases_expire
from annotate.ranking.services import (
    assignment_skip,
    assignment_start,
    draft_save,
    judgement_submit,
    judgement_undo,
    outcome_of,
)
from annotate.review.models import Adjudication
from annotate.review.withdrawals import work_withdraw
from tests.annotate.ranking.desk import in_shown_order, make_comparison, make_project

State = Assignment.State


@pytest.fixture
def project(annotator, other_annotator):
    return make_project(annotator, other_annotator)


@pytest.fixture
def desk(project, annotator):
    make_comparison(project)
    return assignment_next(annotator=annotator, project=project)


def lose_to(project, other, assignment):
    """The lease lapses and somebody else gets the place."""
    Assignment.objects.filter(pk=assignment.pk).update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    return assignment_next(annotator=other, project=project)


def test_a_submission_is_kept_as_it_was_said_and_closes_the_comparison(desk):
    first, second, third, _ = (str(pk) for pk in desk.display_order)
    rankings = {"helpfulness": {first: 2, second: 1, third: 2}, "harmlessness": {first: 1, second: 2}}
    judgement = judgement_submit(
        assignment=desk,
        rankings=rankings,
        strengths={"helpfulness": {second: 3}},
        flags=[{"flag": "refuses", "response": third}, {"flag": "unclear"}],
        rationale="  Second is right. ",
        seconds_active=0.0,
    )
    judgement.refresh_from_db()
    assert judgement.rankings == rankings
    assert judgement.strengths == {"helpfulness": {second: 3}}
    assert judgement.flags == [{"flag": "unclear"}, {"flag": "refuses", "response": third}]
    assert judgement.rationale == "Second is right."
    assert judgement.display_order == desk.display_order
    assert judgement.source == "human"
    desk.refresh_from_db()
    assert (desk.state, desk.slot) == (State.SUBMITTED, 0)
    assert desk.comparison.__class__.objects.get().is_closed


def test_a_comparison_stays_open_until_it_has_all_its_judgements(annotator, other_annotator):
    project = make_project(annotator, other_annotator, overlap=2)
    make_comparison(project)
    for person, closed in ((annotator, False), (other_annotator, True)):
        assignment = assignment_next(annotator=person, project=project)
        judgement_submit(assignment=assignment, rankings=in_shown_order(assignment, 1, 2))
        assert Comparison.objects.get().is_closed is closed


def test_submitting_twice_is_submitting_once(desk):
    once = judgement_submit(assignment=desk, rankings=in_shown_order(desk, 1, 2, 2))
    twice = judgement_submit(assignment=desk, rankings=in_shown_order(desk, 1, 2, 2))
    assert once == twice
    assert Judgement.objects.count() == 1


def test_another_answer_supersedes_and_overwrites_nothing(desk):
    before = judgement_submit(assignment=desk, rankings=in_shown_order(desk, 1, 2))
    after = judgement_submit(assignment=desk, rankings=in_shown_order(desk, 2, 1))
    before.refresh_from_db()
    assert not before.is_current and before.rankings == in_shown_order(desk, 1, 2)
    assert after.is_current and after.supersedes == before
    assert Assignment.objects.get().slot == 0


@pytest.mark.parametrize(
    ("ranks", "complaint"),
    [
        ((), "Helpfulness: place at least two responses, or say that all are bad."),
        ((1,), "Helpfulness: place at least two responses, or say that all are bad."),
        ((1, 3), "Helpfulness: ranks must be 1, 2, 3, … without gaps; equal ranks are ties."),
        ((0, 1, 2), "Helpfulness: 0 is not a whole number from 1 to 4."),
        ((1, 5), "Helpfulness: 5 is not a whole number from 1 to 4."),
        ((1, "2"), "Helpfulness: 2 is not a whole number from 1 to 4."),
        ((1, True), "Helpfulness: True is not a whole number from 1 to 4."),
    ],
)
def test_a_ranking_that_is_not_one_is_refused_whole(desk, ranks, complaint):
    with pytest.raises(ValidationError) as refused:
        judgement_submit(assignment=desk, rankings=in_shown_order(desk, *ranks))
    assert complaint in refused.value.message_dict["rankings"]
    assert not Judgement.objects.exists()
    assert Assignment.objects.get().state == State.ACTIVE


def test_every_dimension_must_be_answered(desk):
    rankings = in_shown_order(desk, 1, 2)
    del rankings["harmlessness"]
    with pytest.raises(ValidationError, match="Harmlessness: place at least two"):
        judgement_submit(assignment=desk, rankings=rankings)
    judgement = judgement_submit(assignment=desk, rankings=rankings, all_bad=["harmlessness"])
    assert judgement.all_bad == ["harmlessness"]


def test_what_was_not_placed_is_absent(desk):
    judgement = judgement_submit(assignment=desk, rankings=in_shown_order(desk, 1, None, 1, None))
    shown = [str(pk) for pk in desk.display_order]
    assert judgement.rankings["helpfulness"] == {shown[0]: 1, shown[2]: 1}


def test_responses_and_dimensions_of_elsewhere_are_refused(project, desk):
    elsewhere = make_comparison(project, "elsewhere").members.first().response_id
    with pytest.raises(ValidationError, match=f"response {elsewhere} is not in this comparison"):
        judgement_submit(assignment=desk, rankings={"helpfulness": {desk.display_order[0]: 1, elsewhere: 2}})
    with pytest.raises(ValidationError, match="“beauty” is not a dimension of this project"):
        judgement_submit(assignment=desk, rankings=in_shown_order(desk, 1, 2) | {"beauty": {}})


def test_a_strength_needs_something_below_it(desk):
    best, worst = (str(pk) for pk in desk.display_order[:2])
    with pytest.raises(ValidationError, match="another one below it"):
        judgement_submit(assignment=desk, rankings=in_shown_order(desk, 1, 2), strengths={"helpfulness": {worst: 1}})
    judgement_submit(assignment=desk, rankings=in_shown_order(desk, 1, 2), strengths={"helpfulness": {best: 1}})


def test_a_late_submission_is_taken_while_there_is_a_place(desk):
    Assignment.objects.update(lease_expires_at=timezone.now() - timedelta(hours=1))
    leases_expire()
    judgement = judgement_submit(assignment=desk, rankings=in_shown_order(desk, 1, 2))
    assert judgement.assignment.slot == 0


def test_a_late_submission_without_a_place_is_kept_beside_the_others(project, desk, other_annotator):
    theirs = lose_to(project, other_annotator, desk)
    judgement_submit(assignment=theirs, rankings=in_shown_order(theirs, 1, 2))
    extra = judgement_submit(assignment=desk, rankings=in_shown_order(desk, 2, 1))
    assert extra.is_current and extra.assignment.slot is None
    assert Assignment.objects.filter(state=State.SUBMITTED, slot__isnull=False).count() == 1


def test_a_late_judgement_takes_the_place_when_it_becomes_free(project, desk, other_annotator):
    theirs = lose_to(project, other_annotator, desk)
    assert judgement_submit(assignment=desk, rankings=in_shown_order(desk, 2, 1)).assignment.slot is None
    assignment_skip(assignment=theirs, reason="expertise")
    desk.refresh_from_db()
    assert desk.slot == 0
    assert Comparison.objects.get().is_closed


def test_a_draft_is_kept_and_extends_the_lease(desk):
    before = desk.lease_expires_at = timezone.now() + timedelta(minutes=10)
    desk.save()
    first, second = (str(pk) for pk in desk.display_order[:2])
    saved = draft_save(
        assignment=desk, draft={"rankings": {"helpfulness": {first: 1, second: 3}}, "step": "helpfulness"}
    )
    assert saved.draft["rankings"] == {"helpfulness": {first: 1, second: 3}}
    assert saved.draft["step"] == "helpfulness"
    assert saved.lease_expires_at > before


def test_a_draft_of_a_lapsed_lease_is_kept_either_way(project, desk, other_annotator):
    Assignment.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    leases_expire()
    assert draft_save(assignment=desk, draft={"rationale": "a"}).state == State.ACTIVE
    lose_to(project, other_annotator, desk)
    lost = draft_save(assignment=desk, draft={"rationale": "b"})
    assert (lost.state, lost.draft["rationale"]) == (State.RELEASED, "b")


def test_a_draft_that_arrives_after_its_submission_is_ignored(desk):
    judgement = judgement_submit(assignment=desk, rankings=in_shown_order(desk, 1, 2))
    assert draft_save(assignment=desk, draft={"rationale": "late"}).draft == {}
    assert draft_save(assignment=desk, draft={"rationale": "new", "revises": judgement.pk}).draft["rationale"] == "new"


def test_what_was_taken_back_no_longer_counts_but_stays_on_record(desk):
    judgement = judgement_submit(assignment=desk, rankings=in_shown_order(desk, 1, 2))
    again = judgement_undo(assignment=desk)
    judgement.refresh_from_db()
    assert not judgement.is_current
    assert (again.state, again.slot) == (State.ACTIVE, 0)
    assert again.draft["rankings"] == judgement.rankings
    assert not Comparison.objects.get().is_closed
    assert judgement_submit(assignment=again, rankings=in_shown_order(desk, 2, 1)).supersedes == judgement
    assert Comparison.objects.get().is_closed


def test_skipping_needs_a_reason_that_is_kept(desk):
    with pytest.raises(ValidationError):
        assignment_skip(assignment=desk, reason="")
    assignment_skip(assignment=desk, reason="other", note="twice the same")
    desk.refresh_from_db()
    assert (desk.state, desk.skip_reason) == (State.SKIPPED, "other: twice the same")


def test_skipping_what_was_submitted_takes_it_back(desk):
    judgement_submit(assignment=desk, rankings=in_shown_order(desk, 1, 2))
    assignment_skip(assignment=desk, reason="language")
    assert not Judgement.objects.get().is_current
    assert not Comparison.objects.get().is_closed
    assert Assignment.objects.get().slot is None


def test_time_on_task_is_never_longer_than_the_assignment_exists(desk):
    judgement = judgement_submit(assignment=desk, rankings=in_shown_order(desk, 1, 2), seconds_active=9999)
    assert judgement.seconds_active < 60


def test_a_simulated_annotator_is_labelled_as_such(project, annotator):
    annotator.kind = "simulated"
    annotator.save()
    make_comparison(project)
    assignment = assignment_next(annotator=annotator, project=project)
    assert judgement_submit(assignment=assignment, rankings=in_shown_order(assignment, 1, 2)).source == "simulated"


def test_a_judgement_names_the_guidelines_it_was_made_under(project, desk):
    Guidelines.objects.create(project=project, number=1, text="Be kind.")
    latest = Guidelines.objects.create(project=project, number=2, text="Be kind and brief.")
    assert judgement_submit(assignment=desk, rankings=in_shown_order(desk, 1, 2)).guidelines_id == latest.pk


def test_how_contested_a_comparison_is_is_known_when_it_closes(annotator, other_annotator):
    project = make_project(annotator, other_annotator, overlap=2, k=2)
    comparison = make_comparison(project)
    first, second = (str(pk) for pk in comparison.members.values_list("response_id", flat=True))
    row = {first: 1, second: 2}
    mine = assignment_next(annotator=annotator, project=project)
    theirs = assignment_next(annotator=other_annotator, project=project)
    judgement_submit(assignment=mine, rankings={"helpfulness": row, "harmlessness": row})
    comparison.refresh_from_db()
    assert comparison.disagreement is None
    turned = {first: 2, second: 1}
    judgement_submit(assignment=theirs, rankings={"helpfulness": turned, "harmlessness": row})
    comparison.refresh_from_db()
    assert comparison.disagreement == 0.5
    judgement_submit(assignment=theirs, rankings={"helpfulness": row, "harmlessness": row})
    comparison.refresh_from_db()
    assert comparison.disagreement == 0.0
    judgement_undo(assignment=theirs)
    comparison.refresh_from_db()
    assert (comparison.is_closed, comparison.disagreement) == (False, None)


def test_what_a_reviewer_decided_can_no_longer_be_changed(desk, admin):
    judgement = judgement_submit(assignment=desk, rankings=in_shown_order(desk, 1, 2))
    Adjudication.objects.create(comparison=desk.comparison, reviewer=admin, rankings=in_shown_order(desk, 2, 1))
    for change in (
        lambda: judgement_submit(assignment=desk, rankings=in_shown_order(desk, 2, 1)),
        lambda: judgement_undo(assignment=desk),
        lambda: assignment_skip(assignment=desk, reason="expertise"),
    ):
        with pytest.raises(ValidationError, match="decided by a reviewer"):
            change()
    assert judgement_submit(assignment=desk, rankings=in_shown_order(desk, 1, 2)) == judgement
    desk.refresh_from_db()
    assert desk.state == State.SUBMITTED and Judgement.objects.get().is_current


def test_a_first_answer_is_kept_even_after_the_decision(project, desk, other_annotator, admin):
    theirs = lose_to(project, other_annotator, desk)
    judgement_submit(assignment=theirs, rankings=in_shown_order(theirs, 1, 2))
    Adjudication.objects.create(comparison=desk.comparison, reviewer=admin, rankings=in_shown_order(desk, 2, 1))
    assert outcome_of(judgement_submit(assignment=desk, rankings=in_shown_order(desk, 2, 1))) == "extra"


def test_what_became_of_a_submission_is_said(project, desk, other_annotator):
    first = judgement_submit(assignment=desk, rankings=in_shown_order(desk, 1, 2))
    assert outcome_of(first) == "accepted"
    assert outcome_of(judgement_submit(assignment=desk, rankings=in_shown_order(desk, 2, 1))) == "revised"


# what was on the page when it was answered ----------------------------------------------------------------------------


def test_the_guidelines_of_the_page_are_recorded_and_not_those_published_since(project, desk):
    first = Guidelines.objects.create(project=project, number=1, text="Be kind.")
    second = Guidelines.objects.create(project=project, number=2, text="Be kinder.")
    given = {"assignment": desk, "guidelines": 1}
    assert judgement_submit(**given, rankings=in_shown_order(desk, 1, 2)).guidelines == first
    for unknown in (None, 7, "1", 10**30, True):
        ranks = in_shown_order(desk, 1, 2, 3) if unknown is None else in_shown_order(desk, 1, 2, 3, 4)
        assert judgement_submit(assignment=desk, guidelines=unknown, rankings=ranks).guidelines == second


def test_an_answer_that_a_newer_one_overtook_is_kept_and_does_not_count(project, desk):
    old, new = in_shown_order(desk, 1, 2, 3, 4), in_shown_order(desk, 4, 3, 2, 1)
    first = judgement_submit(assignment=desk, rankings=old, revises=None)
    second = judgement_submit(assignment=desk, rankings=new, revises=first.pk)
    assert outcome_of(second) == "revised"
    late = judgement_submit(assignment=desk, rankings=in_shown_order(desk, 1, 1, 2, 2), revises=None, rationale="mine")
    assert (outcome_of(late), late.is_current, late.rationale) == ("stale", False, "mine")
    assert Judgement.objects.get(is_current=True) == second
    assert judgement_submit(assignment=desk, rankings=old, revises=None) == first, "it is on record already"
    again = judgement_submit(assignment=desk, rankings=in_shown_order(desk, 1, 1, 2, 2), revises=None, rationale="mine")
    assert again == late and Judgement.objects.count() == 3
    assert outcome_of(judgement_submit(assignment=desk, rankings=new, revises=None)) == "revised", (
        "the same is the same"
    )
    third = judgement_submit(assignment=desk, rankings=old, revises=second.pk)
    assert third.is_current and third.supersedes == second


def test_a_first_answer_takes_the_place_of_one_that_was_taken_back(desk):
    judgement_submit(assignment=desk, rankings=in_shown_order(desk, 1, 2), revises=None)
    judgement_undo(assignment=desk)
    assert judgement_submit(assignment=desk, rankings=in_shown_order(desk, 2, 1), revises=None).is_current


def test_a_stale_answer_is_no_way_around_a_withdrawal(project, desk, annotator, admin):
    first = judgement_submit(assignment=desk, rankings=in_shown_order(desk, 1, 2))
    judgement_submit(assignment=desk, rankings=in_shown_order(desk, 2, 1), revises=first.pk)
    judgement_submit(assignment=desk, rankings=in_shown_order(desk, 1, 1, 2), revises=first.pk)
    work_withdraw(project=project, annotator=annotator, by=admin, reason="in haste")
    with pytest.raises(ValidationError, match="withdrawn"):
        judgement_submit(assignment=desk, rankings=in_shown_order(desk, 3, 2, 1))


# comparisons that were closed by hand, and people who left ------------------------------------------------------------


def close(project) -> None:
    rows = Comparison.objects.filter(project=project)
    comparisons_change(project=project, comparisons=rows, action="close", by=None, asked={})


def test_what_is_submitted_after_a_comparison_was_closed_by_hand_is_an_extra(project, desk):
    close(project)
    judgement = judgement_submit(assignment=desk, rankings=in_shown_order(desk, 1, 2))
    assert (outcome_of(judgement), judgement.assignment.slot) == ("extra", None)
    judgement_undo(assignment=desk)
    assert Comparison.objects.get().is_closed


def test_taking_back_reopens_what_was_full_and_not_what_was_closed_by_hand(annotator, other_annotator):
    project = make_project(annotator, other_annotator, overlap=2)
    comparison = make_comparison(project)
    one, two = (assignment_next(annotator=person, project=project) for person in (annotator, other_annotator))
    judgement_submit(assignment=one, rankings=in_shown_order(one, 1, 2))
    close(project)
    again = judgement_undo(assignment=one)
    comparison.refresh_from_db()
    assert comparison.is_closed and again.state == State.ACTIVE
    judgement_submit(assignment=again, rankings=in_shown_order(one, 2, 1))
    rows = Comparison.objects.all()
    comparisons_change(project=project, comparisons=rows, action="reopen", by=None, asked={})
    two = assignment_next(annotator=other_annotator, project=project)
    judgement_submit(assignment=two, rankings=in_shown_order(two, 1, 2))
    comparison.refresh_from_db()
    assert comparison.is_closed
    judgement_undo(assignment=two)
    comparison.refresh_from_db()
    assert not comparison.is_closed


def test_somebody_who_was_removed_hands_in_what_they_hold_and_no_more(project, desk, annotator, as_annotator):
    other = make_comparison(project, "other")
    Membership.objects.filter(user=annotator).delete()
    judgement = judgement_submit(assignment=desk, rankings=in_shown_order(desk, 1, 2))
    assert (judgement.is_current, outcome_of(judgement)) == (True, "extra")
    assert not Comparison.objects.get(pk=desk.comparison_id).is_closed, "the place is free for somebody else"
    with pytest.raises(ValidationError, match="not in this project any more"):
        judgement_submit(assignment=desk, rankings=in_shown_order(desk, 2, 1))
    for url in (reverse("annotate:assignment", args=[desk.pk]), f"/api/v1/assignments/{desk.pk}/"):
        assert as_annotator.get(url).status_code == 404
    assert not Assignment.objects.filter(comparison=other).exists()


def test_who_is_paused_neither_keeps_a_place_nor_takes_one_again(project, desk, annotator, other_annotator):
    Membership.objects.filter(user=annotator).update(is_active=False)
    soon = timezone.now() + timedelta(minutes=1)
    Assignment.objects.update(lease_expires_at=soon)
    desk.refresh_from_db()
    draft_save(assignment=desk, draft={"rationale": "so far"})
    assignment_start(assignment=Assignment.objects.select_related("comparison__project", "annotator").get())
    assert assignment_ahead(assignment=desk) is None
    desk.refresh_from_db()
    assert (desk.lease_expires_at, desk.draft["rationale"]) == (soon, "so far")
    Assignment.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    leases_expire()
    desk.refresh_from_db()
    assert draft_save(assignment=desk, draft={"rationale": "more"}).state == State.RELEASED
    assert assignment_start(assignment=desk).state == State.RELEASED
    late = judgement_submit(assignment=desk, rankings=in_shown_order(desk, 1, 2))
    assert outcome_of(late) == "extra"
    assert assignment_next(annotator=other_annotator, project=project).slot == 0


def test_what_was_deleted_meanwhile_is_refused_with_a_sentence(desk):
    ranks = in_shown_order(desk, 1, 2)
    Comparison.objects.all().delete()
    with pytest.raises(ValidationError, match="not there any more"):
        judgement_submit(assignment=desk, rankings=ranks)
    with pytest.raises(ValidationError, match="not there any more"):
        draft_save(assignment=desk, draft={"rankings": ranks})
