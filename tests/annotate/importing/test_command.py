"""Imports from the command line."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from annotate.models import Comparison, Import, Judgement, Prompt
from tests.annotate.conftest import jsonl
from tests.annotate.importing.files import PAIR


def run(project, *args: object) -> str:
    out = StringIO()
    call_command("import_dataset", *map(str, args), "--project", getattr(project, "slug", project), stdout=out)
    return out.getvalue()


def test_files_are_imported_and_told(project, tmp_path):
    first, second = tmp_path / "p.jsonl", tmp_path / "q.csv"
    first.write_bytes(jsonl({"prompt": "One"}, {"prompt": "Two"}))
    second.write_text("prompt,tags\nThree,x\n")
    lines = [json.loads(line) for line in run(project, first, second, "--json").splitlines()]
    assert [(line["format"], line["new"]["prompts"]) for line in lines] == [("prompts", 2), ("prompts", 1)]
    assert "there already: 2 prompts" in run(project, first)
    assert Import.objects.filter(state="done").count() == 3


def test_what_is_wrong_is_said_and_nothing_is_imported(project, tmp_path):
    file = tmp_path / "p.jsonl"
    file.write_bytes(jsonl({"prompt": "One"}) + b"{\n")
    empty = tmp_path / "folder"
    empty.mkdir()
    for who, args, reason in (
        (project, [file], "p.jsonl: nothing was imported.\nLine 2: Not valid JSON"),
        ("none", [file], "no project with the slug 'none'"),
        (project, [tmp_path / "none.jsonl"], "cannot be read"),
        (project, [empty], "neither dataset_info.json nor rankings.jsonl"),
        (project, [file, "--map", "prompt"], "write COLUMN=THEIRS"),
        (project, [file, "--dimension", "a", "--dimension", "b"], "one --dimension"),
        (project, [file, "--format", "hh", "--map", "wings=b"], "has no column wings"),
        (project, [file, "--limit", "0"], "greater than or equal to 1"),
        (project, [file, "--companion", file], "has no second file"),
    ):
        with pytest.raises(CommandError) as error:
            run(who, *args)
        assert reason in str(error.value)
    assert not Prompt.objects.exists() and not Import.objects.exists()


def test_good_rows_are_imported_and_every_complaint_written(project, tmp_path):
    file, complaints = tmp_path / "p.jsonl", tmp_path / "c.csv"
    file.write_bytes(jsonl({"prompt": "One"}) + b"{\n" * 150)
    said = run(project, file, "--good-rows", "--complaints", complaints)
    assert "150 rows wrong and left out" in said
    assert len(complaints.read_text().splitlines()) == 151 and Prompt.objects.count() == 1


def test_columns_and_dimensions_are_named(project, tmp_path):
    file = tmp_path / "p.jsonl"
    file.write_bytes(jsonl({"q": "Why?", "good": "a", "bad": "b"}))
    named = ["--map", "prompt=q", "--map", "chosen=good", "--map", "rejected=bad"]
    run(project, file, "--format", "trl-preference", *named, "--dimension", "harmlessness")
    file.write_bytes(jsonl(PAIR))
    run(project, file, "--dimension", "harmlessness=helpfulness")
    assert sorted(key for one in Judgement.objects.all() for key in one.rankings) == ["harmlessness", "helpfulness"]
    with pytest.raises(CommandError, match="ranks by “harmlessness”"):
        run(project, file, "--dimension", "harmlessness=")


def test_a_llamafactory_folder_is_read_as_its_description_says(project, tmp_path):
    (tmp_path / "mine.json").write_text(json.dumps([{"ask": "Why?", "better": "a", "worse": "b"}]))
    columns = {"prompt": "ask", "chosen": "better", "rejected": "worse"}
    info = {
        "mine": {"file_name": "mine.json", "ranking": True, "columns": columns},
        "gone": {"file_name": "../../etc/passwd"},
    }
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    assert "1 records as alpaca-preference" in run(project, tmp_path)
    assert Comparison.objects.count() == 1


def test_the_bar_is_shown_on_a_terminal_only(project, tmp_path, monkeypatch):
    file = tmp_path / "p.jsonl"
    file.write_bytes(jsonl({"prompt": "One"}))
    monkeypatch.setattr("annotate.management.commands._progress.wanted", lambda: True)
    assert "1 prompts" in run(project, file)
