"""What is wrong with a file is said with its line, and nothing of it is stored."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable

import pytest
import zstandard
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.core.files.storage import storages

from annotate.importing.models import Import
from annotate.importing.preview import import_seen
from annotate.importing.services import (
    NotImported,
    clean_name,
    import_configure,
    import_perform,
    import_start,
    import_upload,
)
from annotate.models import Comparison, Generator, Judgement, Prompt, Response
from tests.annotate.conftest import jsonl
from tests.annotate.importing.files import PAIR, take

PROMPTS = jsonl(*({"prompt": f"Question {n}"} for n in range(30)))
RANKED = {"prompt": "q", "responses": ["a", "b"], "ranks": [1, 2]}


def nothing_is_stored() -> bool:
    return not any(model.objects.exists() for model in (Prompt, Response, Comparison, Judgement, Generator))


def damaged(data: bytes) -> bytes:
    return gzip.compress(data * 9)[:-40]


BAD = {
    "Latin-1": (jsonl({"prompt": "a"}) + '{"prompt": "caf\xe9"}\n'.encode("latin-1"), "Line 2: ", "not UTF-8"),
    "UTF-16": ('{"prompt": "a"}\n'.encode("utf-16"), "Line 1: ", "UTF-16"),
    "truncated gzip": (damaged(PROMPTS), "Line ", "damaged from here on"),
    "truncated zstd": (zstandard.compress(PROMPTS * 50)[:-40], "Line ", "damaged from here on"),
    "duplicate keys": (jsonl({"prompt": "a"}) + b'{"prompt": "b", "prompt": "c"}\n', "Line 2: ", "appears twice"),
    "a 50 MB line": (PROMPTS + b'{"prompt": "' + b"x" * 50_000_000 + b'"}\n', "Line 31: ", "longer than 8 MiB"),
    "NaN ranks": (b'{"prompt": "q", "responses": ["a", "b"], "ranks": [NaN, 1]}\n', "Line 1: ", "NaN is not valid"),
    "a rank for no response": (jsonl(RANKED, {**RANKED, "ranks": [1, 2, 3]}), "Line 2: ", "3 ranks for 2 responses"),
    "half a rank": (jsonl({**RANKED, "ranks": [1, 1.5]}), "Line 1: ", "whole number"),
    "empty responses": (jsonl(RANKED, {**RANKED, "responses": ["a", " "]}), "Line 2: ", "Response 2 is empty"),
    "mixed schemas": (PROMPTS + jsonl({"instruction": "a", "output": "b"}), "Line 31: ", "neither prompt nor messages"),
    "half a character": (b'{"prompt": "a\\ud800"}\n', "Line 1: ", "half a character"),
    "NUL": (b'{"prompt": "a\\u0000"}\n', "Line 1: ", "NUL"),
    "too deep": (b'{"prompt": "a", "metadata": ' + b"[" * 5000 + b"]" * 5000 + b"}\n", "Line 1: ", "nested too deeply"),
    "nothing": (b"\n\n", "Line 1: ", "empty"),
    "a PDF": (b"%PDF-1.7 ...", "Line 1: ", "PDF"),
    "zipped twice": (gzip.compress(gzip.compress(PROMPTS)), "Line 1: ", "compressed twice"),
    "a ZIP": (b"PK\x03\x04" + b"\0" * 60, "Line 1: ", "ZIP"),
    "broken CSV": (b'prompt,tags\nq,x\n"open,y\n', "Line 3: ", "Not valid CSV"),
    "broken Parquet": (b"PAR1" + b"\0" * 40, "Line 1: ", "cannot be read"),
    "a broken list": (b'[{"prompt": "a"}, {"prompt": ]', "Record ", "Not valid JSON"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_wrong_file_is_told_by_line_and_nothing_is_stored(project, what):
    data, where, why = BAD[what]
    with pytest.raises(NotImported) as error:
        take(project, data=data)
    [first, *_] = error.value.message_dict["file"]
    assert first.startswith(where) and why in first, first
    assert nothing_is_stored()


@pytest.mark.parametrize("what", BAD)
def test_the_upload_and_the_preview_say_the_same_and_never_fail(project, admin, what):
    data, _, why = BAD[what]
    try:
        upload = import_upload(project=project, file=ContentFile(data), filename="f", user=admin)
    except ValidationError as error:
        said = str(error)
        assert not Import.objects.exists() and storages["uploads"].listdir("imports")[1] == []
    else:
        said = " ".join(problem["reason"] for problem in import_seen(upload)["errors"])
    assert why in said
    assert nothing_is_stored()


def test_a_mark_at_the_beginning_and_windows_line_ends_are_no_fault(project):
    data = b"\xef\xbb\xbf" + PROMPTS.replace(b"\n", b"\r\n")
    assert take(project, data=data)["new"]["prompts"] == 30


def test_good_rows_before_the_damage_are_imported_by_choice(project):
    report = take(project, data=damaged(PROMPTS), good_rows=True)
    assert report["new"]["prompts"] == 30 and report["error_count"] == 1


def swollen(pack: Callable[[bytes], bytes]) -> bytes:
    """70 MB of good rows in less than a four-hundredth of that."""
    return pack((b'{"prompt": "' + b"x" * 7_000 + b'"}\n') * 10_000)


def parquet_of_one_value() -> bytes:
    """A billion bytes of text in a dictionary of one word."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = io.BytesIO()
    words = pa.DictionaryArray.from_arrays(pa.array([0] * 1_000_000, pa.int32()), pa.array(["x" * 1_000]))
    pq.write_table(pa.table({"prompt": words}), file, compression="zstd")
    return file.getvalue()


def sheet_of_zeros() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "")
        with archive.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as sheet:
            for _ in range(300):
                sheet.write(b"0" * 2**20)
    return file.getvalue()


BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "gzip": (lambda: swollen(gzip.compress), "The compressed file becomes more than 400 times its size"),
    "Zstandard": (lambda: swollen(zstandard.compress), "The compressed file becomes more than 400 times its size"),
    "one line in gzip": (
        lambda: gzip.compress(b'{"prompt": "' + b"x" * (70 * 2**20)),
        "The compressed file becomes more than 400",
    ),
    "Parquet": (parquet_of_one_value, "The Parquet file becomes more than 400 times its size"),
    "xlsx": (sheet_of_zeros, "Unpacked, the spreadsheet is larger than 256 MiB"),
}


@pytest.mark.parametrize("what", BOMBS)
def test_a_bomb_does_not_go_off_on_its_way_through_upload_preview_and_import(project, admin, what):
    make, limit = BOMBS[what]
    data = make()
    assert len(data) < 2**20
    settings = {"format": "prompts"}
    upload = import_upload(project=project, file=ContentFile(data), filename="f", user=admin, settings=settings)
    assert "errors" in import_seen(upload)
    with pytest.raises(NotImported) as error:
        import_start(upload=upload, user=admin, at_once=True)
    said = error.value.message_dict["file"][0]
    assert limit in said and said.startswith(("Line ", "Record ", "Row ")), said
    upload.refresh_from_db()
    assert upload.state == "refused" and nothing_is_stored()


def test_preferences_that_go_round_are_kept_as_pairs_and_never_as_a_ranking(project, admin):
    """Rock, paper, scissors: three judged comparisons of two, none of three."""
    beats = [("stone", "scissors"), ("scissors", "paper"), ("paper", "stone")]
    rows = [{"prompt": "Which?", "chosen": better, "rejected": worse} for better, worse in beats]
    upload = import_upload(project=project, file=ContentFile(jsonl(*rows)), filename="f", user=admin)
    assert import_start(upload=upload, user=admin, at_once=True).report["new"]["comparisons"] == 3
    assert [found.responses.count() for found in Comparison.objects.all()] == [2, 2, 2]
    told = Judgement.objects.values_list("rankings", flat=True)
    texts = {str(pk): text for pk, text in Response.objects.values_list("pk", "text")}
    found = {tuple(texts[pk] for pk in sorted(ranks, key=ranks.get)) for each in told for ranks in each.values()}
    assert found == set(beats)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\rows.jsonl", "rows.jsonl"),
        ("a\x00b\n.jsonl", "ab.jsonl"),
        ("", "file"),
        ("..", ".."),
        ("中文.jsonl", "中文.jsonl"),
        ("x" * 900, "x" * 200),
        ("<script>.jsonl", "<script>.jsonl"),
    ],
)
def test_a_hostile_name_is_only_words(project, admin, given, kept):
    assert clean_name(given) == kept
    upload = import_upload(project=project, file=ContentFile(PROMPTS), filename=given, user=admin)
    assert upload.upload.startswith("imports/") and len(upload.upload) == len("imports/") + 32
    import_start(upload=upload, user=admin, at_once=True)
    assert set(Prompt.objects.values_list("source", flat=True)) == {kept[:120]}


def test_formulas_are_texts_here_and_harmless_in_the_report(project, admin):
    data = b"prompt,tags\n=1+1,x\n@SUM(A1),y\n"
    assert take(project, data=data)["new"]["prompts"] == 2
    assert set(Prompt.objects.values_list("messages__0__content", flat=True)) == {"=1+1", "@SUM(A1)"}
    wrong = b"prompt,tags\n=1+1,x\n,=cmd|'/c calc'!A1\n"
    upload = import_upload(project=project, file=ContentFile(wrong), filename="f.csv", user=admin)
    with pytest.raises(NotImported):
        import_start(upload=upload, user=admin, at_once=True)
    upload.refresh_from_db()
    with storages["uploads"].open(upload.complaints) as file:
        lines = file.read().decode().splitlines()
    assert lines[0] == "what,number,verdict,reason"
    assert not any(cell[:1] in "=+@-" for line in lines[1:] for cell in line.split(","))


def test_all_complaints_are_kept_though_only_the_first_are_shown(project, admin):
    data = PROMPTS + b"{\n" * 500
    upload = import_upload(project=project, file=ContentFile(data), filename="f.jsonl", user=admin)
    with pytest.raises(NotImported) as error:
        import_start(upload=upload, user=admin, at_once=True)
    assert error.value.message_dict["file"][-1] == "And 480 more. Nothing was imported."
    upload.refresh_from_db()
    assert (upload.state, upload.report["error_count"], len(upload.report["errors"])) == ("refused", 500, 100)
    with storages["uploads"].open(upload.complaints) as file:
        assert len(file.read().splitlines()) == 501
    assert nothing_is_stored()


def test_a_refused_file_may_be_read_another_way(project, admin):
    upload = import_upload(project=project, file=ContentFile(PROMPTS + b"{\n"), filename="f.jsonl", user=admin)
    with pytest.raises(NotImported):
        import_start(upload=upload, user=admin, at_once=True)
    import_configure(upload=upload, settings={"format": "prompts", "good_rows": True})
    done = import_start(upload=upload, user=admin, at_once=True)
    assert (done.state, done.report["new"]["prompts"], done.report["error_count"]) == ("done", 30, 1)
    assert done.upload == "" and import_perform(upload=done, user=admin).state == "done"


def test_a_column_that_the_file_lacks_cannot_be_mapped(project, admin):
    upload = import_upload(project=project, file=ContentFile(jsonl(PAIR)), filename="f.jsonl", user=admin)
    with pytest.raises(ValidationError, match="The file has no column “nowhere”"):
        import_configure(upload=upload, settings={"format": "hh", "mapping": {"chosen": "nowhere"}})
    with pytest.raises(ValidationError, match="has no column wings"):
        import_configure(upload=upload, settings={"format": "hh", "mapping": {"wings": "chosen"}})


def test_a_look_at_an_endless_file_ends(project, admin, monkeypatch):
    """A look takes so many complaints and records, whatever comes after them."""
    data = jsonl(*({"question": n} for n in range(5000)))
    upload = import_upload(
        project=project, file=ContentFile(data), filename="f.jsonl", user=admin, settings={"format": "prompts"}
    )
    seen = import_seen(upload)
    assert (seen["error_count"], seen["whole"], len(seen["errors"])) == (1000, False, 100)
    many = jsonl(*({"prompt": f"{n}"} for n in range(5000)))
    upload = import_upload(project=project, file=ContentFile(many), filename="f.jsonl", user=admin)
    assert (import_seen(upload)["records"], import_seen(upload)["whole"]) == (1000, False)
    monkeypatch.setattr("annotate.importing.preview.PATIENCE", -1.0)
    assert "too long to look at" in import_seen(upload)["errors"][0]["reason"]


def test_an_upload_over_the_limit_is_refused_by_name(project, admin, monkeypatch):
    monkeypatch.setattr("annotate.importing.services.LARGEST", 100)
    with pytest.raises(ValidationError, match="larger than 100 bytes.*import_dataset"):
        import_upload(project=project, file=ContentFile(PROMPTS), filename="f", user=admin)
    assert not Import.objects.exists()


def test_dataset_info_says_how_a_file_is_read(project, admin):
    row = {"from_user": "Why?", "better": "a", "worse": "b"}
    columns = {"prompt": "from_user", "chosen": "better", "rejected": "worse"}
    info = {"mine": {"file_name": "mine.jsonl", "ranking": True, "columns": columns}}

    def upload(name: str) -> Import:
        second = ContentFile(json.dumps(info).encode())
        return import_upload(
            project=project, file=ContentFile(jsonl(row)), filename=name, user=admin, companion=second,
            companion_filename="dataset_info.json",
        )  # fmt: skip

    found = upload("mine.jsonl")
    assert found.format == "alpaca-preference" and found.settings["mapping"]["instruction"] == "from_user"
    assert import_start(upload=found, user=admin, at_once=True).report["new"]["comparisons"] == 1
    info["other"] = {"file_name": "other.jsonl"}
    with pytest.raises(ValidationError, match="says nothing of “third.jsonl”"):
        upload("third.jsonl")
