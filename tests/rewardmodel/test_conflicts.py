"""The conflict queue: which pairs are in it, what can be sent to be judged again, and what becomes of it."""

from __future__ import annotations

import math

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse

from accounts.models import AuditEntry, User
from annotate.models import Comparison, Membership
from annotate.projects.services_comparisons import comparisons_change
from annotate.quality.bootstrap import wilson
from annotate.ranking.engine import assignment_next
from annotate.ranking.models import Assignment, Judgement
from annotate.ranking.services import assignment_skip, judgement_submit
from annotate.review.services import adjudicate
from annotate.review.withdrawals import work_restore, work_withdraw
from rewardmodel.conflicts.measures import expected_information, side_share, tally, verdict
from rewardmodel.conflicts.selectors import Wanted, relabelling_outcome, relabelling_verdicts, relabellings
from rewardmodel.models import Relabelling
from tests.annotate.ranking.desk import make_comparison, make_project
from tests.rewardmodel.disputes import (  # noqa: F401 - fixtures
    asked_next,
    disputed_project,
    evaluated_with,
    found,
    judge,
    judged,
    members,
    reasons,
    send,
)

# which pairs ----------------------------------------------------------------------------------------------------------


def test_what_a_judgement_would_tell_is_as_by_hand():
    # One person prefers i: of the next, r = (1 + 1) / (2 + 1) = 2/3. The model says q = 1/3. Their mean is 1/2: one
    # bit, less H(1/3) = log2(3) - 2/3 = 0.918296.
    assert expected_information(1 / 3, 1, 1) == pytest.approx(1 - (math.log2(3) - 2 / 3))
    assert expected_information(2 / 3, 1, 1) == pytest.approx(0)  # both say the same
    # Nobody asked: r = 1/2. q = 1: H(3/4) - H(1/2)/2 = (2 - 0.75 log2 3) - 0.5.
    assert expected_information(1, 0.3, 0) == pytest.approx(1.5 - 0.75 * math.log2(3))
    # The surer the people too, the more it tells.
    assert expected_information(0.9, 0, 1) < expected_information(0.9, 0, 2) < expected_information(0.9, 0, 9)


def test_sides_and_majorities_are_counted_from_the_models_side():
    assert (side_share(0.9, 0.25), side_share(0.1, 0.25)) == (0.25, 0.75)
    counts = tally([(1, 2), (2, 1), (3, 1), (2, 2), (None, 1), (1, None)])
    assert counts == {"model": 1, "other": 2, "tie": 1}
    assert [
        verdict({"model": m, "other": o, "tie": t}) for m, o, t in ((1, 2, 1), (2, 1, 0), (1, 1, 1), (0, 0, 2))
    ] == [
        "other",
        "model",
        "tie",
        "tie",
    ]
    assert verdict({"model": 0, "other": 0, "tie": 0}) == "open"


def test_the_sure_ones_that_people_contradict_are_found_and_the_most_telling_come_first(
    project, annotator, other_annotator, evaluate
):
    contradicted = judged(project, annotator, "a", 1, 2)  # model: sigma(-2) = 0.119 that the first is better
    more_so = judged(project, annotator, "b", 2, 1)  # sigma(4) = 0.982
    agreed = judged(project, annotator, "c", 1, 2)
    unsure = judged(project, annotator, "d", 1, 2)  # sigma(-1) = 0.269: 0.731 sure
    tied = judged(project, annotator, "e", 1, 1)
    evaluation = evaluate(
        project, {contradicted: (0, 2), more_so: (4, 0), agreed: (3, 0), unsure: (0, 1), tied: (3, 0)}
    )
    rows = found(evaluation)
    # By hand: r = 2/3 or 1/3 of the contradicted, 1/2 of the tied.
    by_hand = {
        more_so.pk: expected_information(1 / (1 + math.exp(-4)), 0, 1),
        contradicted.pk: expected_information(1 / (1 + math.exp(2)), 1, 1),
        tied.pk: expected_information(1 / (1 + math.exp(-3)), 0.5, 1),
    }
    assert [row.comparison for row in rows] == sorted(by_hand, key=lambda pk: -by_hand[pk])
    assert [row.information for row in rows] == pytest.approx(sorted(by_hand.values(), reverse=True))
    first = next(row for row in rows if row.comparison == contradicted.pk)
    assert [first.other_choice, first.model_choice] == members(contradicted)
    assert {row.comparison for row in found(evaluation, Wanted({"helpfulness": 0.7}))} == {*by_hand, unsure.pk}
    assert {row.comparison for row in found(evaluation, Wanted({"helpfulness": 0.8}, 0.0))} == by_hand.keys() - {
        tied.pk
    }
    assert found(evaluation, Wanted({"harmlessness": 0.5})) == []


def test_of_a_comparison_only_the_pair_that_tells_most_is_in_the_queue(project, annotator, evaluate):
    comparison = judged(project, annotator, "a", 1, 2, 3, texts=("one", "two", "three"))
    evaluation = evaluate(project, {comparison: (0, 2, 6)})
    [row] = found(evaluation)
    assert [row.first, row.second] == [members(comparison)[0], members(comparison)[2]]


def test_certainty_is_asked_for_each_dimension(project, annotator, evaluate, as_admin):
    comparison = judged(project, annotator, "a", 1, 2)
    evaluation = evaluate(project, {comparison: (0, 2)})  # 88 % sure
    address = reverse("rewardmodel:conflicts", args=[evaluation.pk])
    assert "1 comparison with" in as_admin.get(address, {"sure_0": "88", "agreeing": "50"}).content.decode()
    assert "0 comparisons with" in as_admin.get(address, {"sure_0": "89", "agreeing": "50"}).content.decode()
    assert "0 comparisons with" in as_admin.get(address, {"sure_0": "", "agreeing": "50"}).content.decode()
    assert as_admin.get(address, {"sure_0": "1000"}).status_code == 422


def test_pairs_of_comparisons_that_are_not_here_are_no_part_of_the_queue(project, annotator, evaluate):
    from rewardmodel.training.evaluation import write_items

    def elsewhere(folder, pairs, second):
        from dataclasses import replace

        named = [replace(pair, comparison=replace(pair.comparison, id="line 12")) for pair in pairs]
        write_items(folder, named, second)

    comparison = judged(project, annotator, "a", 1, 2)
    assert found(evaluate(project, {comparison: (0, 2)}, write=elsewhere)) == []


# sending --------------------------------------------------------------------------------------------------------------


def test_what_is_sent_opens_for_others_first_and_never_for_who_has_judged_it(
    project, annotator, other_annotator, evaluate, admin
):
    comparison = judged(project, annotator, "a", 1, 2)
    waiting = make_comparison(project, "ordinary work", ["x", "y"])
    evaluation = evaluate(project, {comparison: (0, 2)})
    assert (send(evaluation, admin).count, str(send(evaluation, admin))) == (
        1,
        "Sent to be judged again: 0. Not sent: 1 sent from this evaluation before.",
    )
    comparison.refresh_from_db()
    assert (comparison.is_closed, comparison.overlap, comparison.priority) == (False, 2, 10)
    assert asked_next(annotator, project) == waiting.pk
    assert asked_next(other_annotator, project) == comparison.pk
    row = Relabelling.objects.get()
    assert (row.dimension, row.before, row.share_before) == ("helpfulness", {"model": 0, "other": 1, "tie": 0}, 0)
    assert (row.annotators_before, row.extra, row.sent_by) == ([annotator.pk], 1, admin)
    assert [row.other_choice_id, row.model_choice_id] == members(comparison)
    assert row.probability == pytest.approx(1 / (1 + math.exp(-2)))
    judge(other_annotator, comparison, 2, 1)
    comparison.refresh_from_db()
    assert comparison.is_closed and comparison.judgements.count() == 2
    assert asked_next(annotator, project) == waiting.pk


def test_the_first_so_many_are_sent_and_the_audit_trail_says_who_did(project, annotator, evaluate, admin):
    comparisons = [judged(project, annotator, str(number), 1, 2) for number in range(3)]
    evaluation = evaluate(project, {each: (0, 2 + number) for number, each in enumerate(comparisons)})
    assert send(evaluation, admin, count=2).count == 2
    assert set(Relabelling.objects.values_list("comparison", flat=True)) == {comparisons[1].pk, comparisons[2].pk}
    entry = AuditEntry.objects.get(action="conflicts.sent")
    assert (entry.actor, entry.details["comparisons"], entry.details["extra"]) == (admin, 2, 1)
    assert AuditEntry.objects.filter(action="comparisons.changed").count() == 2  # overlap, and priority
    assert send(evaluation, admin).count == 1


def test_what_cannot_be_sent_is_said_with_its_reason(project, annotator, other_annotator, evaluate, admin):
    names = ("waiting", "decided", "short", "changed", "gone", "full", "nobody", "withdrawn")
    rows = {name: judged(project, annotator, name, 1, 2) for name in names}
    evaluation = evaluate(project, dict.fromkeys(rows.values(), (0, 2)))
    pick = {name: Comparison.objects.filter(pk=row.pk) for name, row in rows.items()}

    def change(name, action, value=None):
        comparisons_change(project=project, comparisons=pick[name], action=action, value=value, by=None, asked={})

    change("waiting", "overlap", 2)
    row = {str(pk): rank for rank, pk in enumerate(members(rows["decided"]), start=1)}
    Membership.objects.filter(user=other_annotator).update(role="reviewer")
    adjudicate(comparison=rows["decided"], reviewer=other_annotator, rankings={"helpfulness": row, "harmlessness": row})
    change("short", "overlap", 2)
    change("short", "close")
    change("changed", "overlap", 2)
    judge(other_annotator, rows["changed"], 2, 1)
    change("changed", "overlap", 3)
    Membership.objects.create(project=project, user=admin)
    judge(admin, rows["changed"], 2, 1)
    rows["gone"].members.filter(response=members(rows["gone"])[0]).delete()
    pick["full"].update(overlap=50)
    for number in range(49):
        copy = Judgement.objects.filter(comparison=rows["full"]).earliest("pk")
        copy.pk, copy.assignment, copy.source = None, None, "import"
        copy.annotator = User.objects.create_user(f"import-{number}", password=None)
        copy.save()
    for person in (other_annotator, admin):
        change("nobody", "overlap", 2)
        pick["nobody"].update(priority=900)
        assignment_skip(assignment=assignment_next(annotator=person, project=project), reason="expertise")
    change("nobody", "overlap", 1)
    Judgement.objects.filter(comparison=rows["withdrawn"]).update(is_current=False)
    Relabelling.objects.all().delete()
    by_name = dict(zip((row.comparison for row in found(evaluation)), reasons(evaluation), strict=True))
    assert {name: by_name[row.pk] for name, row in rows.items()} == {
        **{name: name for name in names},
        "withdrawn": "short",
    }
    sent = send(evaluation)
    assert sent.count == 0 and not Relabelling.objects.exists()
    assert "1 decided by a reviewer" in str(sent) and "2 closed by hand" in str(sent)
    assert not AuditEntry.objects.filter(action="conflicts.sent").exists()


def test_gold_and_comparisons_of_other_projects_are_not_sent(project, annotator, outsider, evaluate):
    made_gold = judged(project, annotator, "a", 1, 2)
    elsewhere = judged(make_project(outsider, name="Other", slug="other", overlap=1, k=2), outsider, "b", 1, 2)
    evaluation = evaluate(project, {made_gold: (0, 2), elsewhere: (0, 2)})
    Comparison.objects.filter(pk=made_gold.pk).update(purpose="gold")
    assert sorted(reasons(evaluation)) == ["gold", "gone"]
    assert send(evaluation).count == 0


def test_imported_judgements_take_places_and_the_new_ones_come_on_top(project, annotator, other_annotator, evaluate):
    comparison = make_comparison(project, "a", ["one", "two"], is_closed=True)
    row = {str(pk): rank for rank, pk in enumerate(members(comparison), start=1)}
    Judgement.objects.create(
        comparison=comparison,
        annotator=User.objects.create_user("import-1"),
        rankings={"helpfulness": row},
        source="import",
        display_order=[],
    )
    evaluation = evaluate(project, {comparison: (0, 2)})
    assert send(evaluation).count == 1
    comparison.refresh_from_db()
    assert (comparison.is_closed, comparison.overlap) == (False, 2)
    judge(other_annotator, comparison, 2, 1)
    comparison.refresh_from_db()
    assert comparison.is_closed


def test_a_late_judgement_does_not_take_the_place_that_was_asked_for(
    project, annotator, other_annotator, outsider, evaluate
):
    Membership.objects.create(project=project, user=outsider)
    comparison = make_comparison(project, "a", ["one", "two"], overlap=2)
    held = assignment_next(annotator=other_annotator, project=project)
    judge(annotator, comparison, 1, 2)
    Comparison.objects.filter(pk=comparison.pk).update(overlap=1)
    Assignment.objects.filter(pk=held.pk).update(state="released", slot=None)
    Comparison.objects.filter(pk=comparison.pk).update(is_closed=True)
    row = {str(pk): rank for rank, pk in enumerate(members(comparison), start=1)}
    judgement_submit(assignment=held, rankings={"helpfulness": row, "harmlessness": row})
    assert Assignment.objects.get(pk=held.pk).slot is None
    evaluation = evaluate(project, {comparison: (0, 2)})
    assert send(evaluation).count == 1
    comparison.refresh_from_db()
    assert (comparison.overlap, comparison.is_closed) == (3, False)
    assert Relabelling.objects.get().annotators_before == sorted([annotator.pk, other_annotator.pk])
    judge(outsider, comparison, 2, 1)


@pytest.mark.parametrize(
    ("numbers", "field"), [({"count": 0}, "count"), ({"count": 1001}, "count"), ({"extra": 11}, "extra")]
)
def test_numbers_without_sense_are_refused_by_field(project, annotator, evaluate, numbers, field):
    evaluation = evaluate(project, {judged(project, annotator, "a", 1, 2): (0, 2)})
    with pytest.raises(ValidationError) as error:
        send(evaluation, **numbers)
    assert field in error.value.message_dict and not Relabelling.objects.exists()


def test_what_was_withdrawn_since_is_counted_anew_and_the_page_says_stale(
    project, annotator, other_annotator, outsider, evaluate, admin, as_admin
):
    Membership.objects.create(project=project, user=outsider)
    comparison = make_comparison(project, "a", ["one", "two"], overlap=2)
    judge(annotator, comparison, 1, 2)
    judge(other_annotator, comparison, 1, 2)
    evaluation = evaluate(project, {comparison: (0, 2)})
    assert reasons(evaluation) == [""]
    work_withdraw(project=project, annotator=annotator, by=admin, reason="careless")
    assert reasons(evaluation) == ["waiting"]
    evaluation.dataset_version.refresh_from_db()
    page = as_admin.get(reverse("rewardmodel:conflicts", args=[evaluation.pk])).content.decode()
    assert "Stale." in page and "waiting for judgements already" in page


def test_judgements_that_are_restored_later_are_not_taken_for_new_ones(
    project, annotator, other_annotator, outsider, evaluate, admin
):
    Membership.objects.create(project=project, user=outsider)
    comparison = judged(project, annotator, "a", 1, 2)
    comparisons_change(
        project=project, comparisons=Comparison.objects.all(), action="overlap", value=2, by=None, asked={}
    )
    judge(other_annotator, comparison, 2, 1)
    withdrawal = work_withdraw(project=project, annotator=other_annotator, by=admin, reason="a doubt")
    comparisons_change(
        project=project, comparisons=Comparison.objects.all(), action="overlap", value=1, by=None, asked={}
    )
    evaluation = evaluate(project, {comparison: (0, 2)})
    assert send(evaluation).count == 1
    work_restore(withdrawal=withdrawal, by=admin)
    sent = relabellings(evaluation)
    assert relabelling_verdicts(sent) == [{"model": 0, "other": 0, "tie": 0}]


def test_a_question_of_another_name_is_asked_under_its_own_name(project, annotator, other_annotator, evaluate):
    comparison = judged(project, annotator, "a", 1, 2)
    evaluation = evaluate(project, {comparison: (0, 2)}, question="harmlessness")
    assert send(evaluation).count == 1
    assert Relabelling.objects.get().dimension == "harmlessness"
    judge(other_annotator, comparison, 2, 1)
    assert relabelling_verdicts(relabellings(evaluation)) == [{"model": 1, "other": 0, "tie": 0}]


# what became of them --------------------------------------------------------------------------------------------------


def test_the_outcome_counts_who_was_right_by_new_people_only_with_an_interval(
    project, annotator, other_annotator, evaluate
):
    against = [judged(project, annotator, f"against {number}", 1, 2) for number in range(4)]
    tied = judged(project, annotator, "tied", 1, 1)
    evaluation = evaluate(project, dict.fromkeys([*against, tied], (0, 2)))
    assert send(evaluation).count == 5
    for comparison, ranks in zip([*against[:3], tied], [(2, 1), (2, 1), (1, 2), (2, 1)], strict=True):
        judge(other_annotator, comparison, *ranks)
    # The first person changes their mind: that is no new judgement.
    row = {str(pk): rank for pk, rank in zip(members(against[3]), (2, 1), strict=True)}
    mine = Assignment.objects.get(comparison=against[3], annotator=annotator)
    judgement_submit(assignment=mine, rankings={"helpfulness": row, "harmlessness": row})
    sent = relabellings(evaluation)
    other, split, whole = relabelling_outcome(sent, relabelling_verdicts(sent))
    assert (other.before, other.sent, other.counts) == (
        "preferred the other",
        4,
        {"model": 2, "other": 1, "tie": 0, "open": 1},
    )
    assert (other.model.value, other.model.n) == (pytest.approx(2 / 3), 3)
    assert (other.model.low, other.model.high) == pytest.approx(wilson(2, 3))
    assert (split.before, split.counts["model"]) == ("were divided", 1)
    assert (whole.before, whole.model.value) == ("all", 0.75)
    assert whole.sure == pytest.approx(1 / (1 + math.exp(-2)))


def test_an_outcome_of_nothing_is_nothing():
    assert relabelling_outcome([], []) == []
