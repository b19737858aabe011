"""What admins see and may do, and that nobody else sees any of it."""

from __future__ import annotations

import pytest
from django.urls import reverse
from django.utils import timezone

from runs.artifacts import artifact_publish
from runs.child import RunDir
from runs.models import Run, RunEvent
from runs.states import State

pytestmark = pytest.mark.django_db


@pytest.fixture
def finished(make_run, tmp_path):
    """A failed run with everything a page can show."""
    run = make_run(title="Reward model of round 1", steps=3)
    Run.objects.filter(pk=run.pk).update(
        state=State.FAILED, fault="machine", error="The disk is full.", error_detail="Traceback", attempt=1,
        started_at=timezone.now(), finished_at=timezone.now(), progress_done=2, progress_total=3,
    )  # fmt: skip
    run.refresh_from_db()
    for step in range(1, 4):
        RunEvent.objects.create(run=run, type="metrics", step=step, data={"grad_norm": 1.0 / step, "odd_one": step})
    RunEvent.objects.create(
        run=run, type="sample", step=3, data={"prompt": "Hi", "response": "<script>alert(1)</script>"}
    )
    (run.directory / "checkpoints" / "step-00000040").mkdir(parents=True)
    (run.directory / "log.txt").write_text("loading\rloaded\nstep 1 <b>\n")
    (tmp_path / "made" / "deep").mkdir(parents=True)
    (tmp_path / "made" / "deep" / "weights.safetensors").write_bytes(bytes(range(256)) * 40)
    artifact_publish(run=run, source=tmp_path / "made", kind="policy", lineage={})
    return run


def addresses(run: Run) -> list[tuple[str, str]]:
    artifact = run.artifacts.get().pk
    return [
        ("get", reverse("runs:list")),
        ("get", reverse("runs:metrics")),
        ("get", reverse("runs:detail", args=[run.pk])),
        ("get", reverse("runs:live", args=[run.pk])),
        ("get", reverse("runs:log", args=[run.pk])),
        ("post", reverse("runs:cancel", args=[run.pk])),
        ("post", reverse("runs:retry", args=[run.pk])),
        ("get", reverse("runs:artifact-archive", args=[artifact])),
        ("get", reverse("runs:artifact-file", args=[artifact, "manifest.json"])),
        ("get", "/api/v1/runs/"),
        ("get", f"/api/v1/runs/{run.pk}/"),
        ("get", f"/api/v1/runs/{run.pk}/events/"),
        ("get", f"/api/v1/runs/{run.pk}/log/"),
        ("post", f"/api/v1/runs/{run.pk}/cancel/"),
        ("post", f"/api/v1/runs/{run.pk}/retry/"),
        ("get", "/api/v1/artifacts/"),
        ("get", f"/api/v1/artifacts/{artifact}/"),
    ]


def test_runs_are_for_admins_only(finished, as_annotator, as_outsider, as_nobody) -> None:
    for method, address in addresses(finished):
        for person in (as_annotator, as_outsider):
            assert getattr(person, method)(address).status_code == 403, address
        answer = getattr(as_nobody, method)(address)
        assert answer.status_code in (401, 403) or "/account/login" in answer.headers.get("Location", ""), address
    finished.refresh_from_db()
    assert finished.state == State.FAILED


def test_an_admin_may_do_all_of_it(finished, as_admin) -> None:
    for method, address in addresses(finished):
        assert getattr(as_admin, method)(address).status_code in (200, 302, 400), address


def test_the_page_of_a_failed_run_says_whose_fault_it_was_and_what_to_do(finished, as_admin) -> None:
    page = as_admin.get(finished.get_absolute_url()).content.decode()
    assert "The machine could not do it" in page and "The disk is full." in page
    assert "continues from the checkpoint of step 40" in page
    assert '<title id="chart-grad_norm-title">Gradient norm before clipping' in page
    assert "odd one" in page, "a metric that nobody registered is shown as well"
    assert "weights.safetensors" in page and finished.artifacts.get().sha256 in page
    assert "hx-trigger" not in page, "nothing polls for a run that has ended"


def test_model_text_and_logs_are_shown_as_text(finished, as_admin) -> None:
    page = as_admin.get(finished.get_absolute_url()).content.decode()
    assert "&lt;script&gt;alert(1)" in page and "<script>alert" not in page
    assert "loaded\nstep 1 &lt;b&gt;" in page


def test_the_event_file_of_a_training_is_offered_to_admins(finished, as_admin, as_annotator) -> None:
    assert as_admin.get(f"/runs/{finished.pk}/tensorboard/").status_code == 404
    assert "tensorboard" not in as_admin.get(f"/runs/{finished.pk}/").content.decode()
    finished.directory.mkdir(parents=True, exist_ok=True)
    (finished.directory / "run.json").write_text("{}")
    RunDir(finished.directory).metrics(1, loss=0.5)
    answer = as_admin.get(f"/runs/{finished.pk}/tensorboard/")
    assert b"loss" in b"".join(answer.streaming_content)
    assert answer["Content-Disposition"].startswith('attachment; filename="events.out.tfevents')
    assert f"--logdir {finished.directory}/tensorboard" in as_admin.get(f"/runs/{finished.pk}/").content.decode()
    assert as_annotator.get(f"/runs/{finished.pk}/tensorboard/").status_code == 403


def test_pages_carry_no_inline_script_or_style(finished, as_admin) -> None:
    page = as_admin.get(finished.get_absolute_url()).content.decode()
    assert " style=" not in page and "<style" not in page and " onclick" not in page
    assert all(" src=" in tag for tag in page.split("<script")[1:])


def test_the_live_part_comes_alone_until_the_state_changes(make_run, as_admin) -> None:
    run = make_run()
    live = reverse("runs:live", args=[run.pk])
    same = as_admin.get(live, {"state": "queued"}, headers={"HX-Request": "true"})
    assert "HX-Retarget" not in same.headers and b"every 2s" in same.content and b"<h1" not in same.content
    changed = as_admin.get(live, {"state": "running"}, headers={"HX-Request": "true"})
    assert changed["HX-Retarget"] == "#run" and b"<h1" in changed.content


def test_the_list_filters_by_kind_and_state(make_run, finished, as_admin) -> None:
    waiting = make_run(title="Waits in line")
    everything = as_admin.get("/runs/").content.decode()
    assert (
        "Reward model of round 1" in everything and "Waits in line" in everything and "The disk is full." in everything
    )
    active = as_admin.get("/runs/", {"state": "active"}).content.decode()
    assert "Waits in line" in active and "Reward model of round 1" not in active
    assert "No run is like that" in as_admin.get("/runs/", {"kind": "nothing"}).content.decode()
    fragment = as_admin.get("/runs/", headers={"HX-Request": "true"}).content.decode()
    assert waiting.title in fragment and "<html" not in fragment


def test_the_list_needs_the_same_few_queries_however_many_runs(
    make_run, as_admin, django_assert_max_num_queries
) -> None:
    for number in range(30):
        make_run(title=f"Run {number}")
    with django_assert_max_num_queries(6):
        as_admin.get("/runs/")


def test_an_empty_list_says_where_runs_come_from(as_admin) -> None:
    assert b"No runs yet" in as_admin.get("/runs/").content


def test_the_dashboard_has_active_runs_before_ended_ones(make_run, finished, as_admin) -> None:
    waiting = make_run(title="Waits in line")
    page = as_admin.get("/").content.decode()
    assert page.index(waiting.title) < page.index(finished.title)


def test_cancel_and_retry_say_what_they_did(make_run, as_admin) -> None:
    run = make_run()
    page = as_admin.post(reverse("runs:cancel", args=[run.pk]), follow=True).content.decode()
    assert "Cancelled." in page
    page = as_admin.post(reverse("runs:cancel", args=[run.pk]), follow=True).content.decode()
    assert "already ended" in page
    as_admin.post(reverse("runs:retry", args=[run.pk]))
    run.refresh_from_db()
    assert run.state == State.QUEUED


def test_every_metric_that_an_app_registers_is_explained(as_admin) -> None:
    from runs.metrics import registered

    page = as_admin.get("/runs/metrics/").content.decode()
    missing = [name for name, metric in registered().items() if f'id="{metric.anchor}"' not in page]
    assert not missing
