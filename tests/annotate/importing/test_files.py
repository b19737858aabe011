"""Files in a project: each kind of record, once however often it is imported, whole or not at all."""

from __future__ import annotations

import io
import threading

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction

from accounts.models import AuditEntry, User
from annotate.datasets.config import DatasetConfig
from annotate.datasets.reading import dataset_records
from annotate.datasets.selectors import dataset_preview
from annotate.importing.complaints import Complaints
from annotate.importing.services import NotImported, Source, file_import, prompts_import
from annotate.importing.settings import ImportSettings
from annotate.models import Comparison, Generator, Judgement, Prompt, Response
from annotate.pairs import content_hash
from annotate.projects.models import Dimension
from tests.annotate.conftest import jsonl
from tests.annotate.formats.examples import EXAMPLES
from tests.annotate.importing.files import ASK, PAIR, START, take, take_with

EVERYTHING = (Prompt, Response, Comparison, Judgement, Generator)


def rows() -> tuple[int, ...]:
    return tuple(model.objects.count() for model in EVERYTHING)


def test_prompts_are_imported_once(project):
    data = jsonl({"prompt": "One"}, {"prompt": "Two", "tags": ["x", 'a "b\\c"']}, {"prompt": "One"})
    report = prompts_import(project=project, data=data, filename="a.jsonl")
    assert (report.created, report.existing, report.repeated) == (2, 0, 1)
    again = prompts_import(project=project, data=data, filename="b.jsonl")
    assert (again.created, again.existing) == (0, 2)
    assert set(project.prompts.values_list("source", flat=True)) == {"a.jsonl"}
    assert project.prompts.get(content_hash__gt="", tags__contains=["x"]).tags == ["x", 'a "b\\c"']


def test_texts_come_back_as_they_were(project):
    hard = "a\tb\nc\r\nd\\n \\. \\N 你好 👩‍👩‍👧 'q' \"z\" \u2028 e\u0301"
    take(project, {"prompt": hard, "responses": [{"text": hard, "generator": hard[:50]}], "metadata": {"k": hard}})
    prompt = Prompt.objects.get()
    assert (prompt.question, prompt.metadata, prompt.responses.get().text) == (hard, {"k": hard}, hard)


def test_one_wrong_line_leaves_nothing_behind(project):
    data = jsonl(*[{"prompt": f"Question {i}"} for i in range(4500)]) + b"{\n"
    with pytest.raises(ValidationError) as error:
        prompts_import(project=project, data=data)
    assert error.value.message_dict["file"][0].startswith("Line 4501: Not valid JSON")
    assert rows() == (0,) * 5


def test_by_choice_the_good_rows_are_imported_and_the_others_told(project):
    data = jsonl({"prompt": "One"}) + b"{\n" + jsonl({"question": 1}, {"prompt": "Two"})
    report = take(project, data=data, good_rows=True, format="prompts")
    assert (report["new"]["prompts"], report["error_count"]) == (2, 2)
    assert [problem["line"] for problem in report["errors"]] == [2, 3]


def test_a_file_without_a_good_row_is_refused_even_then(project):
    with pytest.raises(NotImported) as error:
        take(project, data=b"{\n[\n", good_rows=True, format="prompts")
    assert error.value.report["error_count"] >= 1


def test_rankings_become_closed_comparisons_with_one_judgement_each(project):
    report = take(project, PAIR)
    assert report["new"] == {"prompts": 1, "responses": 2, "comparisons": 1, "judgements": 1, "queued": 0}
    comparison, judgement = Comparison.objects.get(), Judgement.objects.get()
    assert comparison.is_closed and comparison.round == 0
    assert judgement.source == "import" and judgement.annotator.kind == "import"
    assert judgement.annotator.username == "import-hh" and not judgement.annotator.is_active
    better, worse = comparison.members.order_by("position").values_list("response__text", "response_id")
    assert (better[0], worse[0]) == ("Sure.", "No.")
    assert judgement.rankings == {"harmlessness": {str(better[1]): 1, str(worse[1]): 2}}
    assert judgement.display_order == [better[1], worse[1]]


@pytest.mark.parametrize("format", EXAMPLES)
def test_every_format_is_imported_once(project, format):
    companions = {"mt-bench", "llmfao", "ukp"}
    if format in companions:
        pytest.skip("its votes need their file of texts; see the tests on real data")
    usual = {"dimensions": dict.fromkeys(("convincingness", "overall"), "helpfulness")}
    first = take(project, *EXAMPLES[format], format=format, **usual)
    before = rows()
    assert first["records"] and sum(first["new"].values())
    again = take(project, *EXAMPLES[format], format=format, **usual)
    assert rows() == before
    assert not any(again["new"].values())
    assert first["format"] == again["format"] == format
    assert Prompt.objects.filter(project=project).count() == first["new"]["prompts"]


def test_judgements_of_the_same_responses_gather_in_one_comparison(project):
    take(project, PAIR, PAIR)
    turned = {"chosen": PAIR["rejected"], "rejected": PAIR["chosen"]}
    report = take(project, turned, dimension="harmlessness")
    assert (report["new"]["comparisons"], report["new"]["judgements"]) == (0, 1)
    comparison = Comparison.objects.get()
    assert (comparison.judgements.count(), comparison.overlap, comparison.disagreement) == (2, 2, 1.0)
    take(project, PAIR, dimension="helpfulness")
    assert Comparison.objects.count() == 1
    current = comparison.judgements.filter(is_current=True).order_by("pk")
    assert sum("helpfulness" in judgement.rankings for judgement in current) == 1
    old = comparison.judgements.get(is_current=False)
    assert "helpfulness" not in old.rankings, "what was there is not changed, only superseded"


def test_judges_of_a_file_are_kept_by_pseudonyms_that_are_the_same_in_every_file(project):
    row = {"prompt": ASK, "responses": ["a", "b"], "ranks": [1, 2], "annotator": "grace.hopper@example.org"}
    take(project, row)
    take(project, {**row, "prompt": "another"}, {**row, "prompt": "third", "annotator": "alan"})
    names = set(User.objects.filter(kind="import").values_list("username", flat=True))
    assert len(names) == 2 and all(name.startswith("import-responses-") for name in names)
    assert not any("grace" in str(vars(user)) for user in User.objects.all())


def test_an_import_does_not_judge_in_a_persons_name(project, admin):
    admin.username = "import-hh"
    admin.save()
    with pytest.raises(ValidationError, match="belongs to a person"):
        take(project, PAIR)
    assert rows() == (0,) * 5


def test_a_dimension_that_the_project_lacks_is_a_field_error(project):
    for settings in ({"dimension": "wit"}, {"dimensions": {"harmlessness": "wit"}}):
        with pytest.raises(ValidationError) as error:
            take(project, PAIR, **settings)
        assert "dimension" in error.value.message_dict
    assert rows() == (0,) * 5


def test_attributes_become_the_dimensions_that_are_chosen(project):
    Dimension.objects.create(project=project, key="coherence", label="Coherence")
    scores = {"correctness": 1, "coherence": 1, "complexity": 1, "verbosity": 3}
    rows_ = [{"prompt": "q", "response": text, "helpfulness": n, **scores} for n, text in enumerate(("bad", "good"))]
    report = take(project, *rows_, dimensions={"correctness": "", "coherence": ""})
    assert report["dimensions"] == {
        "helpfulness": "helpfulness", "correctness": "", "coherence": "", "complexity": "", "verbosity": "",
    }  # fmt: skip
    judgement = Judgement.objects.get()
    good = str(Response.objects.get(text="good").pk)
    assert judgement.rankings["helpfulness"][good] == 1 and set(judgement.rankings) == {"helpfulness"}
    assert judgement.ratings["helpfulness"][good] == 1.0


def test_labels_are_kept_and_where_a_prompt_has_both_they_are_a_judgement(project):
    said = [
        ("q", "good", True),
        ("other", "alone", False),
        ("q", "bad", False),
        ("q", "fine", True),
        ("q", "both", True),
    ]
    labelled = [{"prompt": q, "completion": text, "label": label} for q, text, label in [*said, ("q", "both", False)]]
    report = take(project, *labelled)
    assert report["new"]["comparisons"] == report["new"]["judgements"] == 1
    assert Response.objects.get(text="alone").metadata == {"label": False}
    [ranks] = Judgement.objects.get().rankings.values()
    assert {Response.objects.get(pk=pk).text: rank for pk, rank in ranks.items()} == {"good": 1, "fine": 1, "bad": 2}
    assert not any(take(project, *labelled)["new"].values())


def test_demonstrations_are_responses_without_a_judgement(project):
    report = take(project, {"instruction": "Add", "input": "1 1", "output": "2"})
    assert (report["new"]["responses"], Comparison.objects.count()) == (1, 0)
    assert Response.objects.get().generator.kind == "import"


def test_responses_wait_to_be_annotated_if_that_is_asked_for(project):
    three = {"prompt": "q", "responses": ["a", "b", "a ", " "]}
    assert take(project, three, keep_empty=True)["new"]["queued"] == 0
    report = take(project, three, keep_empty=True, queue=True, round=3)
    assert report["new"] == {"prompts": 0, "responses": 0, "comparisons": 0, "judgements": 0, "queued": 1}
    comparison = Comparison.objects.get()
    assert (comparison.is_closed, comparison.round, comparison.overlap) == (False, 3, project.overlap)
    assert sorted(comparison.responses.values_list("text", flat=True)) == ["a", "b"]
    assert not any(take(project, three, keep_empty=True, queue=True)["new"].values())


def test_answers_in_rows_of_their_own_are_put_together_by_their_prompt(project):
    def predictions(name: str, *texts: str) -> dict:
        rows_ = [{"instruction": f"q{n}", "input": "", "response": text, "target": "t"} for n, text in enumerate(texts)]
        return take_with(project, Complaints(), *rows_, name=name, queue=True)

    assert predictions("one_predictions.jsonl", "a", "b")["new"]["queued"] == 0
    both = [{"instruction": "q", "input": "", "response": text, "target": "t"} for text in ("x", "y", "x")]
    assert take(project, *both, queue=True)["new"]["queued"] == 1


def test_cycles_stay_pairs(project):
    row = {f"prediction {n}": f"r{n}" for n in range(1, 4)} | {"question": "q", "passages": [], "preference": [1, 2, 1]}
    report = take(project, row, format="finegrained")
    assert report["kinds"] == [["pair", 1]]
    assert (report["new"]["comparisons"], Comparison.objects.count()) == (3, 3)


def test_a_tag_of_one_vote_is_the_comparisons_and_filters_it_alone(project):
    chats = {
        f"conversation_{side}": [
            {"role": "user", "content": "q1"}, {"role": "assistant", "content": f"first {side}"},
            {"role": "user", "content": "q2"}, {"role": "assistant", "content": f"second {side}"},
        ]
        for side in "ab"
    }  # fmt: skip
    vote = {"question_id": 1, "model_a": "m1", "model_b": "m2", "judge": "j", "winner": "model_a", **chats}
    take(project, {**vote, "turn": 1}, {**vote, "turn": 2})
    assert [prompt.tags for prompt in Prompt.objects.all()] == [["mt-bench"]]
    assert sorted(comparison.tags for comparison in Comparison.objects.all()) == [["turn-1"], ["turn-2"]]
    first = DatasetConfig(exclude_tags=["turn-2"])
    assert dataset_preview(project, first)["comparisons"] == 1
    assert [record.tags for record in dataset_records(project, first)] == [["mt-bench", "turn-1"]]
    assert dataset_preview(project, DatasetConfig(tags=["mt-bench"]))["comparisons"] == 2
    assert dataset_preview(project, DatasetConfig(tags=["turn-2"]))["comparisons"] == 1


def test_columns_are_mapped(project):
    report = take(project, {"meta": {"q": "Why?"}, "good": "a", "bad": "b"}, format="trl-preference",
                  mapping={"prompt": "meta.q", "chosen": "good", "rejected": "bad"})  # fmt: skip
    assert report["new"]["comparisons"] == 1 and Prompt.objects.get().question == "Why?"


def test_an_import_is_on_record(project, admin):
    source = Source(io.BytesIO(jsonl(PAIR)), "pairs.jsonl")
    file_import(project=project, source=source, settings=ImportSettings(), user=admin)
    entry = AuditEntry.objects.get(action="file.imported")
    assert (entry.actor, entry.subject, entry.scope) == (admin, "pairs.jsonl", f"project:{project.pk}")
    assert entry.details["new"]["comparisons"] == 1


def test_an_import_that_is_stopped_leaves_nothing(project):
    class Halt(Exception):
        pass

    def watch(done: int) -> None:
        raise Halt

    with pytest.raises(Halt):
        file_import(project=project, source=Source(io.BytesIO(jsonl(PAIR))), settings=ImportSettings(), watch=watch)
    assert rows() == (0,) * 5


@pytest.mark.django_db(transaction=True)
def test_who_adds_the_same_prompt_meanwhile_is_told_and_nothing_is_half_done(project):
    """The import holds the project for other imports; everybody else meets the unique constraint."""
    messages = [{"role": "user", "content": "Mine"}]
    ready, done = threading.Event(), threading.Event()

    def other() -> None:
        try:
            with transaction.atomic():
                Prompt.objects.create(project=project, messages=messages, content_hash=content_hash(messages))
                ready.set()
                done.wait(1)
        except IntegrityError:
            pass
        finally:
            connection.close()

    thread = threading.Thread(target=other)
    thread.start()
    ready.wait(10)
    with pytest.raises(NotImported, match="at the same moment"):
        take(project, {"prompt": "Mine"}, {"prompt": "Yours"})
    thread.join()
    assert [prompt.question for prompt in Prompt.objects.all()] == ["Mine"]
    assert take(project, {"prompt": "Mine"}, {"prompt": "Yours"})["new"]["prompts"] == 1


def test_a_large_file_needs_few_statements(project, django_assert_max_num_queries):
    labelled = [{**PAIR, "chosen": f"{START} {n}."} for n in range(3000)]
    with django_assert_max_num_queries(60):
        assert take(project, *labelled)["new"]["comparisons"] == 3000
