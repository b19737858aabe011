"""The conflict queue in a real browser: it fits every window, and everybody can read it."""

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from tests.browser.axe import complaints_of_axe
from tests.rewardmodel.disputes import HOSTILE, disputed_project, evaluated_with, judged, send  # noqa: F401 - fixtures

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_the_queue_fits_and_is_accessible(page: Page, live_server, login, admin, annotator, project, evaluate):
    texts = (HOSTILE + "x" * 300, "A mild answer.\n\n- with a list")
    evaluation = evaluate(
        project,
        {
            judged(project, annotator, f"为什么 {number}? " + "w" * 200, 1, 2, texts=texts): (0, 2 + number)
            for number in range(3)
        },
    )
    send(evaluation, by=admin, count=1)
    login(admin)
    for width, scheme in ((360, "dark"), (768, "light"), (1440, "light")):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(live_server.url + reverse("rewardmodel:conflicts", args=[evaluation.pk]))
        expect(page.get_by_text("2 can be sent.")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), width
        assert complaints_of_axe(page) == [], width
