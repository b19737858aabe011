"""What the trainer accepts as data, and what it says about data that it does not accept."""

import json

import pytest

from annotate.pairs import Edge
from rewardmodel.training.data import encode, read_rankings
from runs.child import UserError
from tests.rewardmodel.worlds import easy_rows, row, two_dimensions, write_dataset


def test_a_comparison_carries_the_edges_of_every_dimension(tmp_path):
    dataset = write_dataset(tmp_path, two_dimensions([row("7", "Hi", ["a", "b", "c"], [[1, 2, None], [1, 1, 2]])]))
    found = read_rankings(dataset)
    assert found.dimensions == ("harmlessness", "helpfulness")
    comparison = found.train[0]
    assert comparison.responses == ["a", "b", "c"]
    # 0 over 1: one judgement prefers it, one ties: p = 3/4 of weight 2. The third response was placed once.
    assert comparison.edges["helpfulness"] == [Edge(0, 1, 2.0, 0.75), Edge(0, 2, 1.0, 1.0), Edge(1, 2, 1.0, 1.0)]
    assert comparison.edges["harmlessness"][0] == Edge(0, 1, 2.0, 0.25)


def test_dimensions_keep_the_order_that_was_asked_for(tmp_path):
    dataset = write_dataset(tmp_path, two_dimensions(easy_rows()))
    assert read_rankings(dataset, ("helpfulness", "harmlessness")).dimensions == ("helpfulness", "harmlessness")
    assert list(read_rankings(dataset, ("helpfulness",)).train[0].edges) == ["helpfulness"]


def test_splits_stay_apart(tmp_path):
    found = read_rankings(write_dataset(tmp_path, easy_rows(train=5, test=3)))
    assert (len(found.train), len(found.test)) == (5, 3)


def test_a_comparison_that_orders_nothing_is_left_out(tmp_path):
    rows = [*easy_rows(), row("x", "Nothing placed", ["a", "b"], [[None, 1]])]
    found = read_rankings(write_dataset(tmp_path, rows))
    assert "x" not in [comparison.id for comparison in found.train]


def test_a_ranking_of_weight_zero_is_left_out(tmp_path):
    silent = row("x", "Only a distrusted judge", ["a", "b"], [[1, 2]])
    silent["rankings"][0]["weight"] = 0
    found = read_rankings(write_dataset(tmp_path, [*easy_rows(), silent]))
    assert "x" not in [comparison.id for comparison in found.train]


def test_an_empty_response_is_an_answer_like_any_other(tmp_path, tiny_chat):
    rows = [row("1", "Hi", ["hello", ""], [[1, 2]])]
    comparison = read_rankings(write_dataset(tmp_path, rows)).train[0]
    assert encode(comparison, tiny_chat, max_prompt_tokens=64, max_response_tokens=64).group.responses[1] == [
        tiny_chat.end_id
    ]


def test_long_texts_are_cut_counted_and_closed(tmp_path, tiny_chat):
    rows = [row("1", "p" * 100, ["r" * 50, "short", "s" * 50], [[1, 2, 3]])]
    comparison = read_rankings(write_dataset(tmp_path, rows)).train[0]
    encoded = encode(comparison, tiny_chat, max_prompt_tokens=60, max_response_tokens=20)
    assert len(encoded.group.prompt) <= 60
    assert [len(ids) for ids in encoded.group.responses] == [20, 6, 20]
    assert all(ids[-1] == tiny_chat.end_id for ids in encoded.group.responses)
    assert (encoded.prompt_cut, encoded.responses_cut) == (True, 2)


def test_what_the_platform_builds_is_what_the_trainer_reads(tmp_path):
    from annotate.datasets.build import Record, write_dataset
    from annotate.datasets.config import DatasetConfig

    records = [
        Record(
            comparison=str(number),
            prompt=[{"role": "user", "content": f"Question {number}"}],
            responses=[{"id": str(i), "text": f"answer {i}", "generator": "g"} for i in range(3)],
            rankings={
                "helpfulness": [{"ranks": [1, 2, 2], "weight": 1.0, "annotator": "a1", "strengths": [3, None, None]}],
                "harmlessness": [{"ranks": [None, 1, None], "weight": 1.0, "annotator": "a1", "strengths": None}],
            },
        )
        for number in range(30)
    ]
    counts = write_dataset(tmp_path, records, DatasetConfig(), name="Built", dimensions=["helpfulness", "harmlessness"])
    found = read_rankings(tmp_path)
    assert found.dimensions == ("helpfulness",)
    sides = {"train": len(found.train), "test": len(found.test)}
    assert sides == counts["dimensions"]["helpfulness"]["comparisons"]
    assert min(sides.values()) > 0
    assert found.train[0].edges["helpfulness"][0] == Edge(0, 1, 1.0, 1.0, 3.0)


def refused(tmp_path, rows, *parts, dimensions=()):
    dataset = write_dataset(tmp_path, rows)
    with pytest.raises(UserError) as caught:
        read_rankings(dataset, dimensions)
    for part in parts:
        assert part in str(caught.value)


def test_a_folder_without_rankings_is_refused(tmp_path):
    with pytest.raises(UserError, match="not a dataset version"):
        read_rankings(tmp_path)


def test_an_empty_dataset_is_refused(tmp_path):
    refused(tmp_path, [], "is empty", "Collect judgements")


def test_a_dimension_that_is_not_there_is_refused_with_those_that_are(tmp_path):
    refused(tmp_path, easy_rows(), "no dimension truth", "helpfulness", dimensions=("truth",))


def test_a_train_split_without_preferences_is_refused(tmp_path):
    refused(tmp_path, easy_rows(train=0, test=4), "no preference for helpfulness", "test fraction")


def test_a_train_split_of_ties_alone_is_refused(tmp_path):
    refused(tmp_path, [row("1", "Hi", ["a", "b"], [[1, 1]])], "no preference for helpfulness")


def test_a_prompt_in_both_splits_is_refused(tmp_path):
    rows = [row("1", "Hi", ["a", "b"], [[1, 2]]), row("2", "Hi", ["c", "d"], [[1, 2]], split="test")]
    refused(tmp_path, rows, "both train and test", "comparison 2")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"responses": [{"id": "1", "text": "a"}]}, "has 1 responses"),
        ({"responses": [{"id": "1", "text": "a"}, {"id": "2"}]}, "no text in response 2"),
        ({"responses": "ab"}, "not a list"),
        ({"prompt": []}, "has no prompt"),
        ({"prompt": [{"role": "assistant", "content": "I begin"}]}, "has no prompt"),
        ({"split": "validation"}, "split 'validation'"),
        ({"rankings": [{"ranks": [1]}]}, "1 ranks for 2 responses"),
        ({"rankings": [{"ranks": [1, "two"]}]}, "neither a whole number nor null"),
        ({"rankings": [{"ranks": [1, 2], "weight": -1}]}, "weight -1"),
        ({"rankings": [{"ranks": [1, 2], "strengths": [1]}]}, "strengths"),
        ({"rankings": ["first"]}, "without ranks"),
    ],
)
def test_a_bad_line_is_refused_by_its_number(tmp_path, change, words):
    refused(tmp_path, [*easy_rows(2, 0), {**row("9", "Hi", ["a", "b"], [[1, 2]]), **change}], "line 3", words)


def test_a_line_that_lacks_a_part_is_refused(tmp_path):
    line = row("1", "Hi", ["a", "b"], [[1, 2]])
    del line["rankings"]
    refused(tmp_path, [line], "line 1", "lacks rankings")


def test_lines_that_disagree_about_a_comparison_are_refused(tmp_path):
    rows = two_dimensions([row("1", "Hi", ["a", "b"], [[1, 2]])])
    rows[1]["responses"] = row("1", "Hi", ["a", "something else"], [[1, 2]])["responses"]
    refused(tmp_path, rows, "line 2", "another responses than on line 1")


def test_a_dimension_given_twice_is_refused(tmp_path):
    line = row("1", "Hi", ["a", "b"], [[1, 2]])
    refused(tmp_path, [line, line], "line 2", "helpfulness twice")


@pytest.mark.parametrize("text", ["{", "[1]", b"\xff\xfe"])
def test_a_line_that_is_not_a_json_object_is_refused(tmp_path, text):
    good = json.dumps(easy_rows()[0]).encode()
    raw = text if isinstance(text, bytes) else text.encode()
    (tmp_path / "rankings.jsonl").write_bytes(good + b"\n\n" + raw + b"\n")
    with pytest.raises(UserError, match="line 3"):
        read_rankings(tmp_path)
