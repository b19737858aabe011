"""The Celery face of quality reports. The clock looks for what is due; each report is a task of its own."""

from __future__ import annotations

from celery import shared_task

from annotate.projects.models import Project
from annotate.quality.services import quality_report_nudge, quality_report_refresh, quality_reports_due


@shared_task(name="annotate.tasks.refresh_quality")
def refresh_quality() -> int:
    """Ask for every report that is due; how many."""
    due = quality_reports_due()
    for project_id in due:
        quality_report_nudge(project_id=project_id)
    return len(due)


@shared_task(name="annotate.tasks.compute_quality")
def compute_quality(project_id: int) -> bool:
    """Make one project's report, unless that has been done since the message was sent."""
    project = Project.objects.filter(pk=project_id).first()
    return bool(project and project.pk in quality_reports_due() and quality_report_refresh(project=project))
