"""Files of strangers: what they are is told from their bytes, every complaint has a place, nothing exhausts memory."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
import textwrap
import zipfile

import pytest
import zstandard

from annotate.formats import binary
from annotate.formats.containers import detect, open_rows
from annotate.formats.jsonl import Findings, Refused
from annotate.formats.limits import MAX_LINE
from annotate.formats.tables import sniff
from config.env import BASE_DIR
from tests.annotate.formats.conftest import complaints, read
from tests.annotate.formats.examples import jsonl

ROWS = [{"prompt": f"问题 {n}", "chosen": f"答案, {n}", "rejected": f'"坏" {n}\n'} for n in range(30)]


def parquet(rows: list[dict]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file.getvalue()


def csv_of(rows: list[dict], delimiter: str = ",") -> bytes:
    import csv

    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def xlsx(rows: list[dict]) -> bytes:
    import openpyxl

    book = openpyxl.Workbook()
    book.active.append(list(rows[0]))
    for row in rows:
        book.active.append(list(row.values()))
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


PLAIN = {
    "jsonl": jsonl(ROWS),
    "jsonl with BOM and Windows lines": b"\xef\xbb\xbf" + jsonl(ROWS).replace(b"\n", b"\r\n"),
    "json": json.dumps(ROWS, ensure_ascii=False).encode(),
    "json, indented, with BOM": b"\xef\xbb\xbf" + json.dumps(ROWS, indent=2).encode(),
    "json, objects over many lines": "\n".join(json.dumps(row, indent=1, ensure_ascii=False) for row in ROWS).encode(),
    "json, columns": json.dumps({key: [row[key] for row in ROWS] for key in ROWS[0]}).encode(),
    "json, list under a key": json.dumps({"version": 2, "data": ROWS}).encode(),
    "csv": csv_of(ROWS),
    "csv with semicolons and BOM": b"\xef\xbb\xbf" + csv_of(ROWS, ";"),
    "csv with tabs": csv_of(ROWS, "\t"),
    "parquet": parquet(ROWS),
    "xlsx": xlsx(ROWS),
}
PACKINGS = {"plain": lambda data: data, "gzip": gzip.compress, "zstd": zstandard.compress}


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("kind", PLAIN)
def test_every_container_gives_the_same_rows(kind, packing):
    data = PACKINGS[packing](PLAIN[kind])
    findings = Findings()
    opened = open_rows(io.BytesIO(data), findings)
    rows = [row for _, row in opened.rows]
    assert opened.container == kind.split()[0].rstrip(",")
    assert rows == ROWS
    assert not findings.error_count
    records, findings = read(data)
    assert [record.responses[1].text for record in records] == [row["rejected"] for row in ROWS]


def test_a_stream_that_gives_little_at_a_time_is_read():
    class Slow(io.RawIOBase):
        def __init__(self, data: bytes) -> None:
            self.data = io.BytesIO(data)

        def read(self, size: int = -1) -> bytes:
            return self.data.read(min(size, 1))

    for kind in ("jsonl", "json", "json, columns"):
        findings = Findings()
        assert [row for _, row in open_rows(Slow(gzip.compress(PLAIN[kind])), findings).rows] == ROWS  # type: ignore[arg-type]


def test_values_across_chunks_are_whole(monkeypatch):
    from annotate.formats import json_values

    rows = [
        {"prompt": 'quote " backslash \\ bracket ] }' * 3, "n": n, "more": [[], {"a": "\\"}, None, -1.5]}
        for n in range(9)
    ]
    expected = list(rows)
    for data in (json.dumps(rows), json.dumps(rows, indent=3), "\n".join(map(json.dumps, rows))):
        for size in range(1, 40):
            monkeypatch.setattr(json_values, "CHUNK", size)
            findings = Findings()
            assert [row for _, row in json_values.read_values(io.BytesIO(data.encode()), findings)] == expected
            assert not findings.error_count


# complaints ---------------------------------------------------------------------------------------------------------

HOSTILE = {
    "empty": (b"", "Line 1: The file is empty."),
    "only space": (b" \n\n", "Line 1: The file is empty."),
    "empty gzip": (gzip.compress(b""), "Line 1: The file is empty."),
    "UTF-16": (json.dumps(ROWS).encode("utf-16"), "Line 1: The file is UTF-16. Save it as UTF-8."),
    "Latin-1": (b'{"prompt": "ok"}\n{"prompt": "caf\xe9"}\n', "Line 2: Byte 16 (0xe9) is not UTF-8."),
    "Latin-1 in CSV": (b"prompt,tags\nok,a\ncaf\xe9,b\n", "Line 3: The byte 0xe9 is not UTF-8."),
    "GB18030": ("prompt,tags\n问题,标签\n问,标\n".encode("gb18030"), "Line 2: The byte 0x"),
    "repeated key": (b'{"prompt": "a"}\n{"prompt": "x", "prompt": "y"}\n', "Line 2: The key “prompt” appears twice"),
    "repeated key, spaced": (
        b'{"prompt": "a"}\n{"prompt" \t: "x", "prompt": "y"}\n',
        "Line 2: The key “prompt” appears twice",
    ),
    "repeated key inside": (b'[{"prompt": "x", "metadata": {"a": 1, "a": 2}}]', "Record 1: The key “a” appears twice"),
    "repeated column": (b"prompt,tags,prompt\na,b,c\nd,e,f\n", "Line 1: The column “prompt” appears twice."),
    "NaN": (b'{"prompt": "a"}\n{"prompt": "x", "metadata": {"a": NaN}}\n', "Line 2: NaN is not valid JSON."),
    "NaN rank": (b'[{"prompt": "x", "responses": ["a", "b"], "ranks": [1, NaN]}]', "Record 1: NaN is not valid JSON."),
    "infinite": (b'[{"prompt": "x", "metadata": {"a": 1e999}}]', "Record 1: The number 1e999 is too large."),
    "half a character": (b'[{"prompt": "\\ud800"}]', "Record 1: It contains half a character"),
    "NUL": (b'[{"prompt": "a\\u0000"}]', "Record 1: It contains the character NUL"),
    "deep": (b'{"prompt": "a"}\n{"prompt": ' + b"[" * 5000 + b"]" * 5000 + b"}\n", "Line 2: The value is nested too"),
    "deep, with escapes": (
        b'[{"prompt": "a\\u0041", "m": ' + b"[" * 900 + b"]" * 900 + b"}]",
        "Record 1: The value is nested too deeply: at most 64",
    ),
    "not closed": (b'[{"prompt": "a"}, {"prompt": "b"', "Record 2: Not valid JSON: the file ends in the middle"),
    "no comma": (b'[{"prompt": "a"} {"prompt": "b"}]', "Record 2: Not valid JSON: “,” was expected, but “{”"),
    "trailing comma": (b'[{"prompt": "a"},]', "Record 2: Not valid JSON: a value was expected, but “]”"),
    "no object": (b'[{"prompt": "a"}, 3]', "Record 2: Expected an object in braces, found a number."),
    "wrong brackets": (b'[{"prompt": "a"]}, {"prompt": "b"}]', "Record 1: Not valid JSON"),
    "columns of different length": (
        json.dumps({"prompt": ["x" * 999] * 9000, "tags": ["y"] * 8999}).encode(),
        'Record 9000: The column "tags" is shorter than the others.',
    ),
    "torn gzip": (gzip.compress(jsonl(ROWS * 99))[:-30], "Line "),
    "torn zstd": (zstandard.compress(jsonl(ROWS * 99))[:-30], "Line "),
    "twice compressed": (gzip.compress(gzip.compress(jsonl(ROWS))), "Line 1: It is compressed twice."),
    "a bare ZIP": (b"PK\x03\x04" + b"x" * 100, "Line 1: It is a ZIP archive."),
    "torn parquet": (PLAIN["parquet"][:-200], "Row 1: The Parquet file cannot be read from here on"),
    "not parquet": (b"PAR1" + b"\x00" * 100 + b"PAR1", "Row 1: The Parquet file cannot be read from here on"),
    "torn spreadsheet": (PLAIN["xlsx"][:2000], "Row 2: The spreadsheet cannot be read from here on"),
    "binary": (b"\x89PNG\r\n\x00\x00", "Line 1: It is a binary file"),
    "too few cells": (b"prompt,tags\na,b\nc\nd,e\n", "Line 3: It has only 1 cells for 2 columns."),
    "too many cells": (b"prompt,tags\na,b\nc,d,e\nf,g\n", "Line 3: It has 3 cells for 2 columns."),
    "bad quotes": (b'prompt,tags\n"a"b,c\nd,e\n', "Line 2: Not valid CSV"),
    "column without a name": (b"prompt,,tags\na,b,c\nd,e,f\n", "Line 1: Column 2 has no name."),
    "many columns": (",".join(f"c{n}" for n in range(600)).encode() + b"\n" + b"," * 599 + b"\n", "Line 1: "),
    "many keys": (
        json.dumps({f"k{n}": n for n in range(600)}).encode() + b"\n",
        "Record 1: It has more than 512 keys.",
    ),
    "mixed schemas": (
        b'{"prompt": "a", "chosen": "b", "rejected": "c"}\n{"instruction": "a", "output": "b"}\n',
        "Line 2: It has no chosen. Its keys are: “instruction”, “output”.",
    ),
    "unknown": (b'{"a": 1}\n', "Line 1: No known format has its keys: “a”."),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_gets_a_sentence(kind):
    data, reason = HOSTILE[kind]
    said = complaints(data)
    if not said:  # only reached by reading on as a table
        said = complaints(data, "prompts")
    assert said and said[0].startswith(reason), said


def test_one_look_finds_everything_that_is_wrong():
    data = b'{"prompt": "a"}\nnope\n{"prompt": "b", "prompt": "c"}\n{"prompt": NaN}\n{"prompt": "d"}\n'
    records, findings = read(data, "prompts")
    assert [record.line for record in records] == [1, 5]
    assert [problem.line for problem in findings.errors] == [2, 3, 4]
    listed = b"[" + b",".join(line for line in data.splitlines() if line != b"nope") + b"]"
    records, findings = read(listed, "prompts")
    assert [record.line for record in records] == [1, 4]
    assert [str(problem)[:8] for problem in findings.errors] == ["Record 2", "Record 3"]


def test_the_line_of_a_csv_record_is_where_it_begins():
    records, findings = read(b'prompt,tags\n"two\nlines",a\n\nc\nd,e\n', "prompts")
    assert [record.line for record in records] == [2, 6]
    assert [problem.line for problem in findings.errors] == [5]


def test_a_long_line_is_passed_over_and_the_limit_named():
    long = b'{"prompt": "' + b"x" * (50 * 2**20) + b'"}'
    after = b'{"prompt": "after"}'
    for data in (long + b"\n" + after + b"\n", b"[" + long + b"," + after + b"]"):
        records, findings = read(data, "prompts")
        assert [record.line for record in records] == [2]
        assert "is longer than 8 MiB" in str(findings.errors[0])


def test_a_missing_quotation_mark_ends_a_table_with_a_reason():
    rest = b"a,b\n" * (MAX_LINE // 4 + 10)
    assert complaints(b'prompt,tags\nx,y\n"open,z\n' + rest, "prompts") == [
        "Line 3: The record is longer than 8 MiB, so what follows cannot be told apart: is a quotation mark missing?"
    ]


def test_columns_and_lists_larger_than_memory_allows_are_read_from_disk():
    many = [{"prompt": f"p{n}", "chosen": "x" * 500, "rejected": "y" * 500} for n in range(12_000)]
    columns = json.dumps({key: [row[key] for row in many] for key in many[0]}).encode()
    assert len(columns) > MAX_LINE
    for data in (columns, json.dumps({"meta": {"a": [1]}, "data": many}).encode()):
        records, findings = read(data)
        assert (len(records), findings.error_count) == (12_000, 0)
        assert records[-1].prompt[0]["content"] == "p11999"


def test_a_table_is_told_from_its_delimiter():
    assert [sniff(csv_of(ROWS, mark)) for mark in ",;\t|"] == list(",;\t|")
    assert sniff(b"just a sentence, and another\nwithout a table\n", whole=True) is None
    assert detect(b"prompt\nWhy?\nHow?\n") == "csv"


def test_a_sheet_without_cells_in_a_row_says_so():
    rows = [{"prompt": "a", "tags": "x"}, {"prompt": None, "tags": None}, {"prompt": "b", "tags": "y"}]
    records, findings = read(xlsx(rows), "prompts")
    assert [record.line for record in records] == [2, 4]
    assert [str(problem) for problem in findings.skipped] == ["Row 3: The row is empty."]


def test_a_parquet_of_odd_types_becomes_json():
    import datetime
    import decimal

    row = {
        "prompt": "a",
        "metadata": {"when": datetime.date(2024, 1, 2), "sum": decimal.Decimal("1.5"), "list": [1, None]},
        "picture": b"\x00\x01",
    }
    [record], _ = read(parquet([row]), "prompts")
    assert record.metadata == {"when": "2024-01-02", "sum": "1.5", "list": [1, None]}
    assert complaints(parquet([{"prompt": "a", "metadata": {"x": float("nan")}}]), "prompts") == [
        "Row 1: NaN is not valid JSON. Use null, or leave the key out."
    ]


@pytest.mark.parametrize("rows", [60, 60_000])
@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_what_stands_before_the_damage_is_read(packing, rows):
    data = PACKINGS[packing](jsonl([{"prompt": f"{n} {n * n}"} for n in range(rows)]))
    records, findings = read(data[: len(data) * 9 // 10], "prompts")
    [problem] = findings.errors
    assert "is damaged from here on" in problem.reason
    assert problem.line == len(records) + 1
    assert packing == "zstd" or len(records) > rows // 2


def test_a_table_whose_first_record_is_long_is_a_table():
    data = b"prompt,tags\n" + b"x" * 300_000 + b",a\nshort,b\n"
    records, findings = read(data, "prompts")
    assert ([record.tags for record in records], findings.error_count) == ([("a",), ("b",)], 0)


# bombs --------------------------------------------------------------------------------------------------------------


def test_a_file_that_swells_is_stopped_at_the_named_ratio():
    line = b'{"prompt": "' + b"x" * 2000 + b'"}\n'
    for pack in (gzip.compress, zstandard.compress):
        said = complaints(pack(line * 50_000), "prompts")
        assert any("The compressed file becomes more than 400 times its size" in reason for reason in said), said


def test_a_parquet_that_needs_much_memory_hurts_only_its_reader(monkeypatch):
    monkeypatch.setattr(binary, "CHILD_MEMORY", 2**20)
    data = parquet([{"prompt": "x" * (200 * 2**20)}])
    findings = Findings()
    assert list(binary.read_binary(io.BytesIO(data), findings, "parquet", memory=250 * 2**20)) == []
    assert "needs more than 250 MiB of memory" in str(findings.errors[0])


def test_a_spreadsheet_that_unpacks_to_much_is_refused():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "")
        with archive.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as sheet:
            for _ in range(300):
                sheet.write(b"0" * 2**20)
    assert "Unpacked, the spreadsheet is larger than 256 MiB" in complaints(file.getvalue())[0]


def test_a_reader_that_is_left_early_leaves_no_process():
    findings = Findings()
    rows = binary.read_binary(io.BytesIO(PLAIN["parquet"]), findings, "parquet")
    assert next(rows)[0] == 1
    rows.close()  # type: ignore[attr-defined]
    assert not findings.error_count


@pytest.mark.slow
def test_hostile_files_are_read_in_little_memory():
    """Under a limit of 300 MiB for everything, Python included."""
    script = textwrap.dedent(
        """
        import io, gzip, resource, zstandard
        resource.setrlimit(resource.RLIMIT_DATA, (300 * 2**20,) * 2)
        from annotate.formats.jsonl import Findings
        from annotate.formats.reading import read_records

        class Endless:
            def __init__(self, start, middle, size):
                self.left, self.start, self.middle = size, start, middle
            def read(self, size=-1):
                if self.start:
                    data, self.start = self.start[:size], self.start[size:]
                    return data
                if self.left <= 0:
                    return b""
                self.left -= size
                return self.middle[:size]

        for start, middle in (
            (b'{"prompt": "', b"x" * 2**16),
            (b'[{"prompt": "', b"\\\\\\\\" * 2**15),
            (b"[", b"[" * 2**16),
            (b'{"a": [', b"1," * 2**15),
            (b'prompt,tags\\n"', b"x,y\\n" * 2**14),
            (b"prompt,tags\\n", b"," * 2**16),
            (zstandard.compress(b"0" * 2**27), b""),
            (b'{"prompt": "a", "m": [' + b"[]," * (2**20) + b"1]}", b""),
        ):
            findings = Findings()
            for _ in read_records(Endless(start, middle, 400 * 2**20), findings, format="prompts"):
                pass
            print(findings.errors[0] if findings.errors else "read")
        """
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=BASE_DIR, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(done.stdout.splitlines()) == 8
    assert "Memory" not in done.stdout


def test_a_refusal_is_raised_for_what_is_no_data():
    with pytest.raises(Refused, match="PDF"):
        detect(b"%PDF-1.7")
