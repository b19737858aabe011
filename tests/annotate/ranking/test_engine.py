from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from annotate.projects.models import Membership
from annotate.ranking.engine import (
    assignment_ahead,
    assignment_next,
    display_order,
    lease_regain,
    leases_expire,
)
from annotate.ranking.models import Assignment
from annotate.ranking.services import assignment_skip, judgement_submit
from tests.annotate.ranking.desk import in_shown_order, make_comparison, make_project, make_prompt

State = Assignment.State


def let_lapse(assignment: Assignment) -> None:
    Assignment.objects.filter(pk=assignment.pk).update(lease_expires_at=timezone.now() - timedelta(seconds=1))


def test_asking_again_gives_the_same_lease(annotator):
    project = make_project(annotator)
    make_comparison(project, "one")
    make_comparison(project, "two")
    first = assignment_next(annotator=annotator, project=project)
    assert assignment_next(annotator=annotator, project=project) == first
    assert Assignment.objects.count() == 1


def test_the_next_is_fetched_ahead_once_under_its_own_lease(annotator):
    project = make_project(annotator)
    for question in ("one", "two", "three"):
        make_comparison(project, question)
    desk = assignment_next(annotator=annotator, project=project)
    ahead = assignment_ahead(assignment=desk)
    assert ahead != desk
    assert assignment_ahead(assignment=desk) == ahead
    judgement_submit(assignment=desk, rankings=in_shown_order(desk, 1, 2))
    assert assignment_next(annotator=annotator, project=project) == ahead


def test_higher_priority_comes_first_and_then_the_older(annotator):
    project = make_project(annotator)
    old, new = make_comparison(project, "old"), make_comparison(project, "new")
    urgent = make_comparison(project, "urgent", priority=5)
    order = []
    while assignment := assignment_next(annotator=annotator, project=project):
        order.append(assignment.comparison)
        judgement_submit(assignment=assignment, rankings=in_shown_order(assignment, 1, 2))
    assert order == [urgent, old, new]


def test_two_comparisons_of_one_prompt_do_not_follow_each_other(annotator):
    project = make_project(annotator)
    prompt = make_prompt(project, "same")
    first = make_comparison(project, prompt=prompt, texts=["a", "b"])
    second = make_comparison(project, prompt=prompt, texts=["c", "d"])
    other = make_comparison(project, "other")
    order = []
    while assignment := assignment_next(annotator=annotator, project=project):
        order.append(assignment.comparison)
        judgement_submit(assignment=assignment, rankings=in_shown_order(assignment, 1, 2))
    assert order == [first, other, second]


def test_two_of_one_prompt_follow_each_other_when_nothing_else_is_left(annotator):
    project = make_project(annotator)
    prompt = make_prompt(project, "same")
    make_comparison(project, prompt=prompt, texts=["a", "b"])
    make_comparison(project, prompt=prompt, texts=["c", "d"])
    desk = assignment_next(annotator=annotator, project=project)
    assert assignment_ahead(assignment=desk) is not None


def test_a_comparison_is_held_by_no_more_people_than_its_overlap(annotator, other_annotator, outsider):
    project = make_project(annotator, other_annotator, outsider, overlap=2)
    make_comparison(project)
    assert assignment_next(annotator=annotator, project=project).slot == 0
    assert assignment_next(annotator=other_annotator, project=project).slot == 1
    assert assignment_next(annotator=outsider, project=project) is None


def test_nothing_is_handed_out_while_paused_or_to_strangers_or_to_inactive_members(annotator, outsider):
    project = make_project(annotator)
    make_comparison(project)
    assert assignment_next(annotator=outsider, project=project) is None
    project.is_paused = True
    project.save()
    assert assignment_next(annotator=annotator, project=project) is None
    project.is_paused = False
    project.save()
    Membership.objects.update(is_active=False)
    assert assignment_next(annotator=annotator, project=project) is None


def test_a_lapsed_lease_goes_to_somebody_else(annotator, other_annotator):
    project = make_project(annotator, other_annotator)
    make_comparison(project)
    gone = assignment_next(annotator=annotator, project=project)
    let_lapse(gone)
    taken = assignment_next(annotator=other_annotator, project=project)
    assert taken.comparison == gone.comparison and taken.slot == 0
    gone.refresh_from_db()
    assert (gone.state, gone.slot) == (State.RELEASED, None)


def test_a_lapsed_lease_that_nobody_took_comes_back_with_its_draft(annotator):
    project = make_project(annotator)
    make_comparison(project)
    lease = assignment_next(annotator=annotator, project=project)
    Assignment.objects.update(draft={"rationale": "so far"})
    let_lapse(lease)
    assert leases_expire() == 1
    again = assignment_next(annotator=annotator, project=project)
    assert again.pk == lease.pk
    assert again.draft == {"rationale": "so far"}
    assert again.display_order == lease.display_order


def test_the_periodic_task_returns_lapsed_leases_only(annotator, other_annotator):
    project = make_project(annotator, other_annotator, overlap=2)
    make_comparison(project)
    lapsed = assignment_next(annotator=annotator, project=project)
    live = assignment_next(annotator=other_annotator, project=project)
    let_lapse(lapsed)
    from annotate.ranking.tasks import expire_leases

    expire_leases()
    assert Assignment.objects.get(pk=lapsed.pk).state == State.RELEASED
    assert Assignment.objects.get(pk=live.pk).state == State.ACTIVE


def test_a_skipped_comparison_is_not_offered_again_and_its_place_is_free(annotator, other_annotator):
    project = make_project(annotator, other_annotator)
    make_comparison(project)
    mine = assignment_next(annotator=annotator, project=project)
    assignment_skip(assignment=mine, reason="language")
    assert assignment_next(annotator=annotator, project=project) is None
    assert assignment_next(annotator=other_annotator, project=project).slot == 0


def test_the_order_shown_is_a_shuffle_of_ones_own_that_stays(annotator, other_annotator):
    project = make_project(annotator, other_annotator, overlap=2, k=8)
    comparison = make_comparison(project)
    mine = assignment_next(annotator=annotator, project=project)
    theirs = assignment_next(annotator=other_annotator, project=project)
    responses = set(comparison.members.values_list("response_id", flat=True))
    assert set(mine.display_order) == set(theirs.display_order) == responses
    assert mine.display_order != theirs.display_order
    assert mine.display_order == display_order(comparison.pk, annotator.pk, responses)


@pytest.mark.django_db
def test_every_response_is_first_about_equally_often():
    firsts = [display_order(comparison, 7, [1, 2, 3, 4])[0] for comparison in range(2000)]
    assert all(420 < firsts.count(response) < 580 for response in (1, 2, 3, 4))


def test_a_lapsed_lease_is_regained_only_while_there_is_a_place(annotator, other_annotator):
    project = make_project(annotator, other_annotator)
    make_comparison(project)
    lease = assignment_next(annotator=annotator, project=project)
    let_lapse(lease)
    leases_expire()
    assert lease_regain(assignment=lease)
    let_lapse(lease)
    assignment_next(annotator=other_annotator, project=project)
    assert not lease_regain(assignment=lease)
