"""Imports from the command line, on real files where they are there."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from annotate.models import Comparison, Judgement, Prompt
from tests.annotate.conftest import jsonl


def run(*args: object, **options: object) -> str:
    out = StringIO()
    call_command(*map(str, args), stdout=out, **options)
    return out.getvalue()


def test_prompts_are_imported_and_counted(project, tmp_path):
    file = tmp_path / "p.jsonl"
    file.write_bytes(jsonl({"prompt": "One"}, {"prompt": "Two"}))
    assert json.loads(run("import_prompts", project.slug, file, "--json")) == {
        "created": 2,
        "existing": 0,
        "repeated": 0,
    }
    assert run("import_prompts", project.slug, file).startswith("0 new prompts, 2 that were there already")


def test_what_is_wrong_is_said_and_nothing_is_imported(project, tmp_path):
    file = tmp_path / "p.jsonl"
    file.write_bytes(jsonl({"prompt": "One"}) + b"{\n")
    for args, reason in (
        ((project.slug, file), "Line 2: Not valid JSON"),
        (("none", file), "no project with the slug 'none'"),
        ((project.slug, tmp_path / "none.jsonl"), "cannot be read"),
        ((project.slug, tmp_path), "cannot be read"),
    ):
        with pytest.raises(CommandError, match=reason):
            run("import_prompts", *args)
    assert not Prompt.objects.exists()


def test_real_rankings_are_imported_once(project, data_folder):
    trees = data_folder / "oasst_en100/en_100_tree.jsonl"
    first = json.loads(run("import_rankings", project.slug, trees, "--format", "oasst", "--limit", 40, "--json"))
    again = json.loads(run("import_rankings", project.slug, trees, "--format", "oasst", "--json"))
    assert (first["comparisons"], again["existing"], again["comparisons"]) == (40, 40, 172)
    assert Judgement.objects.filter(source="import").count() == Comparison.objects.count() == 212


def test_a_limit_that_is_none_is_refused(project, tmp_path):
    with pytest.raises(CommandError, match="--limit"):
        run("import_rankings", project.slug, tmp_path / "x", "--format", "hh", "--limit", 0)
