"""Rewards that are verified: right and wrong answers, hostile ones, and specifications that are refused."""

import time

import pytest
from pydantic import TypeAdapter, ValidationError

from rl.training.checks import Check, CheckTooSlow, figure, names_of, needs_answer

adapter = TypeAdapter(Check)


def says(spec, text, answer=None):
    return figure(adapter.validate_python(spec), text, answer)


@pytest.mark.parametrize(
    ("spec", "right", "wrong"),
    [
        ({"kind": "exact", "answer": "Paris"}, " paris\n", "Paris, France"),
        ({"kind": "exact", "answer": "Paris", "ignore_case": False}, "Paris", "paris"),
        ({"kind": "number", "answer": 42}, "First 7, then 6 * 7 = 42.", "It is 42, or perhaps 43"),
        ({"kind": "number", "answer": 1234.5}, "about 1,234.5", "about 1,234.6"),
        ({"kind": "number", "answer": -3}, "−3", "3"),
        ({"kind": "number", "answer": 7, "which": "first"}, "7 and 42", "42 and 7"),
        ({"kind": "number", "answer": 100, "tolerance": 0.01}, "99.5", "98"),
        ({"kind": "words", "all_of": ["red", "blue"], "none_of": ["green"]}, "Blue and red", "Blue, red and green"),
        ({"kind": "words", "any_of": ["cat"]}, "A cat.", "Concatenate"),
        ({"kind": "words", "all_of": ["C++"]}, "I like C++ most", "I like C"),
        ({"kind": "pattern", "pattern": r"^\d{4}-\d{2}$", "full": True}, "2024-05", "on 2024-05"),
        ({"kind": "pattern", "pattern": r"answer: (\w+)", "answer": "yes"}, "The answer: Yes", "The answer: no"),
        ({"kind": "length", "min_words": 2, "max_words": 3}, "one two", "one two three four"),
        ({"kind": "length", "max_characters": 5}, "12345", "123456"),
        ({"kind": "json"}, '```json\n{"a": 1}\n```', '{"a": 1'),
        ({"kind": "all", "of": [{"kind": "words", "any_of": ["a"]}, {"kind": "length", "max_words": 1}]}, "a", "a b"),
        ({"kind": "any", "of": [{"kind": "exact", "answer": "a"}, {"kind": "exact", "answer": "b"}]}, "b", "c"),
        ({"kind": "none", "of": [{"kind": "words", "any_of": ["sorry"]}]}, "Of course", "Sorry, no"),
    ],
)
def test_right_and_wrong_responses(spec, right, wrong):
    assert says(spec, right) == 1.0
    assert says(spec, wrong) == 0.0
    assert says(spec, "") in (0.0, 1.0)


def test_the_prompts_own_answer_counts_where_the_check_has_none():
    for spec in ({"kind": "exact"}, {"kind": "number"}, {"kind": "pattern", "pattern": "(.+)", "answer": "prompt"}):
        assert needs_answer([adapter.validate_python(spec)])
        assert says(spec, "12", "12") == 1.0
        assert says(spec, "13", "12") == 0.0
        assert says(spec, "12", None) == 0.0
    inner = adapter.validate_python({"kind": "all", "of": [{"kind": "any", "of": [{"kind": "exact"}]}]})
    assert needs_answer([inner])
    assert not needs_answer([adapter.validate_python({"kind": "exact", "answer": "x"})])


def test_json_is_tested_place_by_place():
    spec = {
        "kind": "json",
        "expects": [
            {"at": "name", "type": "string", "equals": "Ada"},
            {"at": "items", "type": "list", "least": 2},
            {"at": "items.0.price", "type": "number", "most": 5},
            {"at": "done", "equals": True},
        ],
    }
    assert says(spec, '{"name": "Ada", "items": [{"price": 3}, 1], "done": true}') == 1.0
    assert says(spec, '{"name": "Ada", "items": [{"price": 9}], "done": 1}') == 0.25
    assert says(spec, "[]") == 0.0


def test_true_is_not_the_number_one():
    assert says({"kind": "json", "expects": [{"type": "number"}]}, "true") == 0.0
    assert says({"kind": "json", "expects": [{"equals": 1}]}, "true") == 0.0


def test_a_share_is_the_part_of_the_cases_that_pass():
    cases = [{"kind": "words", "any_of": [word]} for word in ("one", "two", "three")]
    assert says({"kind": "share", "of": [{**cases[0], "weight": 2}, *cases[1:]]}, "one three") == 0.75


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "9" * 10_000,
        "NaN",
        '{"a": 1e999}',
        "\x00\ud800",
        "1e999",
        "a" * 1_000_000,
        "-" * 50_000,
        "```json\n",
    ],
)
def test_hostile_responses_are_wrong_and_not_an_error(text):
    for spec in (
        {"kind": "json", "expects": [{"at": "a", "type": "number", "most": 3}]},
        {"kind": "number", "answer": 3},
        {"kind": "exact", "answer": "3"},
        {"kind": "words", "all_of": ["three"]},
    ):
        assert says(spec, text) == 0.0


def test_a_pattern_that_takes_for_ever_is_stopped_and_named():
    began = time.monotonic()
    with pytest.raises(CheckTooSlow, match=r"25}P” took more.*without them"):
        says({"kind": "pattern", "pattern": "(.*?,){25}P"}, ",".join("1" * 200))
    assert time.monotonic() - began < 60


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"kind": "pattern", "pattern": "(("}, "is not a regular expression"),
        ({"kind": "pattern", "pattern": "a", "answer": "b"}, "has no group"),
        ({"kind": "words"}, "at least one word"),
        ({"kind": "words", "all_of": [" "]}, "no empty one"),
        ({"kind": "length", "min_words": 5, "max_words": 2}, "at least 5 and at most 2"),
        ({"kind": "run", "code": "print(1)"}, "kind"),
        ({"kind": "exact", "anser": "x"}, "anser"),
        ({"kind": "all", "of": []}, "at least 1"),
        ({"kind": "share", "of": [{"kind": "json", "weight": 0}]}, "not all 0"),
        ({"kind": "exact", "weight": float("nan")}, "finite"),
    ],
)
def test_a_specification_that_cannot_work_says_why(spec, words):
    with pytest.raises(ValidationError, match=words):
        adapter.validate_python(spec)


def test_every_check_has_a_name_of_its_own():
    checks = [adapter.validate_python({"kind": "json", **more}) for more in ({}, {"name": "tidy"}, {})]
    assert names_of(checks) == ["json", "tidy", "json 2"]
