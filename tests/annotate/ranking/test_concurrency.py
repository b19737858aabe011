"""Many annotators at once on a real PostgreSQL; what counts is what is in the database afterwards."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from accounts.models import User
from annotate.ranking.engine import assignment_ahead, assignment_next
from annotate.ranking.models import Assignment, Comparison, Judgement
from annotate.ranking.places import leases_expire
from annotate.ranking.services import assignment_skip, draft_save, judgement_submit
from tests.annotate.ranking.desk import in_shown_order, make_comparison, make_project

State = Assignment.State
THREADS, OVERLAP, COMPARISONS = 16, 3, 25


def people(count: int) -> list[User]:
    return [User.objects.create_user(f"person-{number}") for number in range(count)]


def hammer(work, arguments: list) -> list:
    def one(argument):
        try:
            return work(argument)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(arguments)) as pool:
        return list(pool.map(one, arguments))


def assert_slots_are_right(project) -> None:
    for comparison in Comparison.objects.filter(project=project).prefetch_related("assignments"):
        seated = [a for a in comparison.assignments.all() if a.slot is not None]
        assert len({a.slot for a in seated}) == len(seated) <= comparison.overlap
        assert all(a.slot < comparison.overlap for a in seated)
        submitted = [a for a in seated if a.state == State.SUBMITTED]
        assert comparison.is_closed is (len(submitted) == comparison.overlap)


@pytest.mark.django_db(transaction=True)
def test_sixteen_annotators_fill_every_place_exactly_once():
    users = people(THREADS)
    project = make_project(*users, overlap=OVERLAP)
    for number in range(COMPARISONS):
        make_comparison(project, f"question {number}", priority=number % 3)

    def work(user: User) -> list[int]:
        acknowledged = []
        while assignment := assignment_next(annotator=user, project=project):
            assignment_ahead(assignment=assignment)
            draft_save(assignment=assignment, draft={"rationale": "so far"})
            judgement = judgement_submit(assignment=assignment, rankings=in_shown_order(assignment, 1, 2))
            assert judgement_submit(assignment=assignment, rankings=in_shown_order(assignment, 1, 2)) == judgement
            acknowledged.append(judgement.pk)
        return acknowledged

    acknowledged = [pk for pks in hammer(work, users) for pk in pks]

    assert len(acknowledged) == len(set(acknowledged)) == COMPARISONS * OVERLAP
    assert set(acknowledged) == set(Judgement.objects.filter(is_current=True).values_list("pk", flat=True))
    assert not Comparison.objects.filter(is_closed=False).exists()
    assert set(Counter(Judgement.objects.values_list("comparison", flat=True)).values()) == {OVERLAP}
    assert_slots_are_right(project)


@pytest.mark.django_db(transaction=True)
def test_two_tabs_of_one_person_skips_and_lapsing_leases_lose_nothing():
    users = people(THREADS // 2)
    project = make_project(*users, overlap=2)
    for number in range(12):
        make_comparison(project, f"question {number}")

    def work(tab: tuple[User, int]) -> list[int]:
        user, seed = tab
        dice, acknowledged = random.Random(seed), []
        while assignment := assignment_next(annotator=user, project=project):
            fate = dice.random()
            if fate < 0.1:
                assignment_skip(assignment=assignment, reason="expertise")
            elif fate < 0.25:  # the lease lapses while the page is open
                Assignment.objects.filter(pk=assignment.pk, state=State.ACTIVE).update(
                    lease_expires_at="2020-01-01T00:00:00Z"
                )
                leases_expire()
            if fate >= 0.1:
                ranks = dice.choice([(1, 2), (2, 1), (1, 1)])
                judgement = judgement_submit(assignment=assignment, rankings=in_shown_order(assignment, *ranks))
                acknowledged.append(judgement.pk)
        return acknowledged

    acknowledged = hammer(work, [(user, seed) for seed, user in enumerate(users * 2)])

    kept = set(Judgement.objects.values_list("pk", flat=True))
    assert {pk for pks in acknowledged for pk in pks} == kept
    current = Judgement.objects.filter(is_current=True).values_list("comparison", "annotator")
    assert max(Counter(current).values()) == 1
    assert_slots_are_right(project)
    assert (
        not Assignment.objects.filter(state=State.SUBMITTED)
        .exclude(pk__in=Judgement.objects.filter(is_current=True).values("assignment"))
        .exists()
    ), "a submitted assignment has a judgement that counts"
