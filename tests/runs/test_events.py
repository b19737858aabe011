"""From events.jsonl to the database: each line once, torn ones never, taken-back ones gone."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from runs import services
from runs.events import clean, events_ingest, events_restart
from runs.models import Run, RunEvent
from runs.selectors import metric_points, time_left

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def run(make_run) -> Run:
    return services.run_claim(run_id=make_run().pk, worker="test")


@pytest.fixture
def stream(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def line(kind: str, step: int | None = None, at: float = 1.0, **data: object) -> str:
    return json.dumps({"type": kind, "step": step, "at": at, "data": data}) + "\n"


def write(stream: Path, *lines: str) -> None:
    with stream.open("a") as file:
        file.writelines(lines)


def losses(run: Run) -> list[tuple[int, float]]:
    return metric_points(run).get("loss", [])


def test_every_line_is_read_once_however_often_one_looks(run, stream) -> None:
    write(stream, line("metrics", 1, loss=3.0))
    assert events_ingest(run=run, path=stream)
    assert not events_ingest(run=run, path=stream)
    write(stream, line("metrics", 2, loss=2.0))
    again = Run.objects.get(pk=run.pk)  # another process goes on where this one stopped
    events_ingest(run=again, path=stream)
    assert losses(run) == [(1, 3.0), (2, 2.0)] and run.events.filter(type="metrics").count() == 2


def test_two_readers_of_one_claim_do_not_double_anything(run, stream) -> None:
    other = Run.objects.get(pk=run.pk)
    write(stream, line("metrics", 1, loss=3.0))
    events_ingest(run=run, path=stream)
    with pytest.raises(services.RunMoved):
        events_ingest(run=other, path=stream)
    assert run.events.filter(type="metrics").count() == 1


def test_a_line_is_read_when_it_is_complete(run, stream) -> None:
    whole = line("metrics", 1, loss=3.0)
    write(stream, whole[:20])
    assert not events_ingest(run=run, path=stream)
    write(stream, whole[20:])
    events_ingest(run=run, path=stream)
    assert losses(run) == [(1, 3.0)]


def test_a_line_torn_by_a_crash_is_skipped_and_the_next_ones_count(run, stream) -> None:
    write(stream, line("metrics", 1, loss=3.0), '{"type": "metr\n', line("metrics", 2, loss=2.0), "[]\n", "\n")
    write(stream, line("unheard of", 3), line("state", 3, to="succeeded"), line("metrics", 3, loss=1.0))
    events_ingest(run=run, path=stream)
    assert losses(run) == [(1, 3.0), (2, 2.0), (3, 1.0)]


def test_what_came_after_the_checkpoint_of_a_resumed_run_is_taken_back(run, stream) -> None:
    write(stream, *[line("metrics", step, loss=float(step)) for step in range(1, 8)], line("sample", 6, text="late"))
    events_ingest(run=run, path=stream)
    write(stream, line("metrics", 8, loss=8.0), line("resumed", 4), line("metrics", 5, loss=50.0))
    events_ingest(run=run, path=stream)
    assert losses(run) == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0), (5, 50.0)]
    assert not run.events.filter(type="sample").exists()


def test_an_attempt_without_a_checkpoint_begins_its_charts_anew(run, stream) -> None:
    write(stream, line("metrics", 1, loss=9.0))
    events_ingest(run=run, path=stream)
    events_restart(run=run, path=stream)
    write(stream, line("metrics", 1, loss=1.0))
    events_ingest(run=run, path=stream)
    assert losses(run) == [(1, 1.0)]


def test_on_a_machine_without_the_old_files_reading_begins_at_the_beginning(run, stream) -> None:
    write(stream, line("metrics", 1, loss=9.0), line("metrics", 2, loss=9.0))
    events_ingest(run=run, path=stream)
    stream.unlink()
    events_restart(run=run, path=stream)
    write(stream, line("metrics", 1, loss=1.0))
    events_ingest(run=run, path=stream)
    assert losses(run) == [(1, 1.0)]


def test_what_postgresql_cannot_keep_is_made_so_that_it_can(run, stream) -> None:
    hostile = '{"type": "sample", "step": 1, "at": 1, "data": {"text": "a\\u0000b\\ud800", "n": NaN, "big": 1e999}}\n'
    write(stream, hostile)
    events_ingest(run=run, path=stream)
    assert run.events.get(type="sample").data == {"text": "a\ufffdb?", "n": None, "big": None}
    assert clean({"a": [1, "x", True, None, float("inf")]}) == {"a": [1, "x", True, None, None]}


def test_progress_is_kept_on_the_run_and_the_time_left_follows_its_pace(run, stream) -> None:
    now = timezone.now()
    write(stream, line("progress", 10, (now - timedelta(seconds=30)).timestamp(), done=10, total=100, note="epoch 1"))
    write(stream, line("progress", 40, now.timestamp(), done=40, total=100, note="epoch 2"))
    events_ingest(run=run, path=stream)
    run = Run.objects.get(pk=run.pk)
    assert (run.progress_done, run.progress_total, run.progress_note, run.progress_from) == (40, 100, "epoch 2", 10)
    assert time_left(run) == pytest.approx(timedelta(seconds=60), abs=timedelta(seconds=5))


def test_without_progress_there_is_no_estimate(run) -> None:
    assert time_left(run) is None


def test_a_metric_without_a_number_is_a_gap_and_text_is_no_metric(run) -> None:
    RunEvent.objects.create(run=run, type="metrics", step=1, data={"loss": None, "reward": 1.0, "note": "x"})
    assert metric_points(run) == {"loss": [(1, None)], "reward": [(1, 1.0)]}
