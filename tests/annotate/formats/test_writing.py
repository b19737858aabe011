"""What each format's files look like: exactly what its library reads, the same bytes every time, a chunk at a time."""

from __future__ import annotations

import io
import json
import tracemalloc
import zipfile
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from annotate.formats.packing import archive, packed
from annotate.formats.writers.base import Options, read_rows, standing, transcript
from annotate.formats.writing import FORMATS_OUT, export
from tests.annotate.formats.conftest import ASKED, read

ONE = Options(dimension="helpfulness")


def exported(key: str, version: Path, options: Options = ONE, left_out: Counter[str] | None = None) -> dict[str, bytes]:
    return {name: b"".join(chunks) for name, chunks in export(key, version, options, left_out)}


def rows(key: str, version: Path, **options: object) -> list[dict]:
    [content] = exported(key, version, Options(**{"dimension": "helpfulness", **options})).values()  # type: ignore[arg-type]
    return [json.loads(line) for line in content.splitlines()]


def pairs(version: Path) -> list[dict]:
    return list(read_rows(version / "pairs.jsonl", ONE))


@pytest.mark.parametrize("key", FORMATS_OUT)
def test_the_same_version_gives_the_same_bytes(key, version):
    assert exported(key, version) == exported(key, version)


@pytest.mark.parametrize("key", FORMATS_OUT)
def test_each_format_is_recognised_when_it_comes_back(key, version):
    for name, content in exported(key, version).items():
        if name == "dataset_info.json":
            continue
        records, findings = read(content)
        assert records and not findings.error_count, findings.errors
        assert "为什么天空是蓝色的？" in {record.prompt[0]["content"].strip() for record in records}


def test_options_choose_dimension_split_and_names(version):
    everything, one = pairs(version), exported("pairs", version, Options())
    assert list(one) == ["plumbline-pairs.jsonl"]
    assert len(one["plumbline-pairs.jsonl"].splitlines()) > len(everything)
    options = Options(dimension="无害", split="train", name="../我的 data/v1")
    [name] = exported("pairs", version, options)
    assert name == "我的-data-v1-无害-train-pairs.jsonl"
    kept = [json.loads(line) for line in exported("pairs", version, options)[name].splitlines()]
    assert {(row["dimension"], row["split"]) for row in kept} <= {("无害", "train")}


def test_pairs_without_a_better_side_are_left_out_and_counted(version):
    even = sum(row["preference"] == 0.5 for row in pairs(version))
    assert even
    left_out: Counter[str] = Counter()
    [content] = exported("trl", version, ONE, left_out).values()
    assert left_out == {"pairs that are even": even}
    assert len(content.splitlines()) == len(pairs(version)) - even
    assert len(rows("pairs", version)) == len(pairs(version))


def test_trl_has_messages_and_only_what_it_names(version):
    assert all(row.keys() == {"prompt", "chosen", "rejected"} for row in rows("trl", version))
    assert all(isinstance(row["margin"], float) for row in rows("trl-margin", version))
    plain = rows("trl-standard", version)
    assert all(isinstance(value, str) for row in plain for value in row.values())
    assert transcript(ASKED[2]) in {row["prompt"] for row in plain}
    assert transcript(ASKED[2]).endswith("User: Another,\nplease\n\nAssistant:")


def test_hh_has_transcripts_and_leaves_out_what_would_break_them(version):
    found = rows("hh", version)
    assert all(row["chosen"].startswith("\n\nHuman: ") for row in found)
    assert any('\n\nAssistant: A "horse" walks into a bar…\n\nHuman: Another' in row["chosen"] for row in found)
    broken = {**pairs(version)[0], "chosen": [{"role": "assistant", "content": "x\n\nHuman: y"}], "preference": 1.0}
    left_out: Counter[str] = Counter()
    assert b"".join(FORMATS_OUT["hh"].files[0].write([broken], ONE, left_out)) == b""
    assert sum(left_out.values()) == 1


def test_openrlhf_has_whole_conversations_that_part_at_the_last_turn(version):
    """As its reader wants them with --apply_chat_template and no prompt key: the template of all but the last turn,
    open for the reply, must begin both sides."""
    from tests.tiny import tiny_tokenizer

    template = tiny_tokenizer().apply_chat_template
    for row in rows("openrlhf", version):
        start = template(row["chosen"][:-1], tokenize=False, add_generation_prompt=True)
        for side in ("chosen", "rejected"):
            assert template(row[side], tokenize=False).startswith(start)
            assert row[side][-1]["role"] == "assistant"
        assert isinstance(row["margin"], float)


def test_alpaca_rankings_go_from_best_to_worst_without_ties(version):
    left_out: Counter[str] = Counter()
    [content] = exported("alpaca-ranking", version, ONE, left_out).values()
    found = [json.loads(line) for line in content.splitlines()]
    assert found[0]["output"][:2] == ["因为散射0", "-2+3"]
    assert found[2]["output"] == ["'=SUM(A1)", "-2+3", "因为散射2"]
    assert left_out["responses that tie with one that was written"] == 3 * 1 + 0
    assert found[2]["history"] == [["Tell me a joke.", 'A "horse" walks into a bar…']]
    assert found[1]["system"] == "Be kind."


def test_a_response_stands_as_its_judges_say():
    ranking = {"ranks": [1, 2, 2, None], "weight": 1.0}
    other = {"ranks": [1, 2, 1, None], "weight": 3.0}
    row = {"responses": [{}] * 4, "rankings": [ranking, other]}
    assert standing(row) == [
        pytest.approx((1 + 0.625) / 2),
        pytest.approx(0.125 / 2),
        pytest.approx((0.375 + 0.875) / 2),
        None,
    ]


def test_kto_labels_what_is_preferred_to_more_than_half(version):
    found = rows("kto", version)
    first = [row for row in found if row["prompt"] == ASKED[0]]
    assert [(row["completion"][0]["content"], row["label"]) for row in first] == [
        ("因为散射0", True),
        ("-2+3", True),
        ("One\n\ntwo,", False),
        ("'=SUM(A1)", False),
    ]
    assert {type(row["label"]) for row in found} == {bool}


def test_sft_takes_the_best_the_edited_or_either(version):
    best = rows("sft", version)
    assert best[0]["messages"] == [*ASKED[0], {"role": "assistant", "content": "因为散射0"}]
    edited = rows("sft", version, responses="edited")
    assert [row["messages"][-1]["content"] for row in edited] == ["'=SUM(A1)"] * 3
    either = rows("sft-completion", version, responses="edited-or-best")
    assert len(either) > len(edited)
    assert all(len(row["completion"]) == 1 for row in either)


def test_a_comparison_of_several_dimensions_is_shown_once(version):
    [content] = exported("sft", version, Options(responses="edited")).values()
    assert len(content.splitlines()) == 3


def test_llamafactory_has_a_folder_that_describes_itself(version):
    """What LLaMA-Factory checks: files and columns that are there, roles in turn, an odd number in a prompt."""
    files = exported("llamafactory", version)
    info = json.loads(files["dataset_info.json"])
    assert {entry["file_name"] for entry in info.values()} == files.keys() - {"dataset_info.json"}
    for entry in info.values():
        assert entry["formatting"] == "sharegpt"
        tags = entry.get(
            "tags", {"role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt"}
        )
        columns = entry["columns"]
        for line in files[entry["file_name"]].splitlines():
            row = json.loads(line)
            assert set(columns.values()) == row.keys()
            turns = row[columns["messages"]]
            if turns[0][tags["role_tag"]] == "system":
                turns = turns[1:]
            roles = [tags["user_tag"], tags["assistant_tag"]]
            assert [turn[tags["role_tag"]] for turn in turns] == [roles[i % 2] for i in range(len(turns))]
            assert len(turns) % 2 == (1 if entry.get("ranking") else 0)
            if entry.get("ranking"):
                assert all(row[side]["from"] == "gpt" for side in ("chosen", "rejected"))


def test_csv_cells_are_no_formulas(version):
    import csv

    [content] = exported("csv", version).values()
    table = list(csv.reader(io.StringIO(content.decode(), newline="")))
    assert {"'=1+1", "'-2+3", "''=SUM(A1)"} <= {cell for row in table for cell in row}
    risky = [cell for row in table[1:] for cell in row if cell[:1] in "=+@-\t\r" and cell and not cell[1:2].isdigit()]
    assert risky == []


def test_several_files_are_one_archive_and_any_file_is_packed(version):
    def once() -> bytes:
        return b"".join(archive(export("llamafactory", version, ONE)))

    assert once() == once()
    with zipfile.ZipFile(io.BytesIO(once())) as found:
        assert found.testzip() is None
        assert {name: found.read(name) for name in found.namelist()} == exported("llamafactory", version)
    [content] = exported("pairs", version).values()
    import gzip

    import zstandard

    assert gzip.decompress(b"".join(packed([content], "gzip"))) == content
    assert zstandard.ZstdDecompressor().decompressobj().decompress(b"".join(packed([content], "zstd"))) == content


@pytest.mark.parametrize("key", [key for key in FORMATS_OUT if key != "parquet"])
def test_writing_holds_a_chunk_not_the_dataset(key, version):
    source = FORMATS_OUT[key].files[0].source
    row = next(read_rows(version / f"{source}.jsonl", ONE))
    given = 0

    def endless():
        nonlocal given
        while True:
            given += 1
            yield row

    tracemalloc.start()
    chunks = FORMATS_OUT[key].files[0].write(endless(), ONE, Counter())
    if key.startswith("sft"):
        row = {**row, "comparison": "x"}
        chunks = FORMATS_OUT[key].files[0].write(({**row, "comparison": str(n)} for n in range(10**9)), ONE, Counter())
    total = sum(map(len, islice(chunks, 12)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total > 12 * 2**16 * 0.9
    assert peak < 4 * 2**20
