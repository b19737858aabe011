"""From a pair back to its judgements, and from one version to another. No database."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from annotate.datasets.diff import changes, config_changes, summary
from annotate.datasets.lineage import lineage_find, lineage_of, ranking_row
from tests.annotate.datasets.written import record, rows, write


def test_every_pair_is_found_by_its_number(tmp_path):
    write(tmp_path, [record(n, [1, 2, 3, 4], [1, 2, 4, 3]) for n in range(1, 6)])
    for number, row in enumerate(rows(tmp_path, "pairs"), 1):
        [entry] = lineage_find(tmp_path, pair=number)
        assert entry.pairs[number - entry.first_pair][:2] == [row["chosen_response"], row["rejected_response"]]
        assert entry.comparison == row["comparison"]
        assert entry.judgements == [101, 102]
        assert ranking_row(tmp_path, entry)["prompt"] == row["prompt"]
    assert lineage_find(tmp_path, pair=0) == lineage_find(tmp_path, pair=26) == []
    assert [entry.key for entry in lineage_find(tmp_path, comparison="3")] == [("3", "helpfulness")]
    assert lineage_find(tmp_path, comparison="nine") == []


def test_no_file_for_training_holds_lineage(tmp_path):
    write(tmp_path, [record(1, [1, 2, 3, 4])])
    for name in ("pairs", "rankings"):
        assert "judgement" not in (tmp_path / f"{name}.jsonl").read_text("utf-8")


@pytest.fixture
def before(tmp_path):
    folder = tmp_path / "before"
    write(folder, [record(n, [1, 2, 3], k=3) for n in range(1, 5)])
    return folder


def kinds(before, after) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for change in changes(before, after):
        found.setdefault(change.kind, []).append(change.comparison)
    return found


def test_the_same_is_the_same_in_any_order(before, tmp_path):
    after = tmp_path / "after"
    write(after, [record(n, [1, 2, 3], k=3) for n in (3, 1, 4, 2)])
    assert kinds(before, after) == {}


def test_what_came_went_and_changed(before, tmp_path):
    after = tmp_path / "after"
    kept, turned = record(2, [1, 2, 3], k=3), record(3, [1, 3, 2], k=3)
    write(after, [kept, turned, record(4, [1, 2, 3], [1, 2, 3], k=3), record(9, [1, 2], k=2)])
    assert kinds(before, after) == {"changed": ["3", "4"], "added": ["9"], "removed": ["1"]}
    found = summary(before, after)
    assert found["rankings"] == {"added": 1, "removed": 1, "changed": 2, "moved": 0}
    # Of comparison 3 one pair turned round; those of 4 weigh twice as much.
    assert found["pairs"] == {"added": 1, "removed": 3, "changed": 1 + 3, "moved": 0}
    turned = next(change for change in found["listed"]["changed"] if change.comparison == "3")
    [(kind, old, new)] = turned.pairs
    assert (kind, old[:2], new[:2]) == ("changed", ["r1", "r2"], ["r2", "r1"])
    assert json.loads(json.dumps(turned.json()))["pairs"][0]["before"]["chosen"] == "r1"


def test_a_prompt_that_changes_sides_is_moved(before, tmp_path):
    after = tmp_path / "after"
    write(after, [record(n, [1, 2, 3], k=3) for n in range(1, 5)], test_fraction=0.9)
    found = summary(before, after)
    assert found["rankings"]["moved"] > 0
    assert found["pairs"] == {"added": 0, "removed": 0, "changed": 0, "moved": 0}


def test_a_version_from_before_lineage_was_written_is_read_from_its_rows(before, tmp_path):
    """Earlier versions have no lineage.jsonl, and spelt JSON with spaces."""
    old = tmp_path / "old"
    old.mkdir()
    for name in ("pairs", "rankings"):
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows(before, name)]
        (old / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    assert kinds(old, before) == kinds(before, old) == {}
    assert [replace(entry, judgements=[101], ranking_at=0, pairs_at=0, at=0) for entry in lineage_of(old)] == [
        replace(entry, ranking_at=0, pairs_at=0, at=0) for entry in lineage_of(before)
    ]
    [entry] = lineage_find(old, pair=5)
    assert entry.judgements is None
    assert ranking_row(old, entry)["comparison"] == entry.comparison == "2"


def test_settings_that_a_version_does_not_say_are_the_defaults():
    defaults = {"keep_ties": False, "salt": ""}
    assert config_changes({}, {"keep_ties": False, "salt": "x"}, defaults) == [
        {"setting": "salt", "before": "", "after": "x"}
    ]
