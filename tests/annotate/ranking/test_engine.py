from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from annotate.gold.services import gold_copy
from annotate.projects.models import Membership
from annotate.projects.services_comparisons import comparisons_change
from annotate.ranking.engine import assignment_ahead, assignment_next, display_order
from annotate.ranking.limits import today_began
from annotate.ranking.models import Assignment, Comparison, Judgement
from annotate.ranking.own import paces
from annotate.ranking.places import lease_regain, leases_expire
from annotate.ranking.selectors import done_today, queues, why_nothing
from annotate.ranking.services import assignment_skip, assignment_start, judgement_submit, judgement_undo
from annotate.review.withdrawals import work_withdraw
from tests.annotate.gold.stage import known_order
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


def test_what_is_being_submitted_at_this_moment_is_not_fetched_ahead_again(annotator):
    """The page shows the second item, and asks for the third, while the submission of the first is on its way."""
    project = make_project(annotator)
    for question in ("one", "two", "three"):
        make_comparison(project, question)
    first = assignment_next(annotator=annotator, project=project)
    assignment_start(assignment=first)
    second = assignment_ahead(assignment=first)
    third = assignment_ahead(assignment=second)
    assert third not in (first, second)
    assert assignment_ahead(assignment=second) == third
    assert assignment_next(annotator=annotator, project=project) == first, "unless its submission never comes"


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


# limits, rounds and what is settled ---------------------------------------------------------------------------------


def rank_all(annotator, project) -> int:
    count = 0
    while assignment := assignment_next(annotator=annotator, project=project):
        judgement_submit(assignment=assignment, rankings=in_shown_order(assignment, 1, 2))
        count += 1
    return count


def test_a_daily_limit_ends_with_the_day(annotator):
    project = make_project(annotator, daily_limit=2)
    for number in range(5):
        make_comparison(project, f"question {number}")
    assert rank_all(annotator, project) == 2
    assert why_nothing(annotator, project) == "daily_limit"
    (queue,) = queues(annotator)
    assert (queue.left, queue.today, queue.why) == (0, 2, "daily_limit")
    yesterday = today_began() - timedelta(seconds=1)
    Judgement.objects.update(created_at=yesterday)
    assert queues(annotator)[0].left == 2
    assert rank_all(annotator, project) == 2


def test_a_total_limit_is_a_persons_own_before_it_is_the_projects(annotator, other_annotator):
    project = make_project(annotator, other_annotator, total_limit=1)
    for number in range(5):
        make_comparison(project, f"question {number}")
    Membership.objects.filter(user=annotator).update(total_limit=3)
    assert rank_all(annotator, project) == 3
    assert rank_all(other_annotator, project) == 1
    assert why_nothing(other_annotator, project) == "total_limit"


def test_nothing_is_fetched_ahead_past_a_limit(annotator):
    project = make_project(annotator, daily_limit=2)
    for number in range(5):
        make_comparison(project, f"question {number}")
    desk = assignment_next(annotator=annotator, project=project)
    second = assignment_ahead(assignment=desk)
    judgement_submit(assignment=desk, rankings=in_shown_order(desk, 1, 2))
    assert assignment_ahead(assignment=second) is None
    judgement_submit(assignment=second, rankings=in_shown_order(second, 1, 2))
    assert Assignment.objects.count() == 2


def test_what_was_taken_back_makes_room_below_the_limit_for_itself_only(annotator):
    project = make_project(annotator, total_limit=1)
    make_comparison(project, "one")
    make_comparison(project, "two")
    desk = assignment_next(annotator=annotator, project=project)
    judgement_submit(assignment=desk, rankings=in_shown_order(desk, 1, 2))
    judgement_undo(assignment=desk)
    assert assignment_next(annotator=annotator, project=project) == desk
    assert assignment_ahead(assignment=desk) is None


def test_rounds_follow_each_other_unless_one_has_priority(annotator):
    project = make_project(annotator)
    first = [make_comparison(project, f"first {n}", round=1) for n in range(2)]
    second = [make_comparison(project, f"second {n}", round=2) for n in range(2)]
    second[1].priority = 1
    second[1].save()
    order = []
    while assignment := assignment_next(annotator=annotator, project=project):
        order.append(assignment.comparison)
        judgement_submit(assignment=assignment, rankings=in_shown_order(assignment, 1, 2))
    assert order == [second[1], *first, second[0]]


def test_a_pause_stops_handing_out_but_not_handing_in(annotator):
    project = make_project(annotator)
    make_comparison(project, "one")
    make_comparison(project, "two")
    desk = assignment_next(annotator=annotator, project=project)
    project.is_paused = True
    project.save()
    assert assignment_ahead(assignment=desk) is None
    assert why_nothing(annotator, project) == "paused"
    assert judgement_submit(assignment=desk, rankings=in_shown_order(desk, 1, 2)).assignment.slot == 0


def test_the_reason_why_nothing_comes_is_named(annotator, outsider):
    project = make_project(annotator)
    assert why_nothing(outsider, project) == "not_member"
    assert why_nothing(annotator, project) == "done"


def test_the_prompt_before_a_regained_lease_is_remembered(annotator):
    """What comes after a comparison that was handed out again is of another prompt than that comparison's."""
    project = make_project(annotator)
    same = make_prompt(project, "same")
    first = make_comparison(project, prompt=same, texts=["a", "b"])
    make_comparison(project, "other")
    lease = assignment_next(annotator=annotator, project=project)
    ahead = assignment_ahead(assignment=lease)
    let_lapse(lease)
    leases_expire()
    judgement_submit(assignment=ahead, rankings=in_shown_order(ahead, 1, 2))
    again = assignment_next(annotator=annotator, project=project)
    assert again.comparison == first and again.number == 3
    make_comparison(project, prompt=same, texts=["c", "d"])
    third = make_comparison(project, "third")
    assert assignment_ahead(assignment=again).comparison == third


def test_somebody_at_work_keeps_the_lease_without_a_write_for_every_click(annotator):
    project = make_project(annotator)
    make_comparison(project)
    lease = assignment_next(annotator=annotator, project=project)
    assignment_start(assignment=lease)
    before = Assignment.objects.get().lease_expires_at
    assignment_start(assignment=lease)
    assert Assignment.objects.get().lease_expires_at == before
    soon = timezone.now() + timedelta(minutes=5)
    Assignment.objects.update(lease_expires_at=soon)
    assignment_start(assignment=Assignment.objects.get())
    assert Assignment.objects.get().lease_expires_at > soon + timedelta(minutes=20)


def test_a_revision_is_work_of_the_day_of_what_it_revises(annotator):
    project = make_project(annotator, daily_limit=1)
    make_comparison(project, "one")
    make_comparison(project, "two")
    desk = assignment_next(annotator=annotator, project=project)
    judgement_submit(assignment=desk, rankings=in_shown_order(desk, 1, 2))
    yesterday = today_began() - timedelta(hours=1)
    Judgement.objects.update(created_at=yesterday)
    judgement_submit(assignment=desk, rankings=in_shown_order(desk, 2, 1))
    assert done_today(annotator, project) == 0 and queues(annotator)[0].today == 0
    assert paces(annotator)[project.pk].counts[-2:] == [1, 0]
    following = assignment_next(annotator=annotator, project=project)
    assert following is not None and following != desk
    judgement_submit(assignment=following, rankings=in_shown_order(following, 1, 2))
    assert why_nothing(annotator, project) == "daily_limit"


def test_an_imported_judgement_takes_a_place(annotator, other_annotator, outsider):
    """Handing out, closing, opening more and withdrawing all count the same judgements."""
    project = make_project(annotator, other_annotator, overlap=1)
    comparison = make_comparison(project, is_closed=True)
    Judgement.objects.create(comparison=comparison, annotator=outsider, rankings={}, source="import")
    rows = Comparison.objects.filter(pk=comparison.pk)
    comparisons_change(project=project, comparisons=rows, action="overlap", value=2, by=None, asked={})
    desk = assignment_next(annotator=annotator, project=project)
    assert desk.slot == 0
    assert assignment_next(annotator=other_annotator, project=project) is None
    judgement_submit(assignment=desk, rankings=in_shown_order(desk, 1, 2))
    comparison.refresh_from_db()
    assert comparison.is_closed and Judgement.objects.filter(is_current=True).count() == 2
    judgement_undo(assignment=desk)
    comparison.refresh_from_db()
    assert not comparison.is_closed


def test_who_had_the_gold_copy_is_not_given_the_original(annotator, other_annotator, admin):
    project = make_project(annotator, other_annotator, gold_rate=0.5)
    comparison = make_comparison(project, "one")
    desk = assignment_next(annotator=other_annotator, project=project)
    judgement_submit(assignment=desk, rankings=known_order(comparison))
    copy = gold_copy(comparison=comparison, rankings=known_order(comparison), purpose="gold", user=admin).comparison
    Assignment.objects.create(comparison=copy, annotator=annotator, state=State.SUBMITTED)
    work_withdraw(project=project, annotator=other_annotator, by=admin, reason="in haste")
    assert not Comparison.objects.get(pk=comparison.pk).is_closed
    assert assignment_next(annotator=annotator, project=project) is None
    Assignment.objects.filter(comparison=copy).update(state=State.RELEASED)
    assert assignment_next(annotator=annotator, project=project).comparison == comparison
