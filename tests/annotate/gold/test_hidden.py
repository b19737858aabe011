"""Hidden gold: mixed into the work so that nobody can tell."""

from __future__ import annotations

import json
import re

import pytest
from django.core.exceptions import ValidationError

from accounts.models import User
from annotate.gold.selectors import feedback_for, gold_due, gold_expected
from annotate.gold.services import gold_copy
from annotate.ranking.engine import assignment_ahead, assignment_next
from annotate.ranking.letters import to_letters
from annotate.ranking.models import Assignment, Judgement
from annotate.ranking.selectors import queues
from annotate.ranking.services import assignment_skip, judgement_undo, outcome_of
from tests.annotate.gold.stage import answer_right, answer_wrong, known_order, make_gold
from tests.annotate.ranking.desk import make_comparison, make_project, make_prompt
from tests.annotate.ranking.test_concurrency import hammer


def fill(project, *, work: int, gold: int) -> None:
    for number in range(work):
        make_comparison(project, f"work {number}")
    for number in range(gold):
        make_gold(project, f"gold {number}")


def go_through(annotator, project) -> list[str]:
    """Judge all that is handed out; what it was, in turn."""
    purposes = []
    while assignment := assignment_next(annotator=annotator, project=project):
        purposes.append(assignment.comparison.purpose)
        answer_right(assignment)
    return purposes


def test_gold_comes_at_its_rate_at_places_that_differ_from_person_to_person():
    rate = 0.2
    places = [{n for n in range(1, 2001) if gold_due(person, n, rate)} for person in (1, 2)]
    assert all(330 < len(one) < 470 for one in places)
    assert len(places[0] & places[1]) < 140
    assert places[0] == {n for n in range(1, 2001) if gold_due(1, n, rate)}
    assert not any(gold_due(1, n, 0.0) for n in range(100))


def test_it_is_mixed_in_never_twice_and_work_alone_decides_when_all_is_done(annotator, other_annotator):
    project = make_project(annotator, other_annotator, overlap=2, gold_rate=0.3)
    fill(project, work=30, gold=6)
    for person in (annotator, other_annotator):
        purposes = go_through(person, project)
        assert purposes.count("work") == 30
        assert 2 <= purposes.count("gold") <= 6
        assert purposes[-1] == "work", "gold after the last work would be seen as what it is"
    assert Assignment.objects.filter(comparison__purpose="gold", slot__isnull=False).count() == 0
    assert set(Judgement.objects.filter(comparison__purpose="gold").values_list("gold_score", flat=True)) == {1.0}
    assert not Judgement.objects.filter(comparison__purpose="work", gold_score__isnull=False).exists()


def test_without_a_rate_there_is_none(annotator):
    project = make_project(annotator)
    fill(project, work=5, gold=5)
    assert go_through(annotator, project) == ["work"] * 5


def test_what_is_left_counts_down_by_one_whatever_comes(annotator):
    project = make_project(annotator, gold_rate=0.4)
    fill(project, work=12, gold=20)
    (queue,) = queues(annotator)
    left = queue.left
    assert left > 12
    while assignment := assignment_next(annotator=annotator, project=project):
        assert queues(annotator)[0].left == left, "being handed something changes nothing"
        answer_right(assignment)
        left -= 1
        assert queues(annotator)[0].left == left
    assert left == 0


def test_expected_gold_is_that_between_the_work_and_no_more_than_there_is():
    due = [number for number in range(1, 50) if gold_due(7, number, 0.3)]
    assert gold_expected(7, due[0], 0.3, work=1, unseen=99) >= 1
    assert gold_expected(7, 1, 0.3, work=1000, unseen=3) == 3
    assert gold_expected(7, 1, 0.3, work=0, unseen=3) == 0


def test_gold_does_not_follow_work_of_its_own_prompt(annotator):
    project = make_project(annotator, gold_rate=0.5)
    prompt = make_prompt(project, "same")
    for number in range(10):
        make_comparison(project, prompt=prompt, texts=[f"a {number}", f"b {number}"])
    for number in range(10):
        make_gold(project, "", prompt=prompt, texts=[f"c {number}", f"d {number}"])
    assert "gold" not in go_through(annotator, project)[1:], "only before anything of that prompt was seen"


def test_nobody_sees_a_response_again_as_gold(annotator, other_annotator):
    project = make_project(annotator, other_annotator, gold_rate=0.5)
    original = make_comparison(project, "original", priority=9)
    answer_right(assignment_next(annotator=annotator, project=project))
    gold_copy(comparison=original, rankings=known_order(original), purpose="gold", user=None)
    for number in range(20):
        make_comparison(project, f"work {number}", overlap=2)
    assert "gold" not in go_through(annotator, project)
    assert "gold" in go_through(other_annotator, project)


def test_the_api_shows_work_and_gold_alike(as_annotator, annotator):
    project = make_project(annotator, gold_rate=0.5, gold_feedback=False)
    fill(project, work=8, gold=8)
    shapes = {}
    while response := as_annotator.post(
        "/api/v1/assignments/next/", {"project": project.slug}, content_type="application/json"
    ):
        if response.status_code == 204:
            break
        given = response.json()
        assignment = Assignment.objects.get(pk=given["id"])
        answer = to_letters(assignment, {"rankings": known_order(assignment.comparison)})
        submitted = as_annotator.post(
            f"/api/v1/assignments/{given['id']}/submit/", answer, content_type="application/json"
        ).json()
        told = json.dumps([given, submitted])
        assert not re.findall(r'"\d+"', told), "ids of responses tell in which order things were made"
        numbers = {key for part in (given, submitted) for key, value in part.items() if type(value) is int}
        assert numbers <= {"id", "assignment", "supersedes"}
        shape = (sorted(given), sorted(submitted), submitted["counts"], submitted["feedback"])
        shapes.setdefault(assignment.comparison.purpose, set()).add(str(shape))
    assert shapes["work"] == shapes["gold"] and len(shapes["work"]) == 1


@pytest.fixture
def gold_on_desk(annotator):
    """An assignment that is hidden gold."""
    project = make_project(annotator, gold_rate=0.5)
    fill(project, work=15, gold=15)
    while assignment := assignment_next(annotator=annotator, project=project):
        if assignment.comparison.purpose == "gold":
            return assignment
        answer_right(assignment)
    raise AssertionError("no gold came")


def test_gold_is_revised_taken_back_and_skipped_like_work(gold_on_desk, annotator):
    assert answer_wrong(gold_on_desk).gold_score == 0.0
    revised = answer_right(gold_on_desk)
    assert (revised.gold_score, outcome_of(revised)) == (1.0, "revised")
    again = judgement_undo(assignment=gold_on_desk)
    assert (again.state, again.slot) == ("active", None)
    assert assignment_next(annotator=annotator, project=again.comparison.project) == again
    assignment_skip(assignment=again, reason="expertise")
    following = assignment_next(annotator=annotator, project=again.comparison.project)
    assert following.comparison != again.comparison


def test_feedback_is_given_where_the_project_wants_it_and_ends_revising(gold_on_desk):
    project = gold_on_desk.comparison.project
    quiet = answer_wrong(gold_on_desk)
    assert feedback_for(quiet) is None
    project.gold_feedback = True
    project.save()
    told = feedback_for(Judgement.objects.get(pk=quiet.pk))
    assert told == {"score": 0.0, "rankings": known_order(gold_on_desk.comparison), "explanation": ""}
    with pytest.raises(ValidationError, match="have been told how you did"):
        answer_right(gold_on_desk)
    assert answer_wrong(gold_on_desk) == quiet
    work = Judgement.objects.filter(comparison__purpose="work").first()
    assert work is None or feedback_for(work) is None


def test_gold_counts_towards_limits_and_is_not_fetched_ahead_past_them(annotator):
    project = make_project(annotator, gold_rate=0.5, total_limit=7)
    fill(project, work=20, gold=20)
    desk, handed = assignment_next(annotator=annotator, project=project), []
    while desk:
        ahead = assignment_ahead(assignment=desk)
        handed.append(desk.comparison.purpose)
        answer_right(desk)
        desk = ahead
    assert len(handed) == 7 == Assignment.objects.count()
    assert "gold" in handed
    assert assignment_next(annotator=annotator, project=project) is None


@pytest.mark.django_db(transaction=True)
def test_many_at_once_never_get_the_same_gold_twice():
    users = [User.objects.create_user(f"person-{number}") for number in range(6)]
    project = make_project(*users, overlap=2, gold_rate=0.3)
    fill(project, work=24, gold=5)

    def work(user: User) -> int:
        count = 0
        while assignment := assignment_next(annotator=user, project=project):
            assignment_ahead(assignment=assignment)
            answer_right(assignment)
            count += 1
        return count

    hammer(work, users * 2)  # two tabs each
    judged = Judgement.objects.filter(is_current=True)
    assert judged.filter(comparison__purpose="work").count() == 48
    gold = list(judged.filter(comparison__purpose="gold").values_list("comparison", "annotator"))
    assert gold and len(gold) == len(set(gold))
