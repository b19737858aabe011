"""Reading strangers' files: every complaint has a line number and a reason."""

from __future__ import annotations

import gzip
import io
import json

import pytest

from annotate.formats.jsonl import Findings, read_objects
from annotate.formats.prompts import read_prompts
from annotate.formats.rankings import read_hh, read_oasst
from tests.annotate.conftest import jsonl

GOOD = {"prompt": "Why is the sky blue?"}


def read(data: bytes, reader=read_prompts):
    findings = Findings()
    return list(reader(io.BytesIO(data), findings)), findings


def complaint(data: bytes) -> str:
    records, findings = read(data)
    assert findings.error_count, records
    return str(findings.errors[0])


def test_a_prompt_may_be_a_text_or_messages():
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
    records, findings = read(jsonl(GOOD, {"prompt": messages}, {"messages": messages[1:], "tags": ["a", "a "]}))
    assert [record.messages for record in records] == [
        [{"role": "user", "content": "Why is the sky blue?"}],
        messages,
        messages[1:],
    ]
    assert records[2].tags == ["a"]
    assert not findings.error_count


def test_unknown_keys_are_kept_as_metadata():
    [record], _ = read(jsonl({**GOOD, "id": 7, "metadata": {"from": "mail"}}))
    assert record.metadata == {"id": 7, "from": "mail"}


def test_a_repeated_prompt_is_skipped_and_said_so():
    records, findings = read(
        jsonl(GOOD, {"prompt": "Other"}, {"messages": [{"role": "user", "content": GOOD["prompt"]}]})
    )
    assert [record.line for record in records] == [1, 2]
    assert [str(problem) for problem in findings.skipped] == ["Line 3: The same prompt as in line 1."]


def test_byte_order_mark_blank_lines_and_gzip_are_read():
    data = b"\xef\xbb\xbf" + jsonl(GOOD) + b"\r\n\n" + jsonl({"prompt": "Two"})
    for given in (data, gzip.compress(data)):
        records, findings = read(given)
        assert [record.line for record in records] == [1, 4]
        assert not findings.error_count


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"prompt": "x"', "Line 2: Not valid JSON: "),
        (b'{"prompt": "x", "prompt": "y"}', "Line 2: The key “prompt” appears twice"),
        (b'{"prompt": "x", "metadata": {"a": NaN}}', "Line 2: NaN is not valid JSON."),
        (b'{"prompt": "x", "metadata": {"a": 1e999}}', "Line 2: The number 1e999 is too large."),
        (b'{"prompt": "caf\xe9"}', "Line 2: Byte 16 (0xe9) is not UTF-8."),
        (b'{"prompt": "a\\u0000b"}', "Line 2: It contains the character NUL"),
        (b'{"prompt": "\\ud800"}', "Line 2: It contains half a character"),
        (b'"prompt"', "Line 2: Expected an object in braces, found text."),
        (b'[{"prompt": "x"}]', "Line 2: This is a JSON array."),
        (b'{"question": "x"}', "Line 2: It has neither prompt nor messages. Its keys are: “question”."),
        (b'{"prompt": "x", "messages": []}', "Line 2: It has both prompt and messages"),
        (b'{"prompt": ""}', "Line 2: Message 1 is empty."),
        (b'{"prompt": 3}', "Line 2: Expected a list of messages, found a number."),
        (b'{"messages": []}', "Line 2: The conversation has no messages."),
        (b'{"messages": [{"role": "human", "content": "x"}]}', "Line 2: Message 1 has the role “human”"),
        (
            b'{"messages": [{"role": "assistant", "content": "x"}]}',
            "Line 2: The conversation must begin with the user.",
        ),
        (
            b'{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}',
            "Line 2: The last message must be the user's",
        ),
        (b'{"prompt": "x", "tags": "code"}', "Line 2: tags must be a list of texts"),
        (b'{"prompt": "x", "language": "' + b"e" * 20 + b'"}', "Line 2: language is longer than 16"),
        (b"[" * 100_000, "Line 2: "),
    ],
)
def test_a_wrong_line_is_named_with_its_reason(line, reason):
    assert complaint(jsonl(GOOD) + line + b"\n").startswith(reason)


def test_every_wrong_line_is_found_in_one_look():
    _, findings = read(b"{\n" + jsonl(GOOD) + b"nope\n")
    assert [problem.line for problem in findings.errors] == [1, 3]


def test_a_json_array_is_complained_of_once():
    text = json.dumps([GOOD, GOOD, GOOD], indent=1).encode()
    _, findings = read(text)
    assert [str(problem) for problem in findings.errors] == [
        "Line 1: This is a JSON array. Write one object a line, without brackets and commas."
    ]


def test_an_empty_file_and_utf16_are_named():
    assert complaint(b"") == complaint(b"\n \n") == "Line 1: The file is empty."
    assert complaint(json.dumps(GOOD).encode("utf-16")) == "Line 1: The file is UTF-16. Save it as UTF-8."


def test_a_huge_line_is_refused_without_being_read_whole():
    findings = Findings()
    data = b'{"prompt": "' + b"x" * 5000 + b'"}\n' + jsonl(GOOD)
    lines = list(read_objects(io.BytesIO(data), findings, max_line=1024 * 1024 // 512))
    assert [number for number, _ in lines] == [2]
    assert findings.errors[0].line == 1


def test_a_torn_gzip_is_an_error():
    assert "damaged" in complaint(gzip.compress(jsonl(*[{"prompt": f"{i} {i * i}"} for i in range(3000)]))[:-2000])


# published rankings -------------------------------------------------------------------------------------------------


def test_hh_pairs_share_their_prompt():
    start = "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: A joke?\n\nAssistant:"
    [record], findings = read(jsonl({"chosen": start + " Sure.", "rejected": start + " No."}), read_hh)
    assert [turn["role"] for turn in record.messages] == ["user", "assistant", "user"]
    assert [(r.text, r.rank) for r in record.responses] == [("Sure.", 1), ("No.", 2)]
    assert not findings.skipped_count


def test_hh_pairs_that_are_none_are_skipped_and_malformed_ones_refused():
    one, two = "\n\nHuman: Hi\n\nAssistant:", "\n\nHuman: Ho\n\nAssistant:"
    rows = [
        {"chosen": one + " a", "rejected": two + " b"},
        {"chosen": one + " a", "rejected": one + " a"},
        {"chosen": one + " a", "rejected": one + "  "},
        {"chosen": one + " a"},
        {"chosen": "a", "rejected": "b"},
    ]
    records, findings = read(jsonl(*rows), read_hh)
    assert records == []
    assert [problem.line for problem in findings.skipped] == [1, 2, 3]
    assert [problem.line for problem in findings.errors] == [4, 5]


def test_oasst_ranks_become_dense_and_an_unranked_reply_stays_unranked():
    def reply(text, rank, **more):
        return {"text": text, "role": "assistant", "rank": rank, "replies": [], **more}

    replies = [reply("b", 4), reply("a", 0), reply("c", None), reply("gone", 2, deleted=True)]
    tree = {"prompt": {"text": "Hi", "role": "prompter", "lang": "en", "replies": replies}}
    [record], _ = read(jsonl(tree), read_oasst)
    assert [(r.text, r.rank) for r in record.responses] == [("b", 2), ("a", 1), ("c", None)]
    assert record.language == "en"


def test_real_files_are_read_whole(data_folder):
    hh, findings = read((data_folder / "hh_rlhf_harmless_test/test.jsonl.gz").read_bytes(), read_hh)
    assert (len(hh), findings.skipped_count, findings.error_count) == (2303, 9, 0)
    trees, findings = read((data_folder / "oasst_en100/en_100_tree.jsonl").read_bytes(), read_oasst)
    assert (len(trees), findings.error_count) == (212, 0)
    assert {len(record.responses) for record in trees} == {2, 3, 4, 5, 6, 8, 9}
