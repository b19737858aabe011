"""The run page in a real browser, while its run moves."""

from __future__ import annotations

import pytest
from django.utils import timezone

from runs import services
from runs.models import Run, RunEvent
from runs.states import State

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser]


@pytest.fixture(autouse=True)
def _sync_orm_beside_playwright(monkeypatch) -> None:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")


@pytest.fixture
def running(make_run) -> Run:
    run = services.run_claim(run_id=make_run(title="Reward model").pk, worker="somewhere")
    for step in range(1, 30):
        RunEvent.objects.create(run=run, type="metrics", step=step, data={"grad_norm": 1 / step})
    Run.objects.filter(pk=run.pk).update(progress_done=29, progress_total=100, progress_from_at=timezone.now())
    run.directory.mkdir(parents=True)
    (run.directory / "log.txt").write_text("\n".join(f"line {number}" for number in range(300)))
    run.refresh_from_db()
    return run


def test_the_page_moves_with_its_run_and_leaves_open_what_the_reader_opened(page, login, live_server, admin, running):
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    login(admin)
    page.goto(live_server.url + running.get_absolute_url())
    page.locator("#run-history summary").click()
    page.locator("#chart-data-grad_norm summary").click()
    Run.objects.filter(pk=running.pk).update(progress_done=63)
    page.get_by_text("63 of 100").wait_for()
    assert page.locator("#run-history").get_attribute("open") is not None
    assert page.locator("#chart-data-grad_norm").get_attribute("open") is not None
    at_its_end = "(log) => log.scrollTop + log.clientHeight >= log.scrollHeight - 8"
    assert page.locator("#run-log").evaluate(at_its_end)

    failure = {"fault": "machine", "error": "The disk is full.", "error_detail": ""}
    services.run_move(run=running, to=State.FAILED, claim=running.claim, **failure)
    page.get_by_role("button", name="Retry").wait_for()
    assert page.get_by_text("The machine could not do it").is_visible()
    assert page.get_by_role("button", name="Cancel").count() == 0
    assert errors == []


def test_cancelling_asks_once(page, login, live_server, admin, running):
    login(admin)
    page.goto(live_server.url + running.get_absolute_url())
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.get_by_role("button", name="Cancel").click()
    running.refresh_from_db()
    assert running.state == State.RUNNING
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("it saves a checkpoint and stops").first.wait_for()
    running.refresh_from_db()
    assert running.state == State.CANCELLING
