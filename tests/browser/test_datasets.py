"""The pages of a dataset version in a real browser: they fit every window, and everybody can read them."""

from __future__ import annotations

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from tests.annotate.datasets.test_pages import build
from tests.annotate.worlds import judge, make_comparison, make_project, make_prompt
from tests.browser.axe import complaints_of_axe

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
LONG = "Water boils sooner in the mountains, **because** the air is thin.\n\n- height\n- weather\n\n" + "x" * 300


@pytest.fixture
def versions(admin, annotator, other_annotator, children_share_database):
    project = make_project(admin, "Answers")
    for number in range(8):
        prompt = make_prompt(project, f"为什么 {number}? " + "w" * 200, ["a tag"])
        comparison = make_comparison(prompt, ["No.", LONG, "山上的水在较低的温度下沸腾。"], overlap=2)
        judge(comparison, annotator, helpfulness=[1, 2, 3], harmlessness=[1, 1, 2])
        judge(comparison, other_annotator, helpfulness=[1, 2, 3] if number % 3 else [3, 1, 2])
    return build(project), build(project, keep_ties=True, pair_policy="best-vs-rest", minimum_agreement=0.4)


def test_the_pages_of_a_version_fit_and_are_accessible(page: Page, live_server, enter, complaints, admin, versions):
    first, second = versions
    enter(admin)
    lineage = reverse("annotate:dataset-lineage", args=[second.pk]) + "?pair=2"
    urls = [second.get_absolute_url(), lineage, reverse("annotate:dataset-diff", args=[second.pk])]
    for width, scheme in ((360, "dark"), (768, "light"), (1440, "light")):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        for url in [*urls, reverse("annotate:dataset-start")]:
            page.goto(live_server.url + url)
            for summary in page.locator("main details > summary").all():
                summary.click()
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (url, width)
            assert complaints_of_axe(page) == [], (url, width)
    page.goto(live_server.url + first.get_absolute_url())
    for image in page.locator("img.dataset-plot").all():
        image.scroll_into_view_if_needed()
        expect(image).to_have_js_property("complete", True)
        assert image.evaluate("image => image.naturalWidth") > 0, "the browser shows the picture"
    page.get_by_label("Format").select_option("trl")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "answers-v1-trl.jsonl"
    assert complaints == []
