"""Making a project's quality report: asked for by people, or when there is something new."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

import structlog
from django.db import connection, transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

from accounts.audit import audit_record
from accounts.models import User
from annotate.projects.models import Project
from annotate.quality.models import QualityReport
from annotate.quality.reading import gold_scores, last_judgements, quality_records, skip_counts
from annotate.quality.report import quality_report

log = structlog.get_logger(__name__)

REST = 20  # a report that took s seconds is not made again by itself for REST * s
LOCK = 7_310_001  # the class of our advisory locks; the second number is the project's id


@transaction.atomic
def quality_report_request(*, project: Project, by: User | None = None) -> QualityReport:
    """Ask for a new report. It is made in the background; the page says so until it is there."""
    report, _ = QualityReport.objects.get_or_create(project=project)
    report.requested_at = timezone.now()
    report.save(update_fields=["requested_at"])
    audit_record(actor=by, action="quality.requested", subject=project, scope=f"project:{project.pk}")
    transaction.on_commit(lambda: quality_report_nudge(project_id=project.pk), robust=True)
    return report


def quality_report_nudge(*, project_id: int) -> None:
    """Tell a worker. If the message is lost, the clock's next round finds the request in the database."""
    from annotate.quality.tasks import compute_quality

    try:
        compute_quality.apply_async([project_id], expires=600, retry=False)
    except (OperationalError, OSError) as error:
        log.warning("quality.nudge_failed", project_id=project_id, error=str(error))


def quality_reports_due() -> list[int]:
    """Ids of the projects that wait for a report: asked for, or with judgements that the last one has not seen.

    A judgement taken back or withdrawn changes the number without a new id, so both are compared.
    """
    now = timezone.now()
    known = {report.project_id: report for report in QualityReport.objects.defer("data")}
    found = last_judgements()
    due = []
    for project in sorted(set(found) | set(known)):
        report = known.get(project)
        asked = report is None or report.requested_at is not None
        news = report is not None and (report.watermark, report.judgements) != found.get(project, (0, 0))
        if asked or (news and not _rests(report, now)):
            due.append(project)
    return due


def _rests(report: QualityReport | None, now: datetime) -> bool:
    if report is None or report.computed_at is None or report.seconds is None:
        return False
    return now < report.computed_at + timedelta(seconds=REST * report.seconds)


def quality_report_refresh(*, project: Project) -> bool:
    """Make the project's report now; True if it was made.

    One at a time for a project: while another process is at it, this returns False at once. The lock is an advisory one
    of PostgreSQL's, held by the transaction: it goes with a process that dies, and nobody who asks for a report waits
    for it. If it fails, the last report stays, and says why the new one is missing.
    """
    QualityReport.objects.get_or_create(project=project)
    own = QualityReport.objects.filter(project=project)
    began, clock = timezone.now(), time.monotonic()
    try:
        with transaction.atomic():
            if not _locked(project):
                return False
            last, number = last_judgements(comparison__project=project).get(project.pk, (0, 0))
            data = quality_report(
                quality_records(project),
                dimensions=list(project.dimensions.values_list("key", flat=True)),
                gold=gold_scores(project),
                skips=skip_counts(project),
                gold_threshold=project.qualification_threshold,
            )
    except Exception as error:
        log.exception("quality.failed", project_id=project.pk)
        sentence = (
            f"The report of {timezone.localtime(began):%Y-%m-%d %H:%M} could not be made ({type(error).__name__})."
        )
        own.update(error=f"{sentence} The worker's log has the details; the figures are of an earlier report.")
        own.filter(requested_at__lte=began).update(requested_at=None)
        return False
    seconds = time.monotonic() - clock
    own.update(
        data=data, watermark=last, judgements=number, seconds=round(seconds, 2), error="", computed_at=timezone.now()
    )
    own.filter(requested_at__lte=began).update(requested_at=None)
    log.info("quality.computed", project_id=project.pk, judgements=number, seconds=round(seconds, 2))
    return True


def _locked(project: Project) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [LOCK, project.pk % 2**31])
        return bool(cursor.fetchone()[0])
