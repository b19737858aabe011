"""What each task asks of an answer, and the rankings that come of it."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from annotate.generation.models import Generator, Response
from annotate.generation.services import generation_run_start
from annotate.projects.models import Attribute
from annotate.ranking.answer import MOST_COMPLAINTS, Answer, AnswerError, Asked, Rules
from annotate.ranking.engine import assignment_next
from annotate.ranking.models import Judgement
from annotate.ranking.rules import answer_of, rules_of
from annotate.ranking.services import draft_save, judgement_submit
from tests.annotate.ranking.desk import make_comparison, make_project

HELP = {"helpfulness": "Helpfulness"}
IDS = ("11", "12", "13")


def read(data: dict, *, responses=IDS, complete=True, **fields) -> Answer:
    rules = Rules(**{"task": "ranking", "dimensions": HELP} | fields)
    return Answer.read(data, rules=rules, responses=responses, complete=complete)


def complaint(data: dict, **fields) -> str:
    with pytest.raises(AnswerError) as refused:
        read(data, **fields)
    return str(refused.value)


@pytest.mark.parametrize(
    ("data", "ranks"),
    [
        ({"rankings": {"helpfulness": {"11": 1, "12": 2}}}, {"11": 1, "12": 2}),
        ({"rankings": {"helpfulness": {"11": 2, "12": 1}}}, {"11": 2, "12": 1}),
        ({"rankings": {"helpfulness": {"11": 1, "12": 1}}}, {"11": 1, "12": 1}),
        ({"all_bad": ["helpfulness"]}, {"11": 1, "12": 1}),
        ({"rankings": {"helpfulness": {"11": 1, "12": 2}}, "all_bad": ["helpfulness"]}, {"11": 1, "12": 1}),
    ],
)
def test_a_pair_is_left_right_tie_or_both_bad(data, ranks):
    assert read(data, task="pairwise", responses=IDS[:2]).rankings == {"helpfulness": ranks}


@pytest.mark.parametrize("data", [{}, {"rankings": {"helpfulness": {"11": 1}}}])
def test_a_pair_without_an_answer_is_refused(data):
    assert "say which of the two is better" in complaint(data, task="pairwise", responses=IDS[:2])


def test_three_responses_of_a_pairwise_project_are_ranked():
    ranks = {"11": 1, "12": 2, "13": 3}
    assert read({"rankings": {"helpfulness": ranks}}, task="pairwise").rankings == {"helpfulness": ranks}


@pytest.mark.parametrize(
    ("ranks", "expected"),
    [({"12": 1}, {"11": 2, "12": 1, "13": 2}), ({"11": 2, "12": 1, "13": 3}, {"11": 2, "12": 1, "13": 2})],
)
def test_the_best_stands_before_all_others_which_tie(ranks, expected):
    assert read({"rankings": {"helpfulness": ranks}}, task="best").rankings == {"helpfulness": expected}


@pytest.mark.parametrize("ranks", [{}, {"11": 1, "12": 1}, {"11": 2}])
def test_no_best_or_two_are_refused(ranks):
    assert "exactly one best" in complaint({"rankings": {"helpfulness": ranks}}, task="best")


def test_no_best_is_needed_where_all_are_bad():
    answer = read({"all_bad": ["helpfulness"]}, task="best")
    assert (answer.rankings, answer.all_bad) == ({}, ["helpfulness"])


def test_points_become_a_ranking():
    answer = read({"ratings": {"helpfulness": {"11": 2, "12": 5, "13": 2}}}, task="rating")
    assert answer.rankings == {"helpfulness": {"11": 2, "12": 1, "13": 2}}
    assert answer.ratings == {"helpfulness": {"11": 2, "12": 5, "13": 2}}


@pytest.mark.parametrize("points", [{}, {"11": 3}, {"11": 3, "12": 4}])
def test_a_rating_with_gaps_is_refused(points):
    assert "rate every response" in complaint({"ratings": {"helpfulness": points}}, task="rating")


def test_nothing_is_rated_where_all_are_bad():
    assert read({"all_bad": ["helpfulness"]}, task="rating").rankings == {}
    halfway = {"ratings": {"helpfulness": {"11": 1}}, "all_bad": ["helpfulness"]}
    assert "rate every response" in complaint(halfway, task="rating")


def test_the_sender_of_a_rating_does_not_choose_its_ranking():
    data = {"ratings": {"helpfulness": {"11": 1, "12": 5, "13": 3}}, "rankings": {"helpfulness": {"11": 1, "12": 2}}}
    assert read(data, task="rating").rankings == {"helpfulness": {"11": 3, "12": 1, "13": 2}}


RANKED = {"rankings": {"helpfulness": {"11": 1, "12": 2}}}


@pytest.mark.parametrize(
    ("extra", "fields", "sentence"),
    [
        ({"strengths": {"helpfulness": {"11": 2}}}, {"strength": False}, "does not ask how much better"),
        ({"rationale": "because"}, {"rationale": "off"}, "does not ask for a rationale"),
        ({"rationale": "  "}, {"rationale": "required"}, "asks for a rationale"),
        ({"edit": {"response": "11", "text": "x"}}, {}, "does not ask for edits"),
        ({"edit": {"response": "99", "text": "x"}}, {"edit": True}, "not in this comparison"),
        ({"edit": {"response": "11", "text": " \n"}}, {"edit": True}, "edited response is empty"),
        ({"edit": {"response": "11", "text": "x" * 60_001}}, {"edit": True}, "At most 60,000 characters"),
        ({"edit": "x"}, {"edit": True}, "must be an object"),
        ({"flags": [{"flag": "rude", "response": "11"}]}, {}, "not a flag of this project"),
        ({"flags": ["rude"]}, {"response_flags": {"rude": "Rude"}}, "not a flag of this project"),
        ({"ratings": {"helpfulness": {"11": 3}}}, {}, "is not rated in this project"),
        ({"ratings": {"wit": {"11": 8}}}, {"attributes": (Asked("wit", "Wit", "", "", 7),)}, "from 1 to 7"),
        ({"ratings": {"wit": {"11": 0}}}, {"attributes": (Asked("wit", "Wit", "", "", 7),)}, "from 1 to 7"),
        ({"ratings": {"wit": {"11": True}}}, {"attributes": (Asked("wit", "Wit", "", "", 7),)}, "from 1 to 7"),
    ],
)
def test_what_is_not_asked_or_out_of_bounds_is_refused(extra, fields, sentence):
    assert sentence in complaint(RANKED | extra, **fields)


@pytest.mark.parametrize(
    "extra",
    [
        {"strengths": {"helpfulness": {"11": 2}}},
        {"edit": {"response": "11", "text": "x"}},
        {"flags": [{"flag": "gone", "response": "11"}]},
        {"ratings": {"gone": {"11": 3}}},
        {"rankings": {"gone": {"11": 3}}},
        {"all_bad": ["gone"]},
    ],
)
def test_a_draft_only_loses_what_is_not_asked_any_more(extra):
    assert read(extra, strength=False, complete=False) == Answer()


def test_attributes_may_be_said_of_some_responses():
    wit = (Asked("wit", "Wit", "dull", "witty", 7),)
    assert read(RANKED | {"ratings": {"wit": {"12": 7}}}, attributes=wit).ratings == {"wit": {"12": 7}}


def test_complaints_end_somewhere():
    with pytest.raises(AnswerError) as refused:
        read({"rankings": {f"d{number}": {} for number in range(50_000)}, "rationale": "x" * 10_001})
    assert len(refused.value.complaints["rankings"]) == MOST_COMPLAINTS
    assert "more responses than there are" in complaint(
        {"rankings": {"helpfulness": {str(number): 1 for number in range(50_000)}}}
    )
    assert len(complaint(RANKED | {"flags": [{"flag": "x" * 9000}]})) < 200
    assert len(complaint(RANKED | {"all_bad": ["x" * 9000]})) < 200


def test_no_text_is_one_that_postgresql_refuses():
    answer = read(RANKED | {"rationale": "a\x00b\ud800c\r\nd"})
    assert answer.rationale == "ab?c\nd"


# with a database ------------------------------------------------------------------------------------------------------


@pytest.fixture
def edits_asked(db, annotator):
    project = make_project(annotator, ask_edit=True)
    project.dimensions.filter(key="harmlessness").delete()
    make_comparison(project, texts=["One.", "Two.\n", "Three.", "Four."])
    return assignment_next(annotator=annotator, project=project)


def submit(assignment, **fields) -> Judgement:
    first, second = (str(pk) for pk in assignment.display_order[:2])
    return judgement_submit(assignment=assignment, rankings={"helpfulness": {first: 1, second: 2}}, **fields)


def test_an_edit_becomes_a_response_made_from_the_original(edits_asked):
    first = edits_asked.display_order[0]
    judgement = submit(edits_asked, edit={"response": str(first), "text": "Better.\r\nMuch."})
    assert judgement.edit.text == "Better.\nMuch."
    assert judgement.edit.edited_from_id == first
    assert judgement.edit.generator.kind == Generator.Kind.EDIT
    assert judgement.edit.prompt_id == edits_asked.comparison.prompt_id
    assert answer_of(judgement).edit == {"response": str(first), "text": "Better.\nMuch."}
    assert edits_asked.comparison.members.count() == 4  # it joins no comparison by itself


def test_the_same_edit_again_changes_nothing(edits_asked):
    edit = {"response": str(edits_asked.display_order[0]), "text": "Better."}
    assert submit(edits_asked, edit=edit) == submit(edits_asked, edit=edit)
    assert Response.objects.filter(edited_from__isnull=False).count() == 1
    revised = submit(edits_asked, edit=edit | {"text": "Best."})
    again = submit(edits_asked, edit=edit)
    assert revised.edit != again.edit
    assert Response.objects.filter(edited_from__isnull=False).count() == 2


def test_the_same_text_made_of_two_responses_is_two_edits(annotator, other_annotator):
    project = make_project(annotator, other_annotator, ask_edit=True, overlap=2)
    project.dimensions.filter(key="harmlessness").delete()
    comparison = make_comparison(project)
    first, second = (str(pk) for pk in comparison.members.values_list("response_id", flat=True)[:2])
    mine, theirs = (assignment_next(annotator=who, project=project) for who in (annotator, other_annotator))
    assert submit(mine, edit={"response": first, "text": "Better."}).edit.edited_from_id == int(first)
    made = [submit(theirs, edit={"response": second, "text": "Better."}) for _ in range(3)]
    assert {judgement.pk for judgement in made} == {made[0].pk}
    assert answer_of(made[0]).edit == {"response": second, "text": "Better."}


def test_an_unchanged_text_is_no_edit(edits_asked):
    first = edits_asked.display_order[0]
    text = Response.objects.get(pk=first).text
    judgement = submit(edits_asked, edit={"response": str(first), "text": f"{text}\r\n"})
    assert judgement.edit is None
    assert submit(edits_asked, edit={"response": str(first), "text": text}) == judgement
    assert not Response.objects.filter(edited_from__isnull=False).exists()


def test_a_draft_keeps_an_edit(edits_asked):
    edit = {"response": str(edits_asked.display_order[0]), "text": "Half a"}
    assert draft_save(assignment=edits_asked, draft={"edit": edit}).draft["edit"] == edit


def test_the_rules_are_the_projects(annotator, django_assert_num_queries):
    flags = [
        {"key": "unclear", "label": "", "about": "prompt"},
        {"key": "rude", "label": "Rude or mean", "about": "response"},
        {"key": "off_topic", "label": "", "about": "response"},
    ]
    project = make_project(annotator, task="rating", flags=flags, rating_points=7, ask_rationale="required")
    Attribute.objects.create(project=project, key="wit", label="Wit", low="dull", high="witty", points=3)
    with django_assert_num_queries(2):
        rules = rules_of(project)
    assert rules.prompt_flags == {"unclear": "The prompt is unclear"}
    assert rules.response_flags == {"rude": "Rude or mean", "off_topic": "Off topic"}
    assert {key: asked.points for key, asked in rules.scales.items()} == {
        "wit": 3,
        "helpfulness": 7,
        "harmlessness": 7,
    }
    assert (rules.rationale, rules.strength_asked) == ("required", False)


def test_a_flag_of_the_project_is_kept(annotator):
    flags = [{"key": "rude", "label": "Rude", "about": "response"}]
    make_comparison(project := make_project(annotator, flags=flags))
    project.dimensions.filter(key="harmlessness").delete()
    assignment = assignment_next(annotator=annotator, project=project)
    first = str(assignment.display_order[0])
    assert submit(assignment, flags=[{"flag": "rude", "response": first}]).flags == [
        {"flag": "rude", "response": first}
    ]
    with pytest.raises(ValidationError, match="not a flag"):
        submit(assignment, flags=[{"flag": "refuses", "response": first}])


def test_the_generator_of_edits_cannot_be_told_to_write(edits_asked, admin):
    edited = submit(edits_asked, edit={"response": str(edits_asked.display_order[0]), "text": "Better."}).edit
    with pytest.raises(ValidationError, match="cannot write new ones"):
        generation_run_start(project=edits_asked.comparison.project, generator=edited.generator, user=admin)
