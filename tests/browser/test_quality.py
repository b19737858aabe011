"""The quality page in a real browser: waiting for a report, and reading it at every width."""

from __future__ import annotations

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from annotate.quality.services import quality_report_refresh
from tests.annotate.ranking.desk import make_comparison, make_project
from tests.annotate.worlds import judge
from tests.browser.axe import complaints_of_axe

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def project(annotator, other_annotator):
    project = make_project(annotator, other_annotator, overlap=2)
    for number in range(12):
        comparison = make_comparison(project, f"Question {number}?")
        judge(comparison, annotator, helpfulness=[1, 2, 3, 4])
        judge(comparison, other_annotator, helpfulness=[1, 2, 4, 3] if number % 3 else [1, 2, 3, 4])
    return project


def test_a_new_report_appears_by_itself(page: Page, live_server, enter, admin, project):
    enter(admin)
    page.goto(live_server.url + reverse("annotate:quality", args=[project.slug]))
    expect(page.get_by_text("Nothing measured yet")).to_be_visible()
    page.get_by_role("button", name="Recompute").click()
    expect(page.get_by_text("appears here when it is made")).to_be_visible()
    expect(page.get_by_role("button", name="Recompute")).to_be_disabled()
    quality_report_refresh(project=project)
    expect(page.get_by_role("heading", name="Helpfulness")).to_be_visible(timeout=15_000)
    expect(page.get_by_role("button", name="Recompute")).to_be_enabled()
    expect(page.get_by_text("Krippendorff’s alpha, nominal").first).to_be_visible()


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (768, "light"), (1440, "light"), (1440, "dark")])
def test_the_figures_fit_the_window_and_are_accessible(page: Page, live_server, enter, admin, project, width, scheme):
    quality_report_refresh(project=project)
    enter(admin)
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(live_server.url + reverse("annotate:quality", args=[project.slug]))
    for summary in page.locator("#quality details > summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert complaints_of_axe(page) == []
