"""An admin trains a reward model from the browser and sees it succeed."""

import re

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_an_admin_starts_a_run_and_sees_it_succeed_with_charts(page, live_server, login, admin, version, generator):
    from playwright.sync_api import expect

    from rewardmodel.models import RewardModelRun
    from runs.executor import run_execute

    login(admin)
    page.goto(f"{live_server.url}/reward-models/")
    page.get_by_role("link", name="Train a reward model").first.click()
    page.get_by_label("Title").fill("Judge of the tiny")
    page.get_by_label("Dataset version").select_option(label="First v1")
    page.get_by_label("Start from").select_option(label="Tiny")
    page.get_by_label("Epochs").fill("4")
    page.get_by_label("Learning rate").fill("0.01")
    page.get_by_label("Comparisons per step").fill("4")
    page.get_by_role("button", name="Start training").click()
    page.wait_for_url(re.compile(r"/runs/\d+/"))
    expect(page.locator(".badge").first).to_have_text("queued")

    run = RewardModelRun.objects.get()
    run_execute(run_id=run.pk, worker="test")
    page.reload()
    expect(page.locator(".badge").first).to_have_text("succeeded")
    expect(page.locator("figure.chart", has_text="Training loss").locator("svg.plot")).to_be_visible()

    page.goto(f"{live_server.url}/reward-models/")
    page.get_by_role("link", name="Judge of the tiny").click()
    expect(page.get_by_role("heading", name="Judge of the tiny")).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("helpfulness")).first).to_contain_text("%")


def test_an_admin_evaluates_a_model_and_reads_what_it_gets_wrong(page, live_server, login, admin, trained):
    from playwright.sync_api import expect

    from rewardmodel.models import RewardEvaluation
    from runs.executor import run_execute

    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    login(admin)
    page.goto(f"{live_server.url}{trained.get_absolute_url()}")
    page.get_by_role("link", name="Evaluate", exact=True).click()
    page.get_by_role("button", name="Evaluate").press("Enter")
    page.wait_for_url(re.compile(r"/runs/\d+/"))
    run_execute(run_id=RewardEvaluation.objects.get().pk, worker="test")
    page.goto(f"{live_server.url}{RewardEvaluation.objects.get().get_evaluation_url()}")
    expect(
        page.locator("figure.chart", has_text="Is it as sure as it is right?").first.locator("svg").first
    ).to_be_visible()
    page.set_viewport_size({"width": 360, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.get_by_role("link", name="All pairs").click()
    page.get_by_label("dimension").select_option("helpfulness")
    page.get_by_role("button", name="Show").press("Enter")
    expect(page.get_by_role("status")).to_have_text("18 of 36 pairs.")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert complaints == []
