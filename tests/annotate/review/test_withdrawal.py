"""Withdrawing an annotator's work: what stops counting, what reopens, what becomes stale, and the way back."""

import threading

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.urls import reverse

from accounts.models import AuditEntry, User
from annotate.datasets.models import DatasetRun, DatasetVersion
from annotate.projects.models import Membership, Project
from annotate.quality.reading import gold_scores
from annotate.ranking.engine import assignment_next
from annotate.ranking.models import Assignment, Comparison, Judgement
from annotate.ranking.services import judgement_submit
from annotate.review.models import Withdrawal
from annotate.review.services import adjudicate
from annotate.review.withdrawals import withdrawal_preview, work_restore, work_withdraw
from runs.models import Artifact
from tests.annotate.gold.stage import answer_wrong, make_gold
from tests.annotate.ranking.desk import make_comparison, make_project
from tests.annotate.review.conftest import by_position, submit

pytestmark = pytest.mark.django_db


def withdraw(project, annotator, by, reason="clicked through") -> Withdrawal:
    return work_withdraw(project=project, annotator=annotator, by=by, reason=reason)


def make_version(project, annotators, number=1, **fields) -> DatasetVersion:
    from django.utils import timezone

    run = DatasetRun.objects.create(kind="dataset", title="d", project=project, started_at=timezone.now())
    artifact = Artifact.objects.create(
        run=run, kind="dataset", name=f"dataset/{run.pk}", sha256="0" * 64, size=1, manifest={"files": []}
    )
    return DatasetVersion.objects.create(
        project=project,
        number=number,
        run=run,
        artifact=artifact,
        sha256="0" * 64,
        annotators=[person.pk for person in annotators],
        **{"counts": {"annotators": len(annotators)}} | fields,
    )


# what it does ---------------------------------------------------------------------------------------------------------


def test_withdrawn_judgements_stay_on_record_and_count_nowhere(contested, project, annotator, other_annotator, admin):
    done = withdraw(project, annotator, admin)
    theirs = Judgement.objects.get(annotator=annotator)
    assert (theirs.is_current, theirs.withdrawal, done.count) == (False, done, 1)
    assert Judgement.objects.get(annotator=other_annotator).is_current
    contested.refresh_from_db()
    assert (contested.is_closed, contested.disagreement) == (False, None)
    seat = Assignment.objects.get(annotator=annotator)
    assert (seat.state, seat.slot) == (Assignment.State.SUBMITTED, None)
    entry = AuditEntry.objects.get(action="work.withdrawn")
    assert (entry.actor, entry.details["judgements"], entry.details["reopened"]) == (admin, 1, 1)
    assert entry.details["reason"] == "clicked through"


def test_the_comparison_goes_to_somebody_else_and_never_back(contested, project, annotator, admin, outsider):
    withdraw(project, annotator, admin)
    assert assignment_next(annotator=annotator, project=project) is None
    Membership.objects.create(project=project, user=outsider)
    given = assignment_next(annotator=outsider, project=project)
    assert given.comparison == contested
    judgement_submit(assignment=given, rankings=by_position(contested, 1, 3, 2))
    contested.refresh_from_db()
    assert contested.is_closed
    assert contested.disagreement is not None
    assert contested.judgements.filter(is_current=True).count() == 2


def test_withdrawn_work_cannot_be_revised_into_counting(contested, project, annotator, admin):
    mine = Assignment.objects.get(annotator=annotator)
    withdraw(project, annotator, admin)
    with pytest.raises(ValidationError, match="withdrawn"):
        judgement_submit(assignment=mine, rankings=by_position(contested, 2, 1, 3))
    contested.refresh_from_db()
    assert not contested.is_closed


def test_a_late_judgement_takes_the_place_that_has_become_free(contested, project, annotator, admin, outsider):
    Membership.objects.create(project=project, user=outsider)
    late = Assignment.objects.create(
        comparison=contested,
        annotator=outsider,
        state=Assignment.State.RELEASED,
        display_order=[*contested.responses.values_list("pk", flat=True)],
    )
    judgement_submit(assignment=late, rankings=by_position(contested, 1, 2, 3))
    late.refresh_from_db()
    assert late.slot is None
    assert withdrawal_preview(project, annotator).reopen == 0
    withdraw(project, annotator, admin)
    late.refresh_from_db()
    contested.refresh_from_db()
    assert (late.slot is not None, contested.is_closed) == (True, True)
    assert contested.disagreement == 1.0


def test_withdrawing_an_extra_judgement_reopens_nothing(contested, project, other_annotator, admin, outsider):
    extra = Assignment.objects.create(
        comparison=contested,
        annotator=outsider,
        state=Assignment.State.RELEASED,
        display_order=[*contested.responses.values_list("pk", flat=True)],
    )
    judgement_submit(assignment=extra, rankings=by_position(contested, 1, 2, 3))
    assert withdraw(project, outsider, admin).count == 1
    contested.refresh_from_db()
    assert contested.is_closed
    assert contested.disagreement == 1.0


def test_a_decision_is_kept_and_nobody_is_asked_again(contested, project, reviewer, annotator, admin):
    decision = adjudicate(comparison=contested, reviewer=reviewer, rankings=by_position(contested, 1, 2, 3))
    preview = withdrawal_preview(project, annotator)
    assert (preview.judgements, preview.reopen, preview.decided) == (1, 0, 1)
    withdraw(project, annotator, admin)
    decision.refresh_from_db()
    contested.refresh_from_db()
    assert decision.is_current
    assert contested.is_closed


def test_what_an_admin_closed_early_stays_closed(project, annotator, admin):
    comparison = make_comparison(project, "Enough?")
    submit(annotator, comparison, 1, 2, 3)
    Comparison.objects.filter(pk=comparison.pk).update(is_closed=True)
    withdraw(project, annotator, admin)
    comparison.refresh_from_db()
    assert comparison.is_closed


def test_qualification_and_other_projects_are_left_alone(contested, project, annotator, admin):
    known = make_comparison(project, "Known?", is_closed=True, purpose=Comparison.Purpose.QUALIFICATION)
    kept = Judgement.objects.create(comparison=known, annotator=annotator, rankings={}, gold_score=0.1)
    elsewhere = make_project(annotator, name="Elsewhere", slug="elsewhere", k=3)
    other = submit(annotator, make_comparison(elsewhere, "There?"), 1, 2, 3)
    assert withdraw(project, annotator, admin).count == 1
    for judgement in (kept, other):
        judgement.refresh_from_db()
        assert judgement.is_current


def test_what_is_left_of_the_history_does_not_tell_gold_from_work(project, annotator, admin, as_annotator):
    Project.objects.filter(pk=project.pk).update(gold_rate=0.5, overlap=1)
    for number in range(6):
        make_comparison(project, f"Work {number}?", overlap=1)
        make_gold(project, f"Known {number}?")
    while given := assignment_next(annotator=annotator, project=project):
        answer_wrong(given)
    purposes = set(Judgement.objects.values_list("comparison__purpose", flat=True))
    assert purposes == {"work", "gold"}, "both are on the stage"
    scores = gold_scores(project)
    done = withdraw(project, annotator, admin)
    shown = as_annotator.get(reverse("annotate:history")).content.decode()
    total = Judgement.objects.count()
    assert shown.count("counts no more") == total
    assert "Revise<" not in shown and "extra" not in shown
    assert set(Judgement.objects.values_list("is_current", flat=True)) == {False}
    assert done.count == Judgement.objects.filter(comparison__purpose="work").count()
    assert gold_scores(project) == scores, "how good it was is still known"
    for assignment in Assignment.objects.filter(annotator=annotator):
        with pytest.raises(ValidationError, match="was withdrawn"):
            answer_wrong(assignment)
    work_restore(withdrawal=done, by=admin)
    assert Judgement.objects.filter(is_current=True, withdrawal=None).count() == total
    assert not Assignment.objects.filter(comparison__purpose="gold", slot__isnull=False).exists()
    again = as_annotator.get(reverse("annotate:history")).content.decode()
    assert "counts no more" not in again and again.count("Revise<") == total


def test_without_reason_or_work_nothing_happens(contested, project, annotator, admin, outsider):
    for who, reason in ((annotator, "  "), (annotator, "x" * 201), (outsider, "why not")):
        with pytest.raises(ValidationError):
            withdraw(project, who, admin, reason)
    assert not Withdrawal.objects.exists()
    assert not AuditEntry.objects.filter(action="work.withdrawn").exists()


def test_more_comparisons_than_fit_into_a_chunk(project, annotator, admin, monkeypatch, judged):
    monkeypatch.setattr("annotate.review.withdrawals.CHUNK", 3)
    comparisons = [judged(f"Question {number}?", [1, 2, 3], [3, 2, 1]) for number in range(8)]
    assert withdrawal_preview(project, annotator).reopen == 8
    done = withdraw(project, annotator, admin)
    assert done.count == 8
    assert not Comparison.objects.filter(is_closed=True).exists()
    work_restore(withdrawal=done, by=admin)
    assert Comparison.objects.filter(is_closed=True, disagreement=1.0).count() == len(comparisons)


def test_a_failure_half_way_leaves_everything_as_it_was(project, annotator, admin, monkeypatch, judged):
    monkeypatch.setattr("annotate.review.withdrawals.CHUNK", 2)
    for number in range(5):
        judged(f"Question {number}?", [1, 2, 3], [3, 2, 1])
    before = sorted(Judgement.objects.values_list("pk", "is_current", "withdrawal"))

    def fail(*given: object) -> None:
        raise RuntimeError("the plug was pulled")

    monkeypatch.setattr("annotate.review.withdrawals._versions_mark", fail)
    with pytest.raises(RuntimeError):
        withdraw(project, annotator, admin)
    assert sorted(Judgement.objects.values_list("pk", "is_current", "withdrawal")) == before
    assert Comparison.objects.filter(is_closed=True).count() == 5
    assert not Withdrawal.objects.exists()


# the way back ---------------------------------------------------------------------------------------------------------


def test_restoring_undoes_it_exactly(contested, project, annotator, admin):
    def state() -> list:
        return [
            sorted(Judgement.objects.values_list("pk", "is_current", "withdrawal")),
            sorted(Assignment.objects.values_list("pk", "state", "slot")),
            sorted(Comparison.objects.values_list("pk", "is_closed", "disagreement")),
        ]

    before = state()
    done = withdraw(project, annotator, admin)
    assert state() != before
    work_restore(withdrawal=done, by=admin)
    assert state() == before
    with pytest.raises(ValidationError, match="already"):
        work_restore(withdrawal=done, by=admin)
    assert AuditEntry.objects.filter(action="work.restored").count() == 1


def test_a_place_that_somebody_took_meanwhile_stays_theirs(contested, project, annotator, admin, outsider):
    done = withdraw(project, annotator, admin)
    Membership.objects.create(project=project, user=outsider)
    submit(outsider, contested, 1, 2, 3)
    work_restore(withdrawal=done, by=admin)
    mine = Judgement.objects.get(annotator=annotator)
    assert (mine.is_current, mine.assignment.slot) == (True, None), "it is kept as an extra judgement"
    seats = Assignment.objects.filter(comparison=contested, slot__isnull=False)
    assert seats.count() == contested.overlap
    contested.refresh_from_db()
    assert contested.disagreement == 1.0


# stale versions -------------------------------------------------------------------------------------------------------


def test_versions_weighted_by_reliability_rest_on_everybody(contested, project, annotator, other_annotator, admin):
    weighted = make_version(project, [other_annotator])
    DatasetRun.objects.filter(pk=weighted.run_id).update(config={"weights": "reliability"})
    plain = make_version(project, [other_annotator], number=2)
    DatasetRun.objects.filter(pk=plain.run_id).update(config={"weights": "equal"})
    done = withdraw(project, annotator, admin)
    for version in (weighted, plain):
        version.refresh_from_db()
    assert (weighted.stale_since is None, plain.stale_since is None) == (False, True)
    theirs = withdraw(project, other_annotator, admin)
    work_restore(withdrawal=theirs, by=admin)
    weighted.refresh_from_db()
    assert weighted.stale_since is not None, "the first withdrawal still holds"
    work_restore(withdrawal=done, by=admin)
    weighted.refresh_from_db()
    assert weighted.stale_since is None


def test_all_bad_against_a_ranking_is_measured_again(judged, project, annotator, admin):
    comparison = judged("Which way?", [1, 2, 3], [1, 2, 3])
    Judgement.objects.filter(annotator=annotator).update(rankings={}, all_bad=["helpfulness", "harmlessness"])
    done = withdraw(project, annotator, admin)
    work_restore(withdrawal=done, by=admin)
    comparison.refresh_from_db()
    assert (comparison.is_closed, comparison.disagreement) == (True, 1.0)


def test_versions_with_the_work_become_stale_and_fresh_again(contested, project, annotator, other_annotator, admin):
    both = make_version(project, [annotator, other_annotator], 1)
    other = make_version(project, [other_annotator], 2)
    unknown = make_version(project, [], 3, counts={})
    only_decisions = make_version(project, [], 4)
    elsewhere = make_version(make_project(name="Elsewhere", slug="elsewhere"), [annotator])
    assert {version.pk for version in withdrawal_preview(project, annotator).versions} == {both.pk, unknown.pk}
    done = withdraw(project, annotator, admin)

    def stale() -> set[int]:
        return set(DatasetVersion.objects.filter(stale_since__isnull=False).values_list("pk", flat=True))

    assert stale() == {both.pk, unknown.pk}
    both.refresh_from_db()
    assert both.stale_reason == "Work of ben was withdrawn: clicked through"
    second = withdraw(project, other_annotator, admin, "a robot")
    assert stale() == {both.pk, unknown.pk, other.pk}
    work_restore(withdrawal=done, by=admin)
    assert stale() == {both.pk, unknown.pk, other.pk}, "the other withdrawal still holds"
    both.refresh_from_db()
    assert both.stale_reason == "Work of cleo was withdrawn: a robot"
    work_restore(withdrawal=second, by=admin)
    assert stale() == set()
    assert {only_decisions.pk, elsewhere.pk}.isdisjoint(stale())


# races ----------------------------------------------------------------------------------------------------------------


def at_once(*acts) -> list:
    """Run every act in a thread of its own, all beginning together; returns what they raised."""
    barrier, errors = threading.Barrier(len(acts)), []

    def run(act) -> None:
        barrier.wait()
        try:
            act()
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[act]) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def assert_consistent(project) -> None:
    for comparison in Comparison.objects.filter(project=project):
        seats = [a for a in comparison.assignments.all() if a.slot is not None]
        done = [a for a in seats if a.state == Assignment.State.SUBMITTED]
        current = set(comparison.judgements.filter(is_current=True).values_list("annotator", flat=True))
        assert len({a.slot for a in seats}) == len(seats) <= comparison.overlap
        assert {a.annotator_id for a in done} <= current, "a place without a judgement that counts"
        assert comparison.is_closed is (len(done) >= comparison.overlap)


@pytest.mark.django_db(transaction=True)
def test_withdrawing_while_people_submit_keeps_every_place_right(admin):
    people = [User.objects.create_user(f"person-{number}") for number in range(6)]
    project = make_project(*people, overlap=2, k=3)
    for number in range(24):
        make_comparison(project, f"question {number}")
    for person in people[:2]:
        for _ in range(6):
            given = assignment_next(annotator=person, project=project)
            judgement_submit(assignment=given, rankings=by_position(given.comparison, 1, 2, 3))

    def work(person) -> None:
        while given := assignment_next(annotator=person, project=project):
            judgement_submit(assignment=given, rankings=by_position(given.comparison, 3, 2, 1))
            judgement_submit(assignment=given, rankings=by_position(given.comparison, 1, 1, 2))

    def take_out(person) -> None:
        for _ in range(3):
            done = withdraw(project, person, admin)
            work_restore(withdrawal=done, by=admin)
        withdraw(project, person, admin)

    errors = at_once(
        *[lambda person=person: work(person) for person in people],
        lambda: take_out(people[0]),
        lambda: take_out(people[1]),
    )
    # Somebody who revises what is withdrawn at this very moment is told so; nothing else may go wrong.
    assert all(isinstance(error, ValidationError) for error in errors), errors
    for person in people:
        try:
            work(person)
        except ValidationError:
            continue
    assert_consistent(project)
    assert not Judgement.objects.filter(is_current=True, withdrawal__isnull=False).exists()


@pytest.mark.django_db(transaction=True)
def test_restoring_twice_at_once_restores_once(admin):
    person = User.objects.create_user("person")
    project = make_project(person, k=3)
    submit(person, make_comparison(project), 1, 2, 3)
    done = withdraw(project, person, admin)
    errors = at_once(*[lambda: work_restore(withdrawal=done, by=admin)] * 4)
    assert [type(error) for error in errors] == [ValidationError] * 3
    assert_consistent(project)


# pages and endpoints --------------------------------------------------------------------------------------------------


@pytest.fixture
def withdraw_url(project, annotator) -> str:
    return reverse("annotate:withdraw", args=[project.slug, annotator.pk])


def test_the_page_says_what_would_happen_and_does_it_once_there_is_a_reason(
    contested, project, annotator, as_admin, withdraw_url
):
    version = make_version(project, [annotator])
    page = as_admin.get(withdraw_url).content.decode()
    assert "data-confirm=" in page
    assert version.get_absolute_url() in page
    assert as_admin.post(withdraw_url, {"reason": " ", "pause": "1"}).status_code == 422
    assert Membership.objects.get(user=annotator).is_active, "a refused withdrawal pauses nobody"
    done = as_admin.post(withdraw_url, {"reason": "a robot", "pause": "1"})
    assert done["Location"] == reverse("annotate:withdrawal-list", args=[project.slug])
    assert not Membership.objects.get(user=annotator).is_active
    listed = as_admin.get(done["Location"]).content.decode()
    assert "a robot" in listed
    assert "Nothing to withdraw" in as_admin.get(withdraw_url).content.decode()
    restore = reverse("annotate:withdrawal-restore", args=[project.slug, Withdrawal.objects.get().pk])
    assert restore in listed
    assert as_admin.get(restore).status_code == 405
    as_admin.post(restore)
    assert Judgement.objects.get(annotator=annotator).is_current
    assert as_admin.post(restore).status_code == 302


def test_the_pages_and_endpoints_are_for_admins(
    contested, project, annotator, admin, as_admin, as_reviewer, as_annotator, as_outsider, as_nobody, withdraw_url
):
    done = withdraw(project, annotator, admin)
    pages = [withdraw_url, reverse("annotate:withdrawal-list", args=[project.slug])]
    posts = [withdraw_url, reverse("annotate:withdrawal-restore", args=[project.slug, done.pk])]
    endpoint = "/api/v1/withdrawals/"
    for client, page, api in (
        (as_reviewer, 403, 403),
        (as_annotator, 403, 403),
        (as_outsider, 403, 403),
        (as_nobody, 302, 401),
    ):
        assert {client.get(path).status_code for path in pages} == {page}
        assert {client.post(path, {"reason": "x"}).status_code for path in posts} == {page}
        assert client.get(endpoint).status_code == api
        assert client.post(f"{endpoint}{done.pk}/restore/").status_code == api
    assert all(as_admin.get(path).status_code == 200 for path in pages)
    done.refresh_from_db()
    assert done.restored_at is None


def test_withdrawing_over_rest(contested, project, annotator, as_admin):
    given = {"project": project.pk, "annotator": annotator.pk, "reason": "a robot"}
    endpoint = "/api/v1/withdrawals/"
    made = as_admin.post(endpoint, given, content_type="application/json")
    assert (made.status_code, made.json()["count"], made.json()["by"]) == (201, 1, "ada")
    again = as_admin.post(endpoint, given, content_type="application/json")
    assert again.status_code == 400
    assert "nothing to withdraw" in str(again.json())
    restored = as_admin.post(f"{endpoint}{made.json()['id']}/restore/")
    assert restored.json()["restored_at"]
    assert as_admin.get(endpoint, {"project": project.pk}).json()["count"] == 1
