"""What filters let through: the same in the count before a build and in the build itself."""

from __future__ import annotations

import datetime

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse

from annotate.datasets.choosing import record_chosen
from annotate.datasets.config import DatasetConfig
from annotate.datasets.reading import dataset_records, dataset_strata
from annotate.datasets.selectors import dataset_preview
from annotate.datasets.services import dataset_config
from annotate.generation.models import Generator, Response
from annotate.generation.outcome import text_hash
from annotate.ranking.models import Comparison, Judgement
from tests.annotate.worlds import judge, make_comparison, make_project, make_prompt

pytestmark = pytest.mark.django_db


@pytest.fixture
def project(admin, annotator, other_annotator):
    """Six comparisons, one a round, the even ones in Chinese; the second annotator judged the first three only."""
    project = make_project(admin)
    for number in range(6):
        prompt = make_prompt(project, f"Question {number}", ["even" if number % 2 == 0 else "odd", f"n{number}"])
        prompt.language = "zh" if number % 2 == 0 else "en"
        prompt.save()
        comparison = make_comparison(prompt, ["a", "bb", "ccc"], overlap=2, round=number)
        first = judge(comparison, annotator, helpfulness=[1, 2, 3])
        made = datetime.datetime(2026, 3, 1 + number, 23, 59, tzinfo=datetime.UTC)
        Judgement.objects.filter(pk=first.pk).update(created_at=made)
        if number < 3:
            judge(comparison, other_annotator, helpfulness=[3, 2, 1], source="simulated")
    return project


def found(project, **config) -> list[int]:
    """Rounds of what a build takes; the count before says the same number."""
    settings = dataset_config(project, config)
    records = [record for each in dataset_records(project, settings) if (record := record_chosen(each, settings))]
    preview = dataset_preview(project, settings)
    assert preview["comparisons"] == len(records)
    assert preview["judgements"] == sum(
        len(record.rankings["helpfulness"]) for record in records if not record.is_decided
    )
    assert preview["decisions"] == sum(record.is_decided for record in records)
    rounds = dict(Comparison.objects.values_list("pk", "round"))
    return [rounds[int(record.comparison)] for record in records]


def test_filters_of_prompts_and_rounds(project):
    assert found(project) == [0, 1, 2, 3, 4, 5]
    assert found(project, rounds=[1, 4]) == [1, 4]
    assert found(project, tags=["even", "n5"]) == [0, 2, 4, 5]
    assert found(project, tags=["even"], exclude_tags=["n2"]) == [0, 4]
    assert found(project, languages=["en"]) == [1, 3, 5]
    assert found(project, tags=["' OR 1=1 --"]) == []


def test_filters_of_people_sources_and_days(project, annotator, other_annotator):
    assert found(project, annotators=[other_annotator.pk]) == [0, 1, 2]
    assert found(project, exclude_annotators=[annotator.pk]) == [0, 1, 2]
    assert found(project, annotators=[annotator.pk], exclude_annotators=[annotator.pk]) == []
    assert found(project, annotators=[2**63 - 1]) == []
    assert found(project, sources=["simulated"]) == [0, 1, 2]
    only = {"exclude_annotators": [other_annotator.pk]}
    assert found(project, since="2026-03-02", until="2026-03-04", **only) == [1, 2, 3], "both days are whole"
    assert found(project, until="9999-12-31", **only) == [0, 1, 2, 3, 4, 5]


def test_a_decision_stands_for_everybody_but_not_where_single_people_are_asked_for(project, annotator, admin):
    from annotate.review.services import adjudicate

    comparison = project.comparisons.get(round=0)
    Comparison.objects.filter(pk=comparison.pk).update(is_closed=True)
    keys = [str(pk) for pk in comparison.members.order_by("position").values_list("response_id", flat=True)]
    ranks = dict(zip(keys, (3, 2, 1), strict=True))
    adjudicate(comparison=comparison, reviewer=admin, rankings={"helpfulness": ranks, "harmlessness": ranks})
    assert found(project) == [0, 1, 2, 3, 4, 5]
    [first, *_] = dataset_records(project, DatasetConfig())
    assert first.is_decided and first.decision is not None
    assert found(project, annotators=[annotator.pk]) == [0, 1, 2, 3, 4, 5]
    [first, *_] = dataset_records(project, DatasetConfig(annotators=[annotator.pk]))
    assert not first.is_decided


def flag(project, number: int, *flags: dict) -> Comparison:
    comparison = project.comparisons.get(round=number)
    judgement = comparison.judgements.order_by("pk").last()
    judgement.flags = list(flags)
    judgement.save(update_fields=["flags"])
    return comparison


def test_flags_take_out_a_prompt_or_a_response(project):
    flag(project, 0, {"flag": "personal_data"})
    comparison = project.comparisons.get(round=1)
    marked = str(comparison.members.order_by("position").first().response_id)
    flag(project, 1, {"flag": "personal_data", "response": marked}, {"flag": "unclear"})
    assert found(project, exclude_flags=["personal_data"]) == [1, 2, 3, 4, 5]
    [record] = [
        record_chosen(each, DatasetConfig(exclude_flags=["personal_data"], rounds=[1]))
        for each in dataset_records(project, DatasetConfig(exclude_flags=["personal_data"], rounds=[1]))
    ]
    assert marked not in [response["id"] for response in record.responses]
    assert [ranking["ranks"] for ranking in record.rankings["helpfulness"]] == [[1, 2], [2, 1]]
    assert found(project, exclude_flags=["personal_data"], flagged="comparison") == [2, 3, 4, 5]
    assert found(project, exclude_flags=["unclear"]) == [0, 2, 3, 4, 5]
    assert found(project, exclude_flags=['x"] || true']) == [0, 1, 2, 3, 4, 5]


def test_generators_leave_their_responses(project, annotator):
    other = Generator.objects.create(name="Other, with a comma", kind=Generator.Kind.IMPORT)
    for member in project.comparisons.get(round=5).members.filter(position__lt=2):
        Response.objects.filter(pk=member.response_id).update(generator=other)
    assert found(project, generators=["Writer"]) == [0, 1, 2, 3, 4]
    assert found(project, generators=["Other, with a comma"]) == [5]


def test_gold_is_taken_only_when_asked_for_and_qualification_never(project, annotator):
    Comparison.objects.filter(project=project, round=2).update(purpose="gold", is_closed=True)
    Comparison.objects.filter(project=project, round=3).update(purpose="qualification", is_closed=True)
    assert found(project) == [0, 1, 4, 5]
    assert found(project, include_gold=True) == [0, 1, 2, 4, 5]


def test_comparisons_of_one_prompt_come_together(project, annotator):
    again = make_comparison(project.prompts.order_by("pk").first(), ["dd", "e"], round=9)
    judge(again, annotator, helpfulness=[1, 2])
    assert found(project) == [0, 9, 1, 2, 3, 4, 5]


def edited(project, number: int, text: str) -> Response:
    judgement = project.comparisons.get(round=number).judgements.order_by("pk").first()
    best = judgement.comparison.members.order_by("position").first().response
    generator, _ = Generator.objects.get_or_create(name="Edits by annotators", kind=Generator.Kind.EDIT)
    judgement.edit = Response.objects.create(
        prompt=best.prompt, generator=generator, text=text, content_hash=text_hash(text), edited_from=best
    )
    judgement.save(update_fields=["edit"])
    return judgement.edit


def test_edits_are_left_out_shown_or_preferred_as_asked(project):
    edit = edited(project, 0, "better")
    first = {
        how: next(iter(dataset_records(project, DatasetConfig(edits=how))))
        for how in ("leave-out", "unranked", "first-dimension", "all-dimensions")
    }
    assert [len(record.responses) for record in first.values()] == [3, 4, 4, 4]
    assert first["unranked"].responses[3] == {
        "id": str(edit.pk),
        "text": "better",
        "generator": "Edits by annotators",
        "is_edit": True,
        "edited_from": str(edit.edited_from_id),
    }
    assert [len(record.rankings["helpfulness"]) for record in first.values()] == [2, 2, 3, 3]
    [extra] = [ranking for ranking in first["first-dimension"].rankings["helpfulness"] if ranking.get("edit")]
    assert extra["ranks"] == [2, None, None, 1]


def test_strata_are_those_of_the_prompts_that_are_taken(project):
    config = DatasetConfig(stratify_by="language", test_fraction=0.34, rounds=[0, 1, 2, 3])
    assert set(dataset_strata(project, config)) == {"zh", "en"}
    assert dataset_strata(project, DatasetConfig()) is None


def test_what_falls_below_the_least_agreement_is_told_before(project):
    Comparison.objects.filter(project=project, round__lt=2).update(disagreement=1.0)
    assert dataset_preview(project, DatasetConfig(minimum_agreement=0.5))["contested"] == 2
    assert dataset_preview(project, DatasetConfig())["contested"] == 0


def test_people_are_named_in_the_form_and_their_ids_are_kept(project, annotator, as_admin):
    form = {"project": project.pk, "test_fraction": "0.2", "annotators": f"{annotator.username}, cleo", "count": "1"}
    page = as_admin.post(reverse("annotate:dataset-start"), form)
    assert "9 judgements by 2 annotators" in " ".join(page.content.decode().split())
    page = as_admin.post(reverse("annotate:dataset-start"), form | {"annotators": "nobody <b>"})
    assert page.status_code == 422
    assert "There is nobody called nobody &lt;b&gt;." in page.content.decode()
    page = as_admin.post(reverse("annotate:dataset-start"), form | {"since": "2026-03-05", "annotators": "ben"})
    assert "2 judgements by 1 annotator" in " ".join(page.content.decode().split())


def test_a_count_over_rest(project, as_admin, as_annotator):
    url = "/api/v1/dataset-runs/preview/"
    asked = {"project": project.pk, "config": {"languages": ["zh"]}}
    found_ = as_admin.post(url, asked, content_type="application/json").json()
    assert (found_["comparisons"], found_["judgements"]) == (3, 5)
    wrong = as_admin.post(url, asked | {"config": {"tags": ["\x00"]}}, content_type="application/json")
    assert wrong.status_code == 400
    assert as_annotator.post(url, asked, content_type="application/json").status_code == 403


def test_a_dimension_that_is_not_there_is_named(project):
    with pytest.raises(ValidationError, match="no dimension wit"):
        dataset_config(project, {"dimensions": ["wit"]})
