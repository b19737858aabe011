from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from accounts.models import AuditEntry
from annotate.gold.listing import suggestion
from annotate.gold.models import Gold
from annotate.gold.selectors import qualification_place
from annotate.gold.services import gold_copy, gold_remove, gold_set, membership_qualify
from annotate.projects.models import Membership
from annotate.ranking.engine import assignment_next
from annotate.ranking.models import Assignment, Comparison
from annotate.ranking.own import qualification_of
from annotate.ranking.places import leases_expire
from annotate.ranking.services import judgement_submit
from annotate.review.models import Adjudication
from tests.annotate.gold.stage import answer_right, answer_wrong, known_order, make_gold
from tests.annotate.ranking.desk import in_shown_order, make_comparison, make_project


@pytest.fixture
def project(annotator, other_annotator):
    return make_project(annotator, other_annotator)


def judged(project, annotator) -> Comparison:
    comparison = make_comparison(project, "judged")
    assignment = assignment_next(annotator=annotator, project=project)
    judgement_submit(assignment=assignment, rankings=in_shown_order(assignment, 1, 2))
    return comparison


def test_gold_leaves_the_queue_of_work_and_leases_on_it_are_given_back(project, annotator, admin):
    comparison = make_comparison(project)
    lease = assignment_next(annotator=annotator, project=project)
    gold_set(comparison=comparison, rankings=known_order(comparison), purpose="gold", explanation=" So. ", user=admin)
    comparison.refresh_from_db()
    lease.refresh_from_db()
    assert (comparison.purpose, comparison.is_closed, comparison.gold.explanation) == ("gold", True, "So.")
    assert (lease.state, lease.slot) == ("released", None)
    assert assignment_next(annotator=annotator, project=project) is None
    assert AuditEntry.objects.get().action == "gold.set"


def test_what_was_judged_as_work_is_copied_instead(project, annotator, admin):
    comparison = judged(project, annotator)
    with pytest.raises(ValidationError, match="gold copy"):
        gold_set(comparison=comparison, rankings=known_order(comparison), purpose="gold", user=admin)
    with pytest.raises(ValidationError, match="Nobody has decided"):
        gold_copy(comparison=comparison, purpose="gold", user=admin)
    Adjudication.objects.create(
        comparison=comparison, reviewer=admin, rankings=known_order(comparison), rationale="Seen twice."
    )
    gold = gold_copy(comparison=comparison, purpose="gold", user=admin)
    assert gold.comparison != comparison and gold.rankings == known_order(comparison)
    assert gold.explanation == "Seen twice."
    assert list(gold.comparison.members.values_list("response", "position")) == list(
        comparison.members.values_list("response", "position")
    )
    again = gold_copy(comparison=comparison, purpose="qualification", user=admin)
    assert again == gold and Comparison.objects.get(pk=gold.comparison_id).purpose == "qualification"
    comparison.refresh_from_db()
    assert comparison.purpose == "work"


def test_another_known_answer_scores_anew(project, annotator, admin):
    project.must_qualify = True
    project.save()
    gold = make_gold(project, "q", purpose="qualification")
    judgement = answer_right(assignment_next(annotator=annotator, project=project))
    assert judgement.gold_score == 1.0
    turned = {key: {pk: 5 - rank for pk, rank in row.items()} for key, row in known_order(gold).items()}
    gold_set(comparison=gold, rankings=turned, purpose="qualification", user=admin)
    judgement.refresh_from_db()
    assert judgement.gold_score == 0.0
    assert AuditEntry.objects.first().action == "gold.changed"


def test_a_wrong_known_answer_changes_nothing(project):
    comparison = make_comparison(project)
    with pytest.raises(ValidationError, match="at least one response before another"):
        gold_set(comparison=comparison, rankings={}, purpose="gold", user=None)
    with pytest.raises(ValidationError, match="Choose hidden gold or qualification"):
        gold_set(comparison=comparison, rankings=known_order(comparison), purpose="work", user=None)
    comparison.refresh_from_db()
    assert comparison.purpose == "work" and not comparison.is_closed and not Gold.objects.exists()


def test_gold_that_nobody_judged_is_work_again(project, annotator, admin):
    gold = make_gold(project, "q")
    gold_remove(comparison=gold, user=admin)
    assert assignment_next(annotator=annotator, project=project).comparison == gold
    with pytest.raises(ValidationError, match="not gold"):
        gold_remove(comparison=gold, user=admin)


def test_a_copy_that_nobody_judged_goes_away(project, annotator, admin):
    comparison = judged(project, annotator)
    copy = gold_copy(comparison=comparison, rankings=known_order(comparison), purpose="gold", user=admin).comparison
    gold_remove(comparison=copy, user=admin)
    assert not Comparison.objects.filter(pk=copy.pk).exists()


def test_gold_that_was_judged_is_retired_and_never_becomes_work(project, annotator, other_annotator, admin):
    project.must_qualify = True
    project.save()
    gold = make_gold(project, "q", purpose="qualification")
    judgement = answer_right(assignment_next(annotator=annotator, project=project))
    held = assignment_next(annotator=other_annotator, project=project)
    gold_remove(comparison=gold, user=admin)
    judgement.refresh_from_db()
    gold.refresh_from_db()
    held.refresh_from_db()
    assert judgement.is_current and judgement.gold_score is None
    assert gold.purpose == "qualification" and gold.is_closed and held.state == "released"
    late = judgement_submit(assignment=held, rankings=in_shown_order(held, 1, 2))
    assert late.is_current and late.gold_score is None, "what was on a screen is kept"
    leases_expire()
    assert not Assignment.objects.filter(slot__isnull=False).exists()


def test_a_copy_that_is_on_a_desk_is_retired_and_takes_the_answer(project, annotator, other_annotator, admin):
    comparison = judged(project, other_annotator)
    copy = gold_copy(comparison=comparison, rankings=known_order(comparison), purpose="gold", user=admin).comparison
    responses = list(copy.members.values_list("response_id", flat=True))
    desk = Assignment.objects.create(
        comparison=copy, annotator=annotator, display_order=responses, draft={"rationale": "so far"}
    )
    gold_remove(comparison=copy, user=admin)
    desk.refresh_from_db()
    assert (desk.state, desk.draft) == ("released", {"rationale": "so far"})
    late = judgement_submit(assignment=desk, rankings=in_shown_order(desk, 1, 2))
    copy.refresh_from_db()
    assert late.is_current and late.gold_score is None and (copy.purpose, copy.is_closed) == ("gold", True)
    assert not Gold.objects.exists()


def test_gold_that_is_gone_is_refused_with_a_sentence(project, annotator, admin):
    comparison = judged(project, annotator)
    copy = gold_copy(comparison=comparison, rankings=known_order(comparison), purpose="gold", user=admin).comparison
    Comparison.objects.filter(pk=copy.pk).delete()
    with pytest.raises(ValidationError, match="not there any more"):
        gold_remove(comparison=copy, user=admin)
    with pytest.raises(ValidationError, match="not there any more"):
        gold_set(comparison=copy, rankings=known_order(comparison), purpose="gold", user=admin)


def test_where_the_best_is_asked_for_the_known_answer_is_the_best(annotator, admin):
    project = make_project(annotator, task="best", must_qualify=True)
    gold = make_gold(project, "q", purpose="qualification")
    full = known_order(gold)
    assert {rank for row in Gold.objects.get().rankings.values() for rank in row.values()} == {1, 2}
    assert suggestion(gold)[0] == Gold.objects.get().rankings
    Gold.objects.update(rankings=full)  # as it was kept before
    assignment = assignment_next(annotator=annotator, project=project)
    best = {key: {pk: min(rank, 2) for pk, rank in row.items()} for key, row in full.items()}
    judgement = judgement_submit(assignment=assignment, rankings=best)
    assert judgement.gold_score == 1.0
    assert Membership.objects.get(user=annotator).qualification == "passed"


# those whom the scores decided ----------------------------------------------------------------------------------------


def turned(comparison) -> dict[str, dict[str, int]]:
    return {key: {pk: 5 - rank for pk, rank in row.items()} for key, row in known_order(comparison).items()}


@pytest.fixture
def failed(annotator, other_annotator):
    """(gold, membership): a person who failed at a known answer, and another whom an admin let fail."""
    project = make_project(annotator, other_annotator, must_qualify=True)
    gold = make_gold(project, "q", purpose="qualification")
    for person in (annotator, other_annotator):
        answer_wrong(assignment_next(annotator=person, project=project))
    by_hand = Membership.objects.get(user=other_annotator)
    membership_qualify(membership=by_hand, passed=False, by=None)
    return gold, Membership.objects.get(user=annotator)


def test_another_known_answer_decides_anew_about_those_whom_the_scores_decided(failed, other_annotator, admin):
    gold, membership = failed
    assert (membership.qualification, membership.qualification_score) == ("failed", 0.0)
    gold_set(comparison=gold, rankings=turned(gold), purpose="qualification", user=admin)
    membership.refresh_from_db()
    assert (membership.qualification, membership.qualification_score) == ("passed", 1.0)
    assert Membership.objects.get(user=other_annotator).qualification == "failed", "an admin's word stays"
    entry = AuditEntry.objects.get(action="membership.requalified")
    assert (entry.actor, entry.details["before"], entry.details["after"]) == (admin, "failed", "passed")


def test_who_failed_at_gold_that_was_removed_is_asked_again(failed, admin):
    gold, membership = failed
    gold_remove(comparison=gold, user=admin)
    membership.refresh_from_db()
    assert (membership.qualification, membership.qualification_score) == ("open", None)
    another = make_gold(gold.project, "another", purpose="qualification")
    assert assignment_next(annotator=membership.user, project=gold.project).comparison == another


def test_gold_that_qualifies_no_more_leaves_the_rest_to_decide(annotator, admin):
    project = make_project(annotator, must_qualify=True)
    for question in ("one", "two"):
        make_gold(project, question, purpose="qualification")
    answer_right(assignment_next(annotator=annotator, project=project))
    wrong = answer_wrong(assignment_next(annotator=annotator, project=project))
    membership = Membership.objects.get(user=annotator)
    assert (membership.qualification, membership.qualification_score) == ("failed", 0.5)
    gold_set(comparison=wrong.comparison, rankings=known_order(wrong.comparison), purpose="gold", user=admin)
    membership.refresh_from_db()
    assert (membership.qualification, membership.qualification_score) == ("passed", 1.0)


def test_the_place_in_the_qualification_leaves_out_what_was_retired(annotator, admin):
    project = make_project(annotator, must_qualify=True)
    for question in ("one", "two", "three"):
        make_gold(project, question, purpose="qualification")
    first = assignment_next(annotator=annotator, project=project)
    answer_right(first)
    gold_remove(comparison=first.comparison, user=admin)
    assert qualification_place(assignment_next(annotator=annotator, project=project)) == (1, 2)
    assert qualification_of(annotator, project).asked == 2
