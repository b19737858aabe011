"""The set-up page in a browser: rows are added, moved and removed, and the preview follows what is typed."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from annotate.models import Project
from annotate.projects.services import project_create

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def setup(page: Page, live_server, enter, admin) -> Page:
    enter(admin)
    page.goto(f"{live_server.url}/projects/new/")
    expect(page.frame_locator("[data-frame]").locator("article").first).to_be_visible()
    return page


def test_a_project_is_set_up_and_the_preview_follows(setup, live_server):
    page, preview = setup, setup.frame_locator("[data-frame]")
    expect(preview.locator("article")).to_have_count(4)
    page.get_by_label("Name", exact=True).fill("Wit")
    page.get_by_label("Best of K").check()
    page.locator("#id_k").fill("3")
    expect(preview.locator("article")).to_have_count(3)

    page.get_by_role("button", name="Add dimension").click()
    row = page.locator(".dimension-row:visible").last
    row.get_by_label("Label").fill("Sparkle")
    row.get_by_role("button", name="dimension up").click()
    page.locator(".dimension-row:visible").first.get_by_role("button", name="Remove").click()
    expect(preview.get_by_text("Sparkle").first).to_be_attached()
    page.get_by_role("button", name="Add attribute").click()
    for _ in range(4):  # more than there are spare rows
        page.get_by_role("button", name="Add flag").click()
        rows = page.locator(".flag-row:visible")
        rows.last.get_by_label("Label").fill(f"Flag {rows.count()}")
    page.get_by_label("Guidelines").fill("Be **fair**.")
    page.get_by_text("As annotators see them").click()
    expect(page.locator("[data-guidelines-view] strong")).to_have_text("fair")

    assert not Project.objects.exists()
    page.get_by_role("button", name="Create project").click()
    page.wait_for_url(lambda url: "/new" not in url)
    project = Project.objects.get()
    assert (project.task, project.k, project.guidelines) == ("best", 3, "Be **fair**.")
    assert [d.key for d in project.dimensions.all()] == ["sparkle", "harmlessness"]
    assert [flag["label"] for flag in project.flags if flag["label"]] == [f"Flag {n}" for n in range(1, 5)]
    assert not project.attributes.exists()


def test_pairwise_fixes_k_and_says_so(setup):
    page = setup
    page.get_by_label("Pairwise").check()
    expect(page.get_by_text("K is 2, whatever stands here")).to_be_visible()
    expect(page.locator("#id_k")).not_to_be_editable()
    expect(page.frame_locator("[data-frame]").locator("article")).to_have_count(2)
    expect(page.get_by_label("Points of the rating")).to_be_hidden()


def test_nothing_in_the_preview_can_be_pressed_or_sent(setup):
    page = setup
    sent = []
    page.on("request", lambda request: sent.append(request.url))
    frame = next(frame for frame in page.frames if frame.parent_frame)
    assert frame.evaluate("document.querySelector('main').inert")
    frame.evaluate("document.querySelector('form').requestSubmit()")
    frame.evaluate("document.querySelector('form').submit()")
    page.wait_for_timeout(300)
    assert not [url for url in sent if "assignments" in url]
    assert page.url.endswith("/projects/new/")


def test_the_preview_has_the_width_of_a_phone_or_of_a_desk(setup):
    page = setup
    frame = next(frame for frame in page.frames if frame.parent_frame)
    assert frame.evaluate("innerWidth") == 1280
    page.get_by_role("button", name="Phone").click()
    page.wait_for_function("document.querySelector('[data-frame]').contentWindow.innerWidth < 420")
    expect(page.get_by_role("button", name="Phone")).to_have_attribute("aria-pressed", "true")


def test_it_works_without_scripts(browser, live_server, admin, settings):
    from django.test import Client

    client = Client()
    client.force_login(admin)
    context = browser.new_context(java_script_enabled=False)
    name = settings.SESSION_COOKIE_NAME
    context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": live_server.url}])
    page = context.new_page()
    page.goto(f"{live_server.url}/projects/new/")
    page.get_by_label("Name", exact=True).fill("Plain")
    row = page.locator(".dimension-row").nth(2)
    row.get_by_label("Label").fill("Truth")
    row.get_by_label("Place").fill("1")
    page.locator(".dimension-row").nth(0).get_by_label("Place").fill("2")
    page.locator(".dimension-row").nth(1).get_by_label("Remove").check()
    page.get_by_role("button", name="Preview").click()
    expect(page.frame_locator("iframe[name=preview]").locator("article")).to_have_count(4)
    page.get_by_role("button", name="Create project").click()
    page.wait_for_url(lambda url: "/new" not in url)
    assert [d.key for d in Project.objects.get().dimensions.all()] == ["truth", "helpfulness"]
    context.close()


def test_many_are_checked_with_one_click(page, live_server, enter, admin, annotator, other_annotator):
    project_create(name="Wit", user=admin)
    enter(admin)
    page.goto(f"{live_server.url}/people/")
    page.get_by_label("Check all on this page").check()
    expect(page.get_by_text("3 checked")).to_be_visible()
    page.get_by_label("Check ada").uncheck()
    expect(page.get_by_text("2 checked")).to_be_visible()
    page.locator(".bulk select[name=project]").select_option(label="Wit")
    page.get_by_role("button", name="Do it").click()
    expect(page.get_by_text("Add to Wit: 2 people.")).to_be_visible()
