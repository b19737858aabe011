"""Making, asking for and reading reports, on the real database."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, transaction
from django.utils import timezone

from annotate.projects.services import membership_add
from annotate.quality import services
from annotate.quality.models import QualityReport
from annotate.quality.selectors import annotator_quality, project_agreement, reliability_weights
from annotate.quality.services import (
    LOCK,
    quality_report_refresh,
    quality_report_request,
    quality_reports_due,
)
from annotate.quality.tasks import compute_quality, refresh_quality
from annotate.ranking.models import Assignment, Judgement
from annotate.review.models import Withdrawal

TEXTS = ["a word", "two words here", "three words are here", "四个汉字"]


@pytest.fixture
def judged(project, make_comparison, judge, annotator, other_annotator):
    """Six comparisons that ben and cleo judged alike, one that only ben judged."""
    membership_add(project=project, user=other_annotator, by=None)
    for number in range(7):
        comparison = make_comparison(project, f"Why {number}?", TEXTS)
        ranks = [1, 2, 3, 4] if number % 2 else [4, 3, 2, 1]
        for user in [annotator, other_annotator][: 2 if number < 6 else 1]:
            given = judge(comparison, user, helpfulness=ranks)
            Judgement.objects.filter(pk=given.pk).update(
                display_order=list(comparison.members.values_list("response_id", flat=True)), seconds_active=30
            )
    return project


def test_a_report_is_of_current_work_that_nobody_withdrew(
    judged, make_comparison, judge, annotator, other_annotator, admin
):
    outdated = judge(make_comparison(judged, "Old?", TEXTS), annotator, helpfulness=[1, 2, 3, 4])
    Judgement.objects.filter(pk=outdated.pk).update(is_current=False)
    withdrawal = Withdrawal.objects.create(project=judged, annotator=other_annotator, by=admin, reason="spam", count=1)
    gone = judge(make_comparison(judged, "Gone?", TEXTS), other_annotator, helpfulness=[1, 2, 3, 4])
    Judgement.objects.filter(pk=gone.pk).update(withdrawal=withdrawal)
    gold = judge(
        make_comparison(judged, "Gold?", TEXTS, purpose="gold", is_closed=True), annotator, helpfulness=[1, 2, 3, 4]
    )
    Judgement.objects.filter(pk=gold.pk).update(gold_score=0.75)
    Assignment.objects.create(
        comparison=gone.comparison, annotator=annotator, state="skipped", skip_reason="unclear: what is a kite?"
    )
    assert quality_report_refresh(project=judged)
    report = QualityReport.objects.get(project=judged)
    assert report.error == "" and report.computed_at and report.requested_at is None
    assert report.data["counts"] == {"judgements": 13, "sources": {"human": 13}, "comparisons": 7, "several": 6}
    assert report.data["skips"] == {"unclear": 1}
    human = report.data["groups"]["human"]
    assert human["dimensions"][0]["statistics"][0]["value"] == 1.0
    assert human["dimensions"][0]["statistics"][0]["n"] == 36
    assert human["annotators"][str(annotator.pk)]["gold"]["value"] == 0.75
    assert human["annotators"][str(annotator.pk)]["pace"]["seconds"] == 30


def test_words_are_counted_in_the_database_and_chinese_ones_too(judged):
    from annotate.quality.reading import quality_records

    with transaction.atomic():
        record = next(iter(quality_records(judged)))
    # Responses of 2, 3, 4 words and 4 characters (reckoned 5); the prompt's JSON adds a handful.
    assert record.lengths == [len(text) for text in TEXTS]
    assert 14 <= record.words <= 24


# when -----------------------------------------------------------------------------------------------------------------


def test_a_project_is_due_when_something_is_new_and_only_then(judged, make_comparison, judge, annotator, monkeypatch):
    monkeypatch.setattr(services, "REST", 0)
    assert quality_reports_due() == [judged.pk]
    assert compute_quality(judged.pk) is True
    assert quality_reports_due() == []
    assert compute_quality(judged.pk) is False  # a second message for the same news does nothing
    new = judge(make_comparison(judged, "New?", TEXTS), annotator, helpfulness=[1, 2, 3, 4])
    assert quality_reports_due() == [judged.pk]
    assert compute_quality(judged.pk) is True
    Judgement.objects.filter(pk=new.pk).update(is_current=False)  # taken back: no new id, but one fewer
    assert quality_reports_due() == [judged.pk]
    assert compute_quality(999_999) is False


def test_a_report_that_took_long_rests_unless_asked_for(judged, make_comparison, judge, annotator):
    quality_report_refresh(project=judged)
    QualityReport.objects.update(seconds=60)
    judge(make_comparison(judged, "New?", TEXTS), annotator, helpfulness=[1, 2, 3, 4])
    assert quality_reports_due() == []
    quality_report_request(project=judged)
    assert quality_reports_due() == [judged.pk]


def test_a_request_is_answered_by_the_next_report_and_not_by_one_already_begun(judged, monkeypatch):
    quality_report_request(project=judged)
    real = services.quality_records

    def meanwhile(project):
        QualityReport.objects.filter(project=project).update(requested_at=timezone.now())
        return real(project)

    monkeypatch.setattr(services, "quality_records", meanwhile)
    assert quality_report_refresh(project=judged)
    assert QualityReport.objects.get().requested_at is not None  # asked for again while it was made
    monkeypatch.setattr(services, "quality_records", real)
    assert quality_report_refresh(project=judged)
    assert QualityReport.objects.get().requested_at is None


def test_the_clock_asks_for_what_is_due(judged, monkeypatch):
    asked = []
    monkeypatch.setattr("annotate.quality.tasks.quality_report_nudge", lambda project_id: asked.append(project_id))
    assert refresh_quality() == 1 and asked == [judged.pk]


def test_the_clock_and_the_worker_know_the_tasks(settings):
    from config.celery import app

    app.loader.import_default_modules()
    assert settings.CELERY_BEAT_SCHEDULE["refresh-quality"]["task"] in app.tasks
    assert "annotate.tasks.compute_quality" in app.tasks


def test_a_broker_that_is_down_loses_no_request(judged, monkeypatch, django_capture_on_commit_callbacks):
    def refuse(*args, **kwargs):
        raise OSError("nobody there")

    monkeypatch.setattr("annotate.quality.tasks.compute_quality.apply_async", refuse)
    with django_capture_on_commit_callbacks(execute=True):
        quality_report_request(project=judged)
    assert quality_reports_due() == [judged.pk]


# failure and company --------------------------------------------------------------------------------------------------


def test_a_failure_says_so_and_keeps_the_last_figures(judged, monkeypatch):
    quality_report_refresh(project=judged)
    before = QualityReport.objects.get().data

    def broken(*args, **kwargs):
        raise ZeroDivisionError("by zero")

    quality_report_request(project=judged)
    monkeypatch.setattr(services, "quality_report", broken)
    assert quality_report_refresh(project=judged) is False
    report = QualityReport.objects.get()
    assert report.data == before
    assert "could not be made (ZeroDivisionError)" in report.error and "by zero" not in report.error
    assert report.requested_at is None
    monkeypatch.undo()
    assert quality_report_refresh(project=judged) and QualityReport.objects.get().error == ""


@pytest.mark.django_db(transaction=True)
def test_only_one_process_works_on_a_project_and_a_request_never_waits(judged):
    """Somebody else holds the lock: the work is refused at once, and asking for a report goes through."""
    held, done = threading.Event(), threading.Event()

    def other():
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [LOCK, judged.pk])
                held.set()
                done.wait(20)
        finally:
            connection.close()

    thread = threading.Thread(target=other)
    thread.start()
    try:
        assert held.wait(20)
        assert quality_report_refresh(project=judged) is False
        quality_report_request(project=judged)
    finally:
        done.set()
        thread.join()
    report = QualityReport.objects.get()
    assert report.computed_at is None and report.error == "" and report.requested_at is not None
    assert quality_report_refresh(project=judged) is True


# reading --------------------------------------------------------------------------------------------------------------


def test_an_annotator_reads_their_own_figures_and_gold_only_with_feedback(judged, annotator, other_annotator, outsider):
    assert annotator_quality(annotator, judged) is None
    quality_report_refresh(project=judged)
    QualityReport.objects.update(
        data=_with_gold(QualityReport.objects.get().data, str(annotator.pk), {"value": 0.9, "n": 10})
    )
    own = annotator_quality(annotator, judged)
    assert (own["judgements"], own["agreement"]["value"], own["seconds"], own["gold"]) == (7, 1.0, 30, None)
    assert set(own) == {"computed_at", "judgements", "agreement", "gold", "seconds"}
    judged.gold_feedback = True
    assert annotator_quality(annotator, judged)["gold"]["value"] == 0.9
    assert annotator_quality(other_annotator, judged)["judgements"] == 6
    assert annotator_quality(outsider, judged) is None


def _with_gold(data: dict, key: str, gold: dict) -> dict:
    data["groups"]["human"]["annotators"][key]["gold"] = gold
    return data


def test_own_figures_are_one_query(judged, annotator, django_assert_num_queries):
    quality_report_refresh(project=judged)
    with django_assert_num_queries(1):
        annotator_quality(annotator, judged)


def test_weights_follow_reliability(judged, annotator, other_annotator):
    assert reliability_weights(judged) == {}
    quality_report_refresh(project=judged)
    weights = reliability_weights(judged)
    assert set(weights) == {annotator.pk, other_annotator.pk}
    assert all(0.5 < weight <= 1 for weight in weights.values())


def test_the_project_page_leaves_withdrawn_work_and_gold_out(
    judged, make_comparison, judge, annotator, other_annotator
):
    comparison = make_comparison(judged, "Gold?", TEXTS, purpose="gold", is_closed=True)
    judge(comparison, annotator, helpfulness=[1, 2, 3, 4])
    judge(comparison, other_annotator, helpfulness=[4, 3, 2, 1])
    [row] = project_agreement(judged)
    assert row["value"] == 1.0 and row["comparisons"] == 6
