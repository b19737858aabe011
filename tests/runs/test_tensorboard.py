"""Event files as TensorBoard itself reads them."""

from __future__ import annotations

import json
import math

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.util import tensor_util

from runs.child import EVENTS, SPEC, RunDir
from runs.tensorboard import FOLDER


@pytest.fixture
def directory(tmp_path):
    (tmp_path / SPEC).write_text(json.dumps({"run": 1, "kind": "policy"}))
    return tmp_path


def opened(directory):
    found = EventAccumulator(str(directory / FOLDER), size_guidance={"tensors": 0, "scalars": 0})
    found.Reload()
    return found


def series(directory, name):
    return [(event.step, event.value) for event in opened(directory).Scalars(name)]


def checkpoint(run, step):
    run.save_checkpoint(step, lambda folder: (folder / "state").write_text("x"))


def test_figures_and_samples_are_read_back(directory):
    run = RunDir(directory)
    run.metrics(1, loss=0.5, **{"seconds/step": 2.0})
    run.sample(1, prompt="Why?", prompt_id="7", response="# Not a <b>title</b>", reward=1.25)
    run.metrics(2, loss=0.25)
    run.log("Nothing for a chart.")
    assert series(directory, "loss") == [(1, 0.5), (2, 0.25)]
    assert series(directory, "seconds/step") == [(1, 2.0)]
    [sample] = opened(directory).Tensors("samples/7")
    text = tensor_util.make_ndarray(sample.tensor_proto)[0].decode()
    assert sample.step == 1
    assert "    # Not a <b>title</b>" in text and "    Why?" in text and "reward 1.25" in text
    assert opened(directory).SummaryMetadata("samples/7").plugin_data.plugin_name == "text"


def test_several_responses_to_a_prompt_are_all_there(directory):
    run = RunDir(directory)
    run.metrics(1, loss=0.5)
    for response in ("a", "b"):
        run.sample(1, prompt="Why?", response=response)
    assert len(opened(directory).Tensors("samples/Why?")) == 2


def test_the_time_of_a_figure_is_when_it_was_seen(directory):
    run = RunDir(directory)
    run.metrics(1, loss=0.5)
    [line] = map(json.loads, (directory / EVENTS).read_text().splitlines())
    assert [event.wall_time for event in opened(directory).Scalars("loss")] == [line["at"]]


def test_every_record_has_the_checksums_that_the_reader_wants(directory):
    run = RunDir(directory)
    for step in range(300):
        run.metrics(step, loss=step / 7, letters=float(step % 3))
    [file] = (directory / FOLDER).iterdir()
    assert len(list(RawEventFileLoader(str(file)).Load())) == 301


def test_a_figure_that_is_no_number_is_none_there_either(directory):
    RunDir(directory).metrics(1, loss=math.nan)
    assert math.isnan(series(directory, "loss")[0][1])


def test_what_a_resumed_run_does_again_is_there_once(directory):
    run = RunDir(directory)
    for step in (1, 2, 3, 4):
        run.metrics(step, loss=float(step))
        if step == 2:
            checkpoint(run, step)
    again = RunDir(directory)
    again.progress(0, 4, "loading")
    again.resumed(2)
    for step in (3, 4, 5):
        again.metrics(step, loss=10.0 * step)
    assert series(directory, "loss") == [(1, 1.0), (2, 2.0), (3, 30.0), (4, 40.0), (5, 50.0)]
    assert len(list((directory / FOLDER).iterdir())) == 1


def test_a_run_that_begins_anew_forgets_what_was_before(directory):
    run = RunDir(directory)
    run.metrics(1, loss=1.0)
    run.metrics(2, loss=2.0)
    RunDir(directory).metrics(1, loss=5.0)
    assert series(directory, "loss") == [(1, 5.0)]
    # The next one continues from a checkpoint of the second, and the first stays forgotten.
    checkpoint(run, 1)
    third = RunDir(directory)
    third.resumed(1)
    third.metrics(2, loss=6.0)
    assert series(directory, "loss") == [(1, 5.0), (2, 6.0)]


def test_a_line_that_a_crash_tore_is_passed_over(directory):
    run = RunDir(directory)
    run.metrics(1, loss=1.0)
    checkpoint(run, 1)
    with (directory / EVENTS).open("a") as file:
        file.write('{"type": "metrics", "step": 2, "da')
    again = RunDir(directory)
    again.resumed(1)
    again.metrics(2, loss=2.0)
    assert series(directory, "loss") == [(1, 1.0), (2, 2.0)]


def test_a_run_without_figures_has_no_such_folder(directory):
    RunDir(directory).log("Hello.")
    assert not (directory / FOLDER).exists()


def test_only_the_main_process_writes(directory, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    RunDir(directory).metrics(1, loss=1.0)
    assert not (directory / FOLDER).exists()
