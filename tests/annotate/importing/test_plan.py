"""What a record becomes, and what is added to the judgements that are there."""

from __future__ import annotations

import pytest

from annotate.formats.jsonl import Unusable
from annotate.formats.records import Pair, Ranking, Rating, Record, Response
from annotate.importing.plan import Dimensions, planned
from annotate.importing.sheets import Judgements, Sheet

ASK = [{"role": "user", "content": "Why?"}]


def plan(*responses: Response, format: str = "responses", dimensions: Dimensions | None = None, **fields):
    record = Record(fields.pop("kind", "ranking"), 3, ASK, responses, **fields)
    return list(planned(record, format, dimensions or Dimensions(["helpfulness"], {})))


def test_each_pair_of_a_cycle_is_a_comparison_of_its_own():
    responses = [Response(text) for text in "abc"]
    cycle = tuple(Pair(i, j, "helpfulness") for i, j in ((0, 1), (1, 2), (2, 0)))
    found = plan(*responses, kind="pair", pairs=cycle)
    assert [[each.text for each in one.responses] for one in found] == [["a", "b"], ["b", "c"], ["a", "c"]]
    assert [one.judged[0].ranks for one in found] == [(1, 2), (1, 2), (2, 1)]


def test_a_response_that_comes_twice_is_one_where_its_ranks_agree():
    three = [Response("a", generator="m"), Response("b", generator="m"), Response("a ", generator="m")]
    [one] = plan(*three, rankings=(Ranking((1, 2, 1), "helpfulness"),))
    assert ([each.text for each in one.responses], one.judged[0].ranks) == (["a", "b"], (1, 2))
    with pytest.raises(Unusable, match="Responses 1 and 3 are the same, but ranked differently"):
        plan(*three, rankings=(Ranking((1, 2, 3), "helpfulness"),))
    with pytest.raises(Unusable, match="all the same"):
        plan(three[0], three[2], rankings=(Ranking((1, 2), "helpfulness"),))


def test_the_same_text_of_two_models_stays_two_responses():
    two = [Response("Hi", generator=name) for name in "xy"]
    [one] = plan(*two, rankings=(Ranking((1, 1), "helpfulness"),))
    assert len(one.responses) == 2


def test_dimensions_are_renamed_left_out_and_counted():
    dimensions = Dimensions(["helpfulness", "wit"], {"humour": "wit", "verbosity": ""})
    rankings = tuple(Ranking((1, 2), name) for name in ("helpfulness", "humour", "verbosity", "length"))
    [one] = plan(Response("a"), Response("b"), rankings=rankings, dimensions=dimensions)
    assert [each.dimension for each in one.judged] == ["helpfulness", "wit"]
    assert dimensions.left_out == {"verbosity": 1, "length": 1}
    assert dimensions.complaint() == ""
    none = Dimensions(["wit"], {})
    assert plan(Response("a"), Response("b"), rankings=rankings[:1], dimensions=none) == []
    assert none.complaint().startswith("It ranks by “helpfulness”, which this project does not ask for.")


def test_a_ranking_of_one_response_says_nothing():
    with pytest.raises(Unusable, match="places two"):
        plan(Response("a"), Response("b"), rankings=(Ranking((1, None), "helpfulness"),))


@pytest.mark.parametrize(
    ("weight", "preference", "ranks"),
    [
        (4.0, 0.75, [(1, 2)] * 3 + [(2, 1)]),
        (2.0, 0.5, [(1, 2), (2, 1)]),
        (1.0, 0.5, [(1, 1)]),
        (3.0, 0.5, [(1, 2), (1, 1), (2, 1)]),
        (1.5, 0.9, [(1, 2)]),  # a reliability is no number of people
        (1.0, 1.0, [(1, 2)]),
    ],
)
def test_a_line_of_pairs_is_the_judgements_that_it_sums_up(weight, preference, ranks):
    pair = Pair(0, 1, "helpfulness", preference=preference, weight=weight)
    [one] = plan(Response("a"), Response("b"), kind="pair", pairs=(pair,), format="pairs")
    assert [each.ranks for each in one.judged] == ranks


def test_scores_are_kept_beside_the_rankings_of_dimensions_that_the_project_has():
    ratings = (Rating((4.0, 2.0), "helpfulness"), Rating((1.0, 1.0), "verbosity"))
    rankings = (Ranking((1, 2), "helpfulness"), Ranking((1, 1), "verbosity"))
    [one] = plan(Response("a"), Response("b"), rankings=rankings, ratings=ratings)
    assert [(each.dimension, each.scores) for each in one.scored] == [("helpfulness", (4.0, 2.0))]


# judgements -----------------------------------------------------------------------------------------------------------


def named(annotator: str, place: int) -> str:
    return annotator or f"nobody-{place}"


def test_what_was_said_already_adds_nothing():
    there = Sheet("ben", {"helpfulness": {"1": 1, "2": 2}}, id=7, saved=True)
    judgements = Judgements(named, [there])
    assert not judgements.add("ben", "helpfulness", {"1": 1, "2": 2})
    assert not judgements.add("", "helpfulness", {"1": 1, "2": 2}), "whoever nobody is, it is said"
    assert judgements.sheets == [there] and not judgements.changed


def test_a_judge_who_says_otherwise_supersedes_what_is_kept():
    there = Sheet("ben", {"helpfulness": {"1": 1, "2": 2}, "wit": {"1": 1, "2": 1}}, id=7, saved=True)
    judgements = Judgements(named, [there])
    assert judgements.add("ben", "helpfulness", {"1": 2, "2": 1})
    new = judgements.current[0]
    assert new.supersedes is there and not there.is_current
    assert new.rankings == {"helpfulness": {"1": 2, "2": 1}, "wit": {"1": 1, "2": 1}}
    assert not judgements.add("ben", "helpfulness", {"1": 1, "2": 2}), "said before, and taken back"


def test_nobody_who_disagrees_with_nobody_is_somebody_else():
    judgements = Judgements(named)
    for ranks in ({"1": 1, "2": 2}, {"1": 2, "2": 1}, {"1": 1, "2": 2}):
        judgements.add("", "helpfulness", ranks)
    judgements.add("", "wit", {"1": 1, "2": 2})
    assert [sheet.judge for sheet in judgements.current] == ["nobody-1", "nobody-2"]
    assert set(judgements.current[0].rankings) == {"helpfulness", "wit"}


def test_three_nameless_judges_who_agree_are_three():
    judgements = Judgements(named)
    for time in (1, 2, 3):
        judgements.add("", "helpfulness", {"1": 1, "2": 2}, time=time)
    assert len(judgements.current) == 3
    again = Judgements(named, judgements.sheets)
    assert not any(again.add("", "helpfulness", {"1": 1, "2": 2}, time=time) for time in (1, 2, 3))
