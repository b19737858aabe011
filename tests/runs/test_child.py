"""Who says why a run of several processes failed."""

from __future__ import annotations

import json

import pytest

from runs.child import EXIT_MACHINE, EXIT_OURS, EXIT_USER, MachineError, UserError, child_main


def fail(directory, monkeypatch, rank: int, error: Exception, size: int = 2) -> int:
    monkeypatch.setenv("WORLD_SIZE", str(size))
    monkeypatch.setenv("RANK", str(rank))

    def work(run) -> None:
        raise error

    with pytest.raises(SystemExit) as caught:
        child_main(work, [str(directory)])
    return caught.value.code


def test_of_several_processes_the_first_to_fail_says_why(tmp_path, monkeypatch) -> None:
    (tmp_path / "run.json").write_text("{}")
    assert fail(tmp_path, monkeypatch, 1, UserError("There is no dimension truth.")) == EXIT_USER
    assert fail(tmp_path, monkeypatch, 2, RuntimeError("connection closed by peer"), size=3) == EXIT_OURS
    error = json.loads((tmp_path / "error.json").read_text())
    assert (error["fault"], error["message"]) == ("user", "There is no dimension truth.")
    assert not list(tmp_path.glob("error.json.*"))


def test_a_new_attempt_says_its_own(tmp_path, monkeypatch) -> None:
    (tmp_path / "run.json").write_text("{}")
    fail(tmp_path, monkeypatch, 1, UserError("Earlier."))
    assert fail(tmp_path, monkeypatch, 0, MachineError("The disk is full.")) == EXIT_MACHINE
    assert json.loads((tmp_path / "error.json").read_text())["message"] == "The disk is full."
    fail(tmp_path, monkeypatch, 0, UserError("Alone."), size=1)
    assert json.loads((tmp_path / "error.json").read_text())["message"] == "Alone."
