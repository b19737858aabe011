from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from accounts.models import AuditEntry, User
from annotate.gold.services import membership_qualify
from annotate.projects.models import Membership
from annotate.ranking.engine import assignment_ahead, assignment_next
from annotate.ranking.models import Assignment
from annotate.ranking.selectors import queues, why_nothing
from annotate.ranking.services import (
    assignment_skip,
    draft_save,
    judgement_submit,
    judgement_undo,
    outcome_of,
)
from tests.annotate.gold.stage import answer_right, answer_wrong, known_order, make_gold
from tests.annotate.ranking.desk import in_shown_order, make_comparison, make_project
from tests.annotate.ranking.test_concurrency import hammer
from tests.annotate.ranking.test_engine import let_lapse


@pytest.fixture
def project(annotator):
    project = make_project(annotator, must_qualify=True, qualification_threshold=0.5)
    for number in range(3):
        make_gold(project, f"qualification {number}", purpose="qualification")
    make_comparison(project, "work")
    return project


def membership(project) -> Membership:
    return Membership.objects.get(project=project)


def give(annotator, project, *answers) -> None:
    for answer in answers:
        answer(assignment_next(annotator=annotator, project=project))


def test_work_opens_when_all_of_it_is_judged_well_enough(annotator, project):
    (queue,) = queues(annotator)
    assert (queue.left, queue.qualifying, queue.why) == (3, True, None)
    for _ in range(2):
        assignment = assignment_next(annotator=annotator, project=project)
        assert (assignment.comparison.purpose, assignment.slot) == ("qualification", None)
        judgement = answer_right(assignment)
        assert (judgement.gold_score, outcome_of(judgement)) == (1.0, "accepted")
        assert membership(project).qualification == "open"
    give(annotator, project, answer_wrong)
    decided = membership(project)
    assert decided.qualification == "passed" and decided.qualified_at
    assert decided.qualification_score == pytest.approx(2 / 3)
    assert assignment_next(annotator=annotator, project=project).comparison.purpose == "work"
    assert queues(annotator)[0].qualifying is False


def test_nothing_is_handed_out_to_somebody_who_failed(annotator, project):
    give(annotator, project, answer_wrong, answer_wrong, answer_right)
    assert membership(project).qualification == "failed"
    assert assignment_next(annotator=annotator, project=project) is None
    assert why_nothing(annotator, project) == "failed"
    assert queues(annotator)[0].why == "failed" and queues(annotator)[0].left == 0


def test_the_threshold_itself_is_enough(annotator, project):
    project.qualification_threshold = 2 / 3
    project.save()
    give(annotator, project, answer_right, answer_wrong, answer_right)
    assert membership(project).qualification == "passed"


def test_without_anything_to_qualify_with_nothing_is_handed_out_and_that_is_said(annotator):
    project = make_project(annotator, must_qualify=True)
    make_comparison(project)
    assert assignment_next(annotator=annotator, project=project) is None
    assert why_nothing(annotator, project) == "unqualified_no_gold"


def test_the_last_of_it_does_not_fetch_work_ahead(annotator, project):
    desk = assignment_next(annotator=annotator, project=project)
    for _ in range(2):
        ahead = assignment_ahead(assignment=desk)
        assert ahead.comparison.purpose == "qualification"
        answer_right(desk)
        desk = ahead
    assert assignment_ahead(assignment=desk) is None
    assert Assignment.objects.filter(comparison__purpose="work").count() == 0
    answer_right(desk)
    assert assignment_next(annotator=annotator, project=project).comparison.purpose == "work"


def test_somebody_who_passed_is_given_none_of_it(annotator, project):
    membership_qualify(membership=membership(project), passed=True, by=None)
    assert assignment_next(annotator=annotator, project=project).comparison.purpose == "work"


def test_an_admin_may_decide_otherwise_and_that_is_on_record(annotator, project, admin):
    give(annotator, project, answer_wrong, answer_wrong, answer_wrong)
    membership_qualify(membership=membership(project), passed=True, by=admin)
    assert membership(project).qualification == "passed"
    entry = AuditEntry.objects.filter(action="membership.qualified").get()
    assert (entry.actor, entry.details) == (admin, {"before": "failed", "after": "passed", "score": 0.0})
    assert assignment_next(annotator=annotator, project=project).comparison.purpose == "work"


def test_it_cannot_be_skipped(annotator, project):
    desk = assignment_next(annotator=annotator, project=project)
    with pytest.raises(ValidationError, match="cannot be skipped"):
        assignment_skip(assignment=desk, reason="expertise")
    desk.refresh_from_db()
    assert desk.state == "active"


def test_answers_may_be_changed_until_it_is_decided(annotator, project):
    first = assignment_next(annotator=annotator, project=project)
    answer_wrong(first)
    changed = answer_right(first)
    assert (changed.gold_score, outcome_of(changed)) == (1.0, "revised")
    give(annotator, project, answer_right, answer_right)
    assert membership(project).qualification_score == 1.0
    with pytest.raises(ValidationError, match="qualification is over"):
        answer_wrong(first)
    with pytest.raises(ValidationError, match="qualification is over"):
        judgement_undo(assignment=first)
    assert answer_right(first) == changed, "the same again is no change"


def test_what_was_taken_back_is_asked_again(annotator, project):
    first = assignment_next(annotator=annotator, project=project)
    answer_wrong(first)
    again = judgement_undo(assignment=first)
    assert (again.state, again.slot) == ("active", None)
    assert assignment_next(annotator=annotator, project=project) == again
    answer_right(again)
    give(annotator, project, answer_right, answer_right)
    assert membership(project).qualification_score == 1.0


def test_a_lapsed_lease_comes_back_with_its_draft_and_late_answers_count(annotator, project):
    desk = assignment_next(annotator=annotator, project=project)
    let_lapse(desk)
    from annotate.ranking.places import leases_expire

    leases_expire()
    assert draft_save(assignment=desk, draft={"rationale": "a"}).state == "active"
    let_lapse(desk)
    leases_expire()
    judgement = answer_right(desk)
    assert outcome_of(judgement) == "accepted" and judgement.gold_score == 1.0


def test_limits_are_about_work(annotator, project):
    project.daily_limit = 1
    project.save()
    give(annotator, project, answer_right, answer_right, answer_right)
    assert assignment_next(annotator=annotator, project=project).comparison.purpose == "work"


def test_a_comparison_that_becomes_part_of_it_is_asked_too(annotator, project):
    give(annotator, project, answer_right, answer_right)
    make_gold(project, "one more", purpose="qualification")
    give(annotator, project, answer_right)
    assert membership(project).qualification == "open"
    give(annotator, project, answer_right)
    assert membership(project).qualification == "passed"


def test_it_is_decided_too_when_the_last_open_one_is_removed(annotator, project):
    from annotate.gold.services import gold_remove
    from annotate.ranking.models import Comparison

    give(annotator, project, answer_right, answer_right)
    left = Comparison.objects.filter(purpose="qualification").exclude(assignments__annotator=annotator).get()
    gold_remove(comparison=left, user=None)
    assert assignment_next(annotator=annotator, project=project).comparison.purpose == "work"
    assert membership(project).qualification == "passed"


@pytest.mark.django_db(transaction=True)
def test_the_last_two_answers_from_two_tabs_decide_it():
    users = [User.objects.create_user(f"person-{number}") for number in range(6)]
    project = make_project(*users, must_qualify=True, qualification_threshold=0.5)
    for number in range(2):
        make_gold(project, f"qualification {number}", purpose="qualification")
    tabs = []
    for user in users:
        desk = assignment_next(annotator=user, project=project)
        tabs += [desk, assignment_ahead(assignment=desk)]

    def work(assignment: Assignment) -> None:
        judgement_submit(assignment=assignment, rankings=known_order(assignment.comparison))

    hammer(work, tabs)
    assert set(Membership.objects.values_list("qualification", flat=True)) == {"passed"}


@pytest.mark.django_db(transaction=True)
def test_many_who_qualify_at_once_get_every_item_once():
    users = [User.objects.create_user(f"person-{number}") for number in range(6)]
    project = make_project(*users, must_qualify=True, qualification_threshold=0.5)
    for number in range(4):
        make_gold(project, f"qualification {number}", purpose="qualification")

    def work(user: User) -> int:
        count = 0
        while assignment := assignment_next(annotator=user, project=project):
            judgement_submit(assignment=assignment, rankings=in_shown_order(assignment, 1, 2))
            count += 1
        return count

    hammer(work, users * 2)  # two tabs each
    assert Assignment.objects.count() == 24 == Assignment.objects.filter(state="submitted").count()
    assert not Membership.objects.filter(qualification="open").exists()
