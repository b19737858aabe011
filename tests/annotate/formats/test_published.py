"""Published data, votes and other platforms' exports: what their rows become."""

from __future__ import annotations

import ast
import json

import pytest

from annotate.formats.readers.votes import parse_repr
from annotate.formats.records import Pair, Ranking, Rating, comparisons
from tests.annotate.formats.conftest import complaints, example, one, read
from tests.annotate.formats.examples import ASK, COMPANIONS, EXAMPLES, A, B, Q, jsonl

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
    assert (second.tags, second.own_tags) == (("mt-bench",), ("turn-2",))


def test_a_chat_written_as_python_is_matched_not_run():
    chat = [('It\'s "so"\n', "user"), ("a', 'user') b", "assistant"), ("", "user")]
    found = parse_repr(repr(chat).replace(", '", ",'"))
    assert (found[0]["content"], found[0]["role"]) == chat[0]
    with pytest.raises(ValueError):
        parse_repr("__import__('os').system('true')")
    with pytest.raises(ValueError):
        parse_repr("[('" * 500_000)


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
    assert suggested.ratings == (Rating((5, 3), "helpfulness", "gpt"),)
    assert suggested.rankings == (Ranking((1, 2), "helpfulness", "gpt"),)


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


# real data ----------------------------------------------------------------------------------------------------------


def test_chats_written_as_python_are_all_read_right(data_folder):
    with open(data_folder / "mt_bench_human/conversations.jsonl", encoding="utf-8") as file:
        for line in file:
            value = json.loads(line)["conversation_repr"]
            expected = [{"role": role, "content": said} for said, role in ast.literal_eval(value)]
            assert parse_repr(value) == expected
