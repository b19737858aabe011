"""What each format's rows become: recognised by their keys, read into one record, complained of by row."""

from __future__ import annotations

import json

import pytest

from annotate.formats.jsonl import Findings
from annotate.formats.readers.chat import llamafactory_entry
from annotate.formats.reading import FORMATS_IN, look, read_records, recognise
from annotate.formats.records import (
    Pair,
    Record,
    Response,
    comparisons,
    dense,
    ranks_of_scores,
    weak_order,
)
from tests.annotate.formats.conftest import complaints, example, one, read
from tests.annotate.formats.examples import ASK, EXAMPLES, A, B, Q, jsonl

# recognition --------------------------------------------------------------------------------------------------------


def test_every_format_has_an_example():
    assert set(EXAMPLES) == set(FORMATS_IN)


@pytest.mark.parametrize("format", EXAMPLES)
def test_each_format_is_recognised_by_its_rows(format):
    found = recognise(EXAMPLES[format])
    assert found[0].format == format, found
    assert found[0].why
    assert len(found) == 1 or found[1].confidence < found[0].confidence


@pytest.mark.parametrize("format", EXAMPLES)
def test_each_example_is_read_and_its_chinese_survives(format):
    records = example(format)
    assert {record.kind for record in records} <= {FORMATS_IN[format].kind, "unpaired", "responses", "ranking", "pair"}
    said = json.dumps(
        [[turn["content"] for turn in record.prompt] + [r.text for r in record.responses] for record in records],
        ensure_ascii=False,
    )
    assert (Q in said or format.startswith(("llmfao", "ukp"))) and (A in said or FORMATS_IN[format].kind == "prompt")
    assert all(record.line >= 1 for record in records)


def test_rows_without_a_format_are_not_recognised():
    assert recognise([{"a": 1}, {"b": 2}]) == []
    assert recognise([]) == []


def test_a_mixed_sample_lowers_the_confidence():
    rows = EXAMPLES["alpaca"] * 3 + EXAMPLES["hh"]
    [found] = recognise(rows)
    assert (found.format, found.confidence) == ("alpaca", pytest.approx(0.75 * 0.85, abs=1e-3))


def test_a_look_names_container_columns_and_formats(tmp_path):
    import io

    found = look(io.BytesIO(jsonl(EXAMPLES["alpaca"] * 50)))
    assert (found.container, found.columns) == ("JSON Lines", ("instruction", "input", "output"))
    assert (found.formats[0].format, len(found.rows)) == ("alpaca", 20)
    mapped = look(
        io.BytesIO(jsonl([{"q": Q, "good": A, "bad": B}])), mapping={"prompt": "q", "chosen": "good", "rejected": "bad"}
    )
    assert mapped.formats[0].format == "trl-preference"


def test_columns_are_mapped_also_from_inside_objects():
    row = {"meta": {"q": Q}, "a.b": A, "bad": B, "prompt": "something else"}
    mapping = {"prompt": "meta.q", "chosen": "a.b", "rejected": "bad"}
    record = one("trl-preference", row, mapping=mapping)
    assert [record.prompt[0]["content"], *(r.text for r in record.responses)] == [Q, A, B]
    assert record.metadata == {"meta": {"q": Q}}


def test_an_unknown_format_is_named():
    assert complaints(jsonl(EXAMPLES["hh"]), "nope") == ["Line 1: “nope” is not a known format."]


# orders -------------------------------------------------------------------------------------------------------------


def test_scores_become_dense_ranks_the_highest_first():
    assert ranks_of_scores([7, 9, None, 7]) == (2, 1, None, 2)
    assert dense([0, 4, None, 4]) == (1, 2, None, 2)
    with pytest.raises(ValueError):
        ranks_of_scores([1.0, float("nan")])


def test_a_weak_order_is_found_if_there_is_one():
    assert weak_order(3, {(0, 1): 1, (0, 2): 0, (1, 2): -1}) == (1, 2, 1)
    assert weak_order(3, {(0, 1): 1, (1, 2): 1, (0, 2): -1}) is None
    assert weak_order(3, {(0, 1): 0, (1, 2): 0, (0, 2): 1}) is None
    assert weak_order(3, {(0, 1): 1}) is None


def test_pairs_of_many_responses_become_comparisons_of_two():
    pairs = (Pair(0, 1, margin=2), Pair(1, 2), Pair(2, 0), Pair(1, 0, annotator="b"), Pair(0, 1, preference=0.5))
    record = Record("pair", 1, ASK, tuple(map(Response, "abc")), pairs=pairs)
    split = list(comparisons(record))
    assert [[r.text for r in item.responses] for item in split] == [["a", "b"], ["b", "c"], ["a", "c"]]
    assert [ranking.ranks for ranking in split[0].rankings] == [(1, 2), (2, 1), (1, 1)]
    assert split[0].rankings[0].strengths == (2, None)
    assert split[2].rankings[0].ranks == (2, 1)


def test_a_soft_pair_keeps_its_better_side():
    record = Record("pair", 1, ASK, (Response("a"), Response("b")), pairs=(Pair(0, 1, preference=0.2),))
    assert next(comparisons(record)).rankings[0].ranks == (2, 1)


# trainers' formats --------------------------------------------------------------------------------------------------


def test_trl_preferences_may_hold_their_prompt_inside():
    plain, talk, inside = example("trl-preference")
    assert plain.prompt == talk.prompt == inside.prompt == ASK
    assert [r.text for r in inside.responses] == [A, B]
    assert (plain.pairs[0].margin, talk.pairs[0].margin) == (0, 2)


def test_implicit_plain_preferences_are_cut_where_they_part():
    [record] = example("trl-implicit")
    assert record.prompt[0]["content"].startswith(Q)
    assert [r.text for r in record.responses] == [A, B]


def test_completions_that_part_too_early_are_passed_over():
    other = [{"role": "user", "content": "Other?"}, {"role": "assistant", "content": "x"}]
    _, findings = read(jsonl([{"chosen": [*ASK, {"role": "assistant", "content": A}], "rejected": other}]))
    assert "do not answer the same prompt" in findings.skipped[0].reason


def test_unpaired_and_demonstrations_keep_label_and_text():
    desirable, undesirable = example("trl-unpaired")
    assert (desirable.kind, desirable.responses[0].label, undesirable.responses[0].label) == ("unpaired", True, False)
    assert [record.responses[0].label for record in example("trl-completion")] == [None, None]
    record = one("openai", {"messages": [*ASK, {"role": "assistant", "content": A}], "label": "no"})
    assert (record.kind, record.responses[0].label) == ("unpaired", False)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([{"type": "text", "text": "a"}, {"type": "image_url"}], "only text is supported"),
        (None, "has no content"),
        (3, "content must be text, found a number"),
    ],
)
def test_messages_that_are_not_text_are_named(content, reason):
    turns = [{"role": "user", "content": content}, {"role": "assistant", "content": "b"}]
    _, findings = read(jsonl([{"messages": turns}]), "openai")
    assert reason in str([*findings.errors, *findings.skipped][0])


def test_a_message_in_parts_is_joined_and_tools_are_passed_over():
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    record = one("openai", {"messages": [{"role": "user", "content": parts}, {"role": "assistant", "content": "c"}]})
    assert record.prompt == [{"role": "user", "content": "a\nb"}]
    _, findings = read(jsonl([{"messages": [*ASK, {"role": "tool", "content": "x"}]}]), "openai")
    assert "a tool's" in findings.skipped[0].reason


def test_alpaca_has_system_history_and_a_ranking():
    row = {"instruction": "I", "input": "i", "output": "o", "system": "s", "history": [["a", "b"]]}
    assert [turn["content"] for turn in one("alpaca", row).prompt] == ["s", "a", "b", "I\ni"]
    [ranking] = example("alpaca-ranking")
    assert ranking.rankings[0].ranks == (1, 2, 3)
    assert complaints(jsonl([{**row, "history": ["a"]}]), "alpaca") == [
        "Line 1: history must be a list of [instruction, response]."
    ]


def test_dataset_info_maps_columns_and_roles():
    info = {
        "feedback": {
            "file_name": "f.json",
            "formatting": "sharegpt",
            "columns": {"messages": "talk", "kto_tag": "good"},
            "tags": {"role_tag": "who", "content_tag": "said", "user_tag": "U", "assistant_tag": "M"},
        },
        "dpo": {"file_name": "d.json", "ranking": True, "columns": {"prompt": "q", "chosen": "c", "rejected": "r"}},
        "rm": {"file_name": "r.json", "ranking": True, "columns": {"prompt": "q", "response": "list"}},
    }
    key, mapping, tags = llamafactory_entry(info, "feedback")
    row = {"talk": [{"who": "U", "said": Q}, {"who": "M", "said": A}], "good": True}
    record = one(key, row, mapping=mapping, tags=tags)
    assert (record.kind, record.prompt, record.responses[0].text) == ("unpaired", ASK, A)
    key, mapping, tags = llamafactory_entry(info, "dpo")
    record = one(key, {"q": Q, "c": A, "r": B}, mapping=mapping, tags=tags)
    assert (key, record.prompt) == ("alpaca-preference", ASK)
    key, mapping, tags = llamafactory_entry(info, "rm")
    assert one(key, {"q": Q, "list": [A, B]}, mapping=mapping).rankings[0].ranks == (1, 2)
    with pytest.raises(ValueError, match="no entry “x”"):
        llamafactory_entry(info, "x")


# content ------------------------------------------------------------------------------------------------------------


def test_empty_responses_are_passed_over_or_kept_by_choice():
    row = {"prompt": Q, "chosen": A, "rejected": " "}
    _, findings = read(jsonl([row]))
    assert str(findings.skipped[0]) == "Line 1: Response 2 is empty."
    assert one("trl-preference", row, keep_empty=True).responses[1].text == " "


def test_responses_too_many_to_compare_are_refused():
    many = [f"r{n}" for n in range(65)]
    for row in ({"prompt": Q, "responses": many}, {"instruction": Q, "output": many}):
        assert complaints(jsonl([row])) == ["Line 1: It has 65 responses; at most 64 can be compared."]


@pytest.mark.parametrize(
    ("ranks", "reason"),
    [
        ([1], "There are 1 ranks for 2 responses."),
        ([1, "x"], "A rank must be a whole number or null, found x."),
        ([1, 1.5], "A rank must be a whole number or null, found 1.5."),
        ([1, True], "A rank must be a whole number or null, found True."),
        ({"a": 1}, "ranks must be a list, found an object."),
    ],
)
def test_ranks_that_rank_nothing_are_named(ranks, reason):
    assert complaints(jsonl([{"prompt": Q, "responses": [A, B], "ranks": ranks}])) == [f"Line 1: {reason}"]


def test_formula_cells_are_texts():
    data = 'prompt,chosen,rejected\n=HYPERLINK("http://x"),+1,-1\n'.replace('"', "").encode()
    [record], _ = read(data)
    assert [record.prompt[0]["content"], *(r.text for r in record.responses)] == ["=HYPERLINK(http://x)", "+1", "-1"]


def test_reading_is_a_stream():
    class Counting:
        def __init__(self) -> None:
            self.given = 0

        def read(self, size: int) -> bytes:
            self.given += 1
            return (jsonl(EXAMPLES["hh"]) * 9999)[:size]

    source = Counting()
    records = read_records(source, Findings(), format="hh")  # type: ignore[arg-type]
    assert next(records).kind == "pair"
    assert source.given < 100
