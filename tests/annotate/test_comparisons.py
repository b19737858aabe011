"""The list of comparisons: pages that meet, and changes to many at once that leave every place right."""

from __future__ import annotations

import threading

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import AuditEntry, User
from annotate.projects.selectors_comparisons import Wanted, comparisons_matching, comparisons_page, project_rounds
from annotate.projects.services import membership_add, project_create
from annotate.projects.services_comparisons import comparisons_change
from annotate.ranking.engine import assignment_next
from annotate.ranking.models import Assignment, Comparison, Judgement
from annotate.ranking.services import judgement_submit
from annotate.review.services import adjudicate
from tests.annotate.ranking.desk import in_shown_order, make_project
from tests.annotate.ranking.desk import make_comparison as desk_comparison
from tests.annotate.ranking.test_concurrency import assert_slots_are_right, hammer, people

State = Assignment.State


@pytest.fixture
def path(project) -> str:
    return reverse("annotate:comparison-list", args=[project.slug])


@pytest.fixture
def act(project) -> str:
    return reverse("annotate:comparisons-act", args=[project.slug])


def change(project, action: str, value: object = None, **filters: object):
    rows = Comparison.objects.filter(project=project, **filters)
    return comparisons_change(project=project, comparisons=rows, action=action, value=value, by=None, asked={})


def submit(assignment: Assignment, *ranks: int) -> Judgement:
    row = {str(pk): rank for pk, rank in zip(assignment.display_order, ranks, strict=True)}
    return judgement_submit(assignment=assignment, rankings={"helpfulness": row, "harmlessness": row})


# who ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["as_annotator", "as_other_annotator", "as_outsider", "as_nobody"])
def test_only_admins_see_and_change_comparisons(who, request, path, act, project, make_comparison):
    comparison = make_comparison(project, "Why?", ["a", "b"])
    client = request.getfixturevalue(who)
    status = 302 if who == "as_nobody" else 403
    assert client.get(path).status_code == status
    data = {"pick": comparison.pk, "action": "priority", "value": "5", "scope": "picked"}
    assert client.post(act, data).status_code == status
    comparison.refresh_from_db()
    assert comparison.priority == 0


# the list -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["", "open", "contested"])
def test_pages_meet_without_gap_or_repetition_in_every_order(state, project, make_comparison):
    for number in range(7):
        contested = {"disagreement": [0.5, 0.75][number % 2], "is_closed": True} if state == "contested" else {}
        make_comparison(project, f"Q{number}", ["a", "b"], priority=[3, -1, 0][number % 3], **contested)
    wanted = Wanted(state)
    rows = {"": ["pk"], "open": ["-priority", "pk"], "contested": ["-disagreement", "pk"]}[state]
    expected = list(comparisons_matching(project, wanted).order_by(*rows).values_list("pk", flat=True))
    seen, pages, after = [], [], ""
    while True:
        page = comparisons_page(project, wanted, after=after, size=3)
        pages.append([line.comparison.pk for line in page.lines])
        seen += pages[-1]
        if page.newer is None:
            break
        after = page.newer
    assert seen == expected and [len(one) for one in pages] == [3, 3, 1]
    back = comparisons_page(project, wanted, before=page.older, size=3)
    assert [line.comparison.pk for line in back.lines] == pages[1]
    first = comparisons_page(project, wanted, before=back.older, size=3)
    assert [line.comparison.pk for line in first.lines] == pages[0] and first.older is None


def test_comparisons_are_found_by_state_round_and_tag(as_admin, path, project, make_comparison):
    tagged = make_comparison(project, "Tagged?", ["a", "b"], round=2)
    tagged.prompt.tags = ["rain"]
    tagged.prompt.save()
    make_comparison(project, "Done?", ["a", "b"], is_closed=True)
    make_comparison(project, "Known?", ["a", "b"], is_closed=True, purpose="gold")
    for query, questions in [
        ("?tag=rain", ["Tagged?"]),
        ("?round=2", ["Tagged?"]),
        ("?state=open", ["Tagged?"]),
        ("?state=closed", ["Done?"]),
        ("?state=gold", ["Known?"]),
        ("?state=contested", []),
    ]:
        html = as_admin.get(path + query).content.decode()
        assert [q for q in ("Tagged?", "Done?", "Known?") if q in html] == questions, query
    assert project_rounds(project) == [1, 2]


def test_hostile_parameters_find_nothing_and_break_nothing(as_admin, path, project, make_comparison):
    make_comparison(project, "Why?", ["a", "b"])
    for query in (
        "?after=x", "?after=nan:1&state=open", "?after=inf:1&state=open", "?before=1e400:1&state=contested",
        "?round=999999", "?round=-1", "?tag=%00", "?state=DROP", f"?after={'9' * 30}", "?after=1:2:3&state=open",
    ):  # fmt: skip
        assert as_admin.get(path + query).status_code == 200, query


def test_the_list_asks_as_much_for_many_rows_as_for_few(as_admin, path, project, make_comparison):
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert as_admin.get(path).status_code == 200
        return len(captured)

    make_comparison(project, "One?", ["a", "b"])
    before = queries()
    for number in range(9):
        make_comparison(project, f"Q{number}", ["a", "b"], is_closed=number % 2 == 0)
    assert queries() == before


def test_hostile_prompts_are_shown_as_text(as_admin, path, project, make_comparison):
    make_comparison(project, "<script>alert(1)</script>", ["a", "b"])
    assert b"<script>alert" not in as_admin.get(path).content


# many at once -------------------------------------------------------------------------------------------------------


def test_checked_comparisons_are_changed_and_it_is_said_how_many(as_admin, act, project, make_comparison):
    one, two, _ = (make_comparison(project, f"Q{n}", ["a", "b"]) for n in range(3))
    page = as_admin.post(
        act, {"pick": [one.pk, two.pk], "scope": "picked", "action": "priority", "value": "7"}, follow=True
    )
    assert "2 of 2 comparisons changed." in page.content.decode()
    assert list(Comparison.objects.order_by("pk").values_list("priority", flat=True)) == [7, 7, 0]
    entry = AuditEntry.objects.get(action="comparisons.changed")
    assert entry.scope == f"project:{project.pk}"
    assert entry.details == {
        "set": "priority", "value": 7, "comparisons": [one.pk, two.pk], "count": 2, "closed": 0, "opened": 0
    }  # fmt: skip


def test_many_are_asked_about_once(as_admin, act, project, make_comparison, monkeypatch):
    monkeypatch.setattr("annotate.projects.views_comparisons.MANY", 2)
    for number in range(3):
        make_comparison(project, f"Q{number}", ["a", "b"], round=1 + number // 2)
    data = {"scope": "all", "action": "round", "value": "4"}
    page = as_admin.post(act, data)
    assert "Set round to 4 for 3 comparisons?" in page.content.decode()
    assert not Comparison.objects.filter(round=4).exists()
    as_admin.post(act, data | {"sure": "1"})
    assert Comparison.objects.filter(round=4).count() == 3


def test_all_that_match_are_those_of_the_filter_and_of_the_project(as_admin, admin, act, project, make_comparison):
    make_comparison(project, "Mine?", ["a", "b"], round=2)
    make_comparison(project, "Other round?", ["a", "b"])
    elsewhere = make_comparison(project_create(name="Other", user=admin), "Theirs?", ["a", "b"], round=2)
    as_admin.post(act, {"scope": "all", "round": "2", "action": "priority", "value": "9"})
    assert [c.prompt.question for c in Comparison.objects.filter(priority=9)] == ["Mine?"]
    as_admin.post(act, {"scope": "picked", "pick": elsewhere.pk, "action": "priority", "value": "9"})
    elsewhere.refresh_from_db()
    assert elsewhere.priority == 0


@pytest.mark.parametrize(
    ("action", "value"),
    [("overlap", "0"), ("overlap", "51"), ("priority", "x"), ("priority", ""), ("round", "99999"), ("delete", "")],
)
def test_a_value_that_makes_no_sense_is_a_sentence_and_changes_nothing(
    as_admin, act, project, make_comparison, action, value
):
    make_comparison(project, "Why?", ["a", "b"])
    before = list(Comparison.objects.values())
    page = as_admin.post(act, {"scope": "all", "action": action, "value": value}, follow=True)
    assert "notice error" in page.content.decode()
    assert list(Comparison.objects.values()) == before and not AuditEntry.objects.filter(subject=project.name).filter(
        action__startswith="comparisons"
    )


def test_more_overlap_opens_what_was_finished_and_less_closes_it_again(
    project, make_comparison, annotator, other_annotator, admin
):
    membership_add(project=project, user=other_annotator, by=admin)
    comparison = make_comparison(project, "Why?", ["a", "b"], overlap=1)
    submit(assignment_next(annotator=annotator, project=project), 1, 2)
    comparison.refresh_from_db()
    assert comparison.is_closed
    assert change(project, "overlap", 2).opened == 1
    comparison.refresh_from_db()
    assert not comparison.is_closed
    submit(assignment_next(annotator=other_annotator, project=project), 2, 1)
    comparison.refresh_from_db()
    assert comparison.is_closed and comparison.disagreement is not None
    changed = change(project, "overlap", 3)
    assert (changed.count, changed.opened) == (1, 1)
    changed = change(project, "overlap", 2)
    comparison.refresh_from_db()
    assert (changed.closed, comparison.is_closed) == (1, True) and comparison.disagreement is not None


def test_a_lease_without_a_place_is_given_back_and_what_comes_of_it_is_kept(
    project, make_comparison, annotator, other_annotator, admin
):
    membership_add(project=project, user=other_annotator, by=admin)
    comparison = make_comparison(project, "Why?", ["a", "b"], overlap=2)
    first = assignment_next(annotator=annotator, project=project)
    second = assignment_next(annotator=other_annotator, project=project)
    submit(second, 1, 2)
    assert change(project, "overlap", 1).closed == 1
    first.refresh_from_db()
    assert (first.state, first.slot) == (State.RELEASED, None)
    submit(first, 2, 1)
    first.refresh_from_db()
    assert first.slot is None and Judgement.objects.filter(comparison=comparison, is_current=True).count() == 2
    # More room: the extra one takes it, and nobody else is asked.
    changed = change(project, "overlap", 2)
    first.refresh_from_db()
    comparison.refresh_from_db()
    assert first.slot is not None and comparison.is_closed and changed.count == 1


def test_places_stay_below_the_overlap_so_that_it_is_never_exceeded(project, make_comparison, admin):
    comparison = make_comparison(project, "Why?", ["a", "b"], overlap=3)
    people = [User.objects.create_user(f"u{n}") for n in range(5)]
    for user in people:
        membership_add(project=project, user=user, by=admin)
    leases = [assignment_next(annotator=user, project=project) for user in people[:3]]
    submit(leases[2], 1, 2)  # sits on the last place
    change(project, "overlap", 2)
    taken = Assignment.objects.filter(comparison=comparison, slot__isnull=False)
    assert sorted(taken.values_list("slot", flat=True)) == [0, 1]
    assert assignment_next(annotator=people[3], project=project) is None
    for lease in leases[:2]:
        lease.refresh_from_db()
        submit(lease, 1, 2)
    assert taken.count() == 2
    assert Judgement.objects.filter(comparison=comparison, is_current=True).count() == 3  # one of them an extra


def test_what_was_closed_by_hand_stays_closed_until_it_is_opened_by_hand(project, make_comparison, annotator):
    comparison = make_comparison(project, "Why?", ["a", "b"], overlap=1)
    lease = assignment_next(annotator=annotator, project=project)
    assert change(project, "close").closed == 1
    lease.refresh_from_db()
    assert lease.state == State.RELEASED
    change(project, "overlap", 3)
    comparison.refresh_from_db()
    assert comparison.is_closed and assignment_next(annotator=annotator, project=project) is None
    assert change(project, "reopen").opened == 1
    assert assignment_next(annotator=annotator, project=project).comparison == comparison


def test_what_came_while_one_was_closed_takes_a_place_once_it_is_opened(project, make_comparison, annotator):
    comparison = make_comparison(project, "Why?", ["a", "b"], overlap=1)
    lease = assignment_next(annotator=annotator, project=project)
    change(project, "close")
    submit(lease, 1, 2)
    lease.refresh_from_db()
    assert lease.slot is None
    changed = change(project, "reopen")
    lease.refresh_from_db()
    comparison.refresh_from_db()
    assert (lease.slot, comparison.is_closed, changed.opened) == (0, True, 0)


def test_what_a_reviewer_decided_is_opened_by_nothing(project, make_comparison, annotator, admin):
    comparison = make_comparison(project, "Why?", ["a", "b"], overlap=1)
    judgement = submit(assignment_next(annotator=annotator, project=project), 1, 2)
    adjudicate(comparison=comparison, reviewer=admin, rankings=judgement.rankings)
    assert change(project, "overlap", 3).opened == 0
    assert change(project, "reopen").opened == 0
    comparison.refresh_from_db()
    assert (comparison.overlap, comparison.is_closed) == (3, True)


def test_leases_beside_an_imported_judgement_find_a_place_within_what_it_leaves(
    project, make_comparison, judge, annotator, admin
):
    comparison = make_comparison(project, "Why?", ["a", "b"], overlap=3)
    judge(comparison, User.objects.create_user("author", kind="import"), source="import", helpfulness=[1, 2])
    people = [annotator, User.objects.create_user("second")]
    membership_add(project=project, user=people[1], by=admin)
    leases = [assignment_next(annotator=user, project=project) for user in people]
    assert [lease.slot for lease in leases] == [0, 1]
    submit(leases[1], 1, 2)
    change(project, "overlap", 2)
    comparison.refresh_from_db()
    leases[0].refresh_from_db()
    assert (comparison.is_closed, leases[0].state) == (True, State.RELEASED)
    submit(leases[0], 1, 2)
    leases[0].refresh_from_db()
    assert leases[0].slot is None


def test_all_bad_against_a_ranking_is_a_disagreement_however_a_comparison_is_closed(
    project, make_comparison, judge, annotator, other_annotator
):
    comparison = make_comparison(project, "Why?", ["a", "b"], overlap=3)
    judge(comparison, annotator, helpfulness=[1, 2])
    bad = judge(comparison, other_annotator)
    bad.all_bad = ["helpfulness"]
    bad.save()
    change(project, "close")
    comparison.refresh_from_db()
    assert comparison.disagreement == 1.0


def test_what_is_full_is_not_opened_and_gold_is_left_alone(project, make_comparison, annotator):
    full = make_comparison(project, "Full?", ["a", "b"], overlap=1)
    submit(assignment_next(annotator=annotator, project=project), 1, 2)
    gold = make_comparison(project, "Gold?", ["a", "b"], is_closed=True, purpose="gold", overlap=1)
    assert change(project, "reopen").count == 0
    assert change(project, "overlap", 1).count == 0
    change(project, "overlap", 4)
    for row in (full, gold):
        row.refresh_from_db()
    assert (full.overlap, full.is_closed, gold.overlap, gold.is_closed) == (4, False, 1, True)


def test_imported_judgements_count_as_they_do_for_closing(project, make_comparison, judge, annotator):
    imported = make_comparison(project, "Why?", ["a", "b"], overlap=1, is_closed=True, round=0)
    judge(imported, annotator, source="import", helpfulness=[1, 2])
    change(project, "overlap", 1)
    change(project, "reopen")
    imported.refresh_from_db()
    assert imported.is_closed


def test_batches_go_through_all_and_stop_when_time_is_up(project, make_comparison, monkeypatch):
    monkeypatch.setattr("annotate.projects.services_comparisons.BATCH", 2)
    for number in range(5):
        make_comparison(project, f"Q{number}", ["a", "b"])
    rows = Comparison.objects.filter(project=project)
    asked = {"project": project, "comparisons": rows, "action": "priority", "value": 3, "by": None, "asked": {}}
    some = comparisons_change(**asked, patience=0)
    assert (some.count, some.complete) == (2, False)
    rest = comparisons_change(**asked)
    assert (rest.count, rest.complete) == (3, True)
    assert not rows.exclude(priority=3).exists()


def test_an_unknown_action_is_refused(project, make_comparison):
    with pytest.raises(ValidationError):
        change(project, "explode")


# while people work ----------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_places_are_right_when_overlap_changes_under_the_hands_of_annotators():
    """Nothing that was acknowledged is lost, and no place is taken twice or lies beyond the overlap."""
    users = people(6)
    project = make_project(*users, overlap=3)
    for number in range(12):
        desk_comparison(project, f"question {number}")
    done = threading.Event()

    def annotate(user: User) -> list[int]:
        acknowledged = []
        while True:
            finished = done.is_set()  # asked before looking, so that the last change is seen
            assignment = assignment_next(annotator=user, project=project)
            if assignment is not None:
                rankings = in_shown_order(assignment, 1, 2)
                acknowledged.append(judgement_submit(assignment=assignment, rankings=rankings).pk)
            elif finished:
                return acknowledged

    def govern(_: None) -> list[int]:
        try:
            for overlap in (1, 3, 2, 1, 3):
                change(project, "overlap", overlap)
            change(project, "close")
            change(project, "reopen")
        finally:
            done.set()
        return []

    jobs = [lambda user=user: annotate(user) for user in users] + [lambda: govern(None)]
    acknowledged = [pk for pks in hammer(lambda job: job(), jobs) for pk in pks]
    assert set(acknowledged) == set(Judgement.objects.filter(is_current=True).values_list("pk", flat=True))
    assert not Comparison.objects.filter(is_closed=False).exists()
    assert_slots_are_right(project)
