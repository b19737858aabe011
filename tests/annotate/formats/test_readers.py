"""What each format's rows become: recognised by their keys, read into one record, complained of by row."""

from __future__ import annotations

import ast
import json

import pytest

from annotate.formats.jsonl import Findings
from annotate.formats.readers.chat import llamafactory_entry
from annotate.formats.readers.votes import parse_repr
from annotate.formats.reading import FORMATS_IN, look, read_records, recognise
from annotate.formats.records import (
    Pair,
    Ranking,
    Rating,
    Record,
    Response,
    comparisons,
    dense,
    ranks_of_scores,
    weak_order,
)
from tests.annotate.formats.conftest import complaints, read
from tests.annotate.formats.examples import ASK, COMPANIONS, EXAMPLES, A, B, Q, jsonl


def one(format: str, *rows: dict, **options: object) -> Record:
    records, findings = read(jsonl(list(rows)), format, **options)
    assert not findings.error_count, findings.errors
    assert len(records) == 1, findings.skipped
    return records[0]


def example(format: str) -> list[Record]:
    companion = COMPANIONS.get(format)
    options = {"companion": jsonl(companion)} if companion else {}
    records, findings = read(jsonl(EXAMPLES[format]), format, **options)
    assert not findings.error_count, findings.errors
    assert not findings.skipped_count, findings.skipped
    return records


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


# published data -----------------------------------------------------------------------------------------------------


def test_ratings_become_a_ranking_for_each_dimension():
    [record] = example("ultrafeedback")
    assert record.ratings == (Rating((5.0, 2.0), "helpfulness"), Rating((8.5, 8.5), "overall"))
    assert record.rankings == (Ranking((1, 2), "helpfulness"), Ranking((1, 1), "overall"))
    [record] = example("helpsteer")
    assert {ranking.dimension: ranking.ranks for ranking in record.rankings} == {
        "helpfulness": (1, 2),
        "correctness": (1, 1),
        "coherence": (1, 1),
        "complexity": (1, 1),
        "verbosity": (1, 2),
    }


def test_a_single_rated_response_has_no_ranking():
    record = one("helpsteer", EXAMPLES["helpsteer"][0])
    assert (record.kind, record.rankings, len(record.ratings)) == ("responses", (), 5)


def test_helpsteer_preferences_have_strengths_and_judges():
    [record] = example("helpsteer2-preference")
    assert [turn["role"] for turn in record.prompt] == ["user", "assistant", "user"]
    assert record.pairs == (Pair(0, 1, "helpfulness", margin=2),)
    [record] = example("helpsteer3")
    assert [(p.chosen, p.preference, p.margin, p.annotator) for p in record.pairs] == [
        (1, 1.0, 3, "1"),
        (0, 0.5, 0, "2"),
        (0, 1.0, 1, "3"),
    ]


def test_cyclic_preferences_stay_pairs():
    _, cycle = example("finegrained")
    assert (cycle.kind, cycle.rankings, len(cycle.pairs)) == ("pair", (), 6)
    assert len(list(comparisons(cycle))) == 6


def test_the_two_shapes_of_open_assistant_are_the_same():
    [tree], [flat] = example("oasst"), example("oasst-messages")
    assert tree.rankings == flat.rankings == (Ranking((2, 1), "helpfulness"),)
    assert (tree.prompt, tree.responses, tree.language) == (flat.prompt, flat.responses, "zh")


def test_a_tree_whose_parents_go_round_is_read_once():
    rows = [{**row, "parent_id": "m1"} if row["message_id"] == "m0" else row for row in EXAMPLES["oasst-messages"]]
    records, findings = read(jsonl(rows), "oasst-messages")
    assert records == [] and findings.error_count == 0


# votes --------------------------------------------------------------------------------------------------------------


def test_votes_on_one_pair_are_one_record_with_each_judge():
    [record] = example("llmfao")
    assert [(p.annotator, p.chosen, p.preference) for p in record.pairs] == [
        ("1", 0, 1.0),
        ("2", 0, 0.5),
        ("3", 1, 1.0),
    ]
    assert [r.generator for r in record.responses] == ["L", "R"]
    [record] = example("ukp")
    assert (record.pairs[0].chosen, record.pairs[0].rationale, record.pairs[0].dimension) == (
        1,
        "clear",
        "convincingness",
    )


def test_the_second_turn_is_about_the_whole_chat():
    first, second = example("mt-bench")
    assert (first.prompt, [r.text for r in first.responses], len(first.pairs)) == (ASK, [A, B], 2)
    assert second.responses[0].text == f"{A}\n\nUser: {Q}\n\nAssistant: {A}"
    assert second.tags == ("mt-bench", "turn-2")


def test_a_chat_written_as_python_is_matched_not_run():
    chat = [('It\'s "so"\n', "user"), ("a', 'user') b", "assistant"), ("", "user")]
    found = parse_repr(repr(chat).replace(", '", ",'"))
    assert (found[0]["content"], found[0]["role"]) == chat[0]
    with pytest.raises(ValueError):
        parse_repr("__import__('os').system('true')")


def test_a_vote_without_its_text_is_passed_over_and_a_wrong_one_named_by_row():
    data = jsonl(EXAMPLES["llmfao"])
    _, findings = read(data, "llmfao")
    assert [problem.line for problem in findings.skipped] == [1, 2, 3]
    rows = [*EXAMPLES["llmfao"][:2], {**EXAMPLES["llmfao"][2], "winner": "both"}]
    _, findings = read(jsonl(rows), "llmfao", companion=jsonl(COMPANIONS["llmfao"]))
    assert [str(problem) for problem in findings.errors] == [
        "Line 3: winner is “both”; expected one of: left, right, tie."
    ]


def test_complaints_of_the_companion_say_so():
    companion = b'{"id": 0, "id": 1}\n' + jsonl(COMPANIONS["llmfao"])
    said = complaints(jsonl(EXAMPLES["llmfao"]), "llmfao", companion=companion)
    assert said == ["Line 1: (companion file) The key “id” appears twice in one object."]
    assert complaints(jsonl(EXAMPLES["hh"]), "hh", companion=companion) == [
        "Line 1: The format Anthropic HH has no companion file."
    ]


def test_responses_that_became_true_are_texts_again():
    [record] = example("pandalm")
    assert record.responses[1].text == "True"
    assert [(p.annotator, p.chosen, p.preference) for p in record.pairs] == [
        ("annotator1", 0, 1.0),
        ("annotator2", 0, 0.5),
        ("annotator3", 1, 1.0),
    ]


def test_strength_and_acceptability_are_kept():
    [record] = example("tulu")
    assert record.pairs == (Pair(0, 1, "helpfulness", "yo", margin=1.0),)
    assert record.ratings == (Rating((1.0, 0.0), "acceptable", "yo"),)


def test_predictions_are_named_by_their_file():
    record = one(
        "self-instruct-predictions", *EXAMPLES["self-instruct-predictions"], filename="../../x/m-1_predictions.jsonl"
    )
    assert record.responses[0].generator == "m-1"


# platforms ----------------------------------------------------------------------------------------------------------


def test_label_studio_pairs_and_rankers_are_read():
    pair, ranker = example("label-studio")
    assert (pair.pairs[0].chosen, pair.pairs[0].annotator) == (0, "5")
    assert [(r.annotator, r.ranks) for r in ranker.rankings] == [("kim", (2, 1, None)), ("5", (1, 2, None))]


def test_label_studio_complains_of_unknown_items_and_unclear_buckets():
    task = EXAMPLES["label-studio"][1]
    wrong = {**task, "annotations": [{"result": [{"type": "ranker", "value": {"ranker": ["i9", "i1"]}}]}]}
    assert complaints(jsonl([wrong]), "label-studio") == ["Line 1: The ranking names “i9”, which is none of the items."]
    unclear = {"ranker": {"good": ["i1"], "bad": ["i2"]}}
    several = {**task, "annotations": [{"result": [{"type": "ranker", "value": unclear}]}]}
    _, findings = read(jsonl([several]), "label-studio")
    assert "several buckets" in findings.skipped[0].reason


def test_argilla_responses_count_before_suggestions():
    ranked, suggested = example("argilla")
    assert [(r.annotator, r.ranks) for r in ranked.rankings] == [("u1", (2, 1)), ("u2", (1, 1))]
    assert [(r.dimension, r.scores) for r in suggested.ratings] == [("quality", (5, None)), ("quality", (None, 3))] or [
        (r.dimension, r.scores) for r in suggested.ratings
    ] == [("helpfulness", (5, None)), ("helpfulness", (None, 3))]


def test_the_older_argilla_client_is_read_too():
    row = {
        "fields": {"text": "q?", "response_1": A, "response_2": B},
        "responses": [
            {
                "user_id": "u",
                "status": "submitted",
                "values": {
                    "ranking": {"value": [{"value": "response_1", "rank": 2}, {"value": "response_2", "rank": 1}]}
                },
            },
            {"user_id": "v", "status": "discarded", "values": {"ranking": {"value": []}}},
        ],
    }
    record = one("argilla", row)
    assert [(r.annotator, r.ranks) for r in record.rankings] == [("u", (2, 1))]


# content ------------------------------------------------------------------------------------------------------------


def test_empty_responses_are_passed_over_or_kept_by_choice():
    row = {"prompt": Q, "chosen": A, "rejected": " "}
    _, findings = read(jsonl([row]))
    assert str(findings.skipped[0]) == "Line 1: Response 2 is empty."
    assert one("trl-preference", row, keep_empty=True).responses[1].text == " "


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


# real data ----------------------------------------------------------------------------------------------------------


def test_chats_written_as_python_are_all_read_right(data_folder):
    with open(data_folder / "mt_bench_human/conversations.jsonl", encoding="utf-8") as file:
        for line in file:
            value = json.loads(line)["conversation_repr"]
            expected = [{"role": role, "content": said} for said, role in ast.literal_eval(value)]
            assert parse_repr(value) == expected
