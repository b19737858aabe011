"""An admin starts a PPO run in the browser, watches it, stops it in the middle, goes on, and gets a policy."""

from __future__ import annotations

import re

import pytest

from rl.models import PolicyRun
from runs.models import RunEvent
from runs.states import State

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]

STEPS = 40


def fill_in(page, real_judge) -> None:
    page.get_by_label("Title").fill("Watched")
    page.get_by_label("Reward model", exact=True).select_option(label="Real judge")
    page.get_by_label("Start from").select_option(label="Tiny")
    page.get_by_label("Steps", exact=True).fill(str(STEPS))
    page.get_by_label("Prompts per step").fill("4")
    page.get_by_label("Responses per prompt").fill("2")
    page.get_by_label("Longest response").fill("12")
    page.get_by_label("Learning rate").first.fill("0.001")
    page.get_by_text("Lengths and machine").click()
    page.get_by_label("Checkpoint every").fill("5")
    page.get_by_text("Measuring, samples and alarms").click()
    page.get_by_label("Evaluate every").fill("5")
    page.get_by_label("Show samples every").fill("5")


def steps_of(run: PolicyRun) -> list[int]:
    """The steps whose training was reported, in order."""
    reported = run.events.filter(type=RunEvent.Type.METRICS, data__has_key="policy_loss").order_by("id")
    return list(reported.values_list("step", flat=True))


def test_a_ppo_run_is_started_watched_cancelled_resumed_and_finished_in_the_browser(
    page, live_server, login, admin, generator, real_judge, start_worker
):
    from playwright.sync_api import expect

    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    start_worker(queue="gpu")
    login(admin)
    page.goto(f"{live_server.url}/policies/")
    page.get_by_role("link", name="Train a policy").first.click()
    page.get_by_role("link", name="Train with PPO").click()
    fill_in(page, real_judge)
    page.get_by_role("button", name="Start training").click()
    page.wait_for_url(re.compile(r"/runs/\d+/"))
    run = PolicyRun.objects.get()
    assert (run.algorithm, run.config["steps"]) == ("ppo", STEPS)

    # Without a reload: charts come and move, and so do the samples.
    badge = page.locator(".run-status .badge")
    expect(badge).to_have_text("running", timeout=60_000)
    line = page.locator("#chart-reward path.line").first
    expect(line).to_be_visible(timeout=90_000)
    drawn = line.get_attribute("d")
    expect(line).not_to_have_attribute("d", drawn, timeout=30_000)
    expect(page.get_by_role("heading", name="Samples")).to_be_visible()

    page.wait_for_function("() => Number((document.querySelector('progress.bar') || {}).value) >= 6", timeout=60_000)
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Cancel").click()
    expect(badge).to_have_text("cancelled", timeout=30_000)
    run.refresh_from_db()
    stopped = steps_of(run)
    assert run.state == State.CANCELLED and 6 <= len(stopped) < STEPS
    assert run.policy is None
    # Stopped in the middle of an update, the last checkpoint stands; else the last whole step.
    kept = max(int(path.name.removeprefix("step-")) for path in run.directory.glob("checkpoints/step-*"))
    assert stopped[-1] - 5 < kept <= stopped[-1]
    # The best policy so far is kept, and the page says which it is and how to go on.
    notice = page.locator(".notice", has_text="Cancelled.")
    expect(notice).to_contain_text(f"checkpoint of step {kept}")
    expect(notice).to_contain_text("held-out reward")
    assert (run.directory / "output" / "adapter_model.safetensors").is_file()

    page.get_by_role("button", name=f"Resume from step {kept}").click()
    expect(badge).to_have_text("succeeded", timeout=120_000)
    run.refresh_from_db()
    assert steps_of(run) == list(range(1, STEPS + 1)), "every step once, those before the stop among them"
    page.locator("#run-history summary").click()
    expect(page.locator("#run-history")).to_contain_text(f"Continued from the checkpoint of step {kept}")

    page.get_by_role("link", name="Open policy").click()
    expect(page.get_by_role("heading", name="Watched", level=1)).to_be_visible()
    page.get_by_role("link", name="Its generator").click()
    assert run.policy is not None and run.policy.name == "Watched"
    expect(page.get_by_role("heading", name="Watched")).to_be_visible()
    assert errors == []
