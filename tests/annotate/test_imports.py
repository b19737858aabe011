"""Imports are whole or nothing, and happen once however often they are asked for."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from annotate.imports import import_apply, import_preview, rankings_import
from annotate.models import Comparison, Judgement, Prompt, PromptImport, Response
from annotate.projects.services import prompts_import
from tests.annotate.conftest import jsonl

START = "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: A joke?\n\nAssistant:"
PAIR = {"chosen": START + " Sure.", "rejected": START + " No."}


def test_prompts_are_imported_once(project):
    data = jsonl({"prompt": "One"}, {"prompt": "Two", "tags": ["x"]}, {"prompt": "One"})
    report = prompts_import(project=project, data=data, filename="a.jsonl")
    assert (report.created, report.existing, report.repeated) == (2, 0, 1)
    again = prompts_import(project=project, data=data, filename="b.jsonl")
    assert (again.created, again.existing) == (0, 2)
    assert set(project.prompts.values_list("source", flat=True)) == {"a.jsonl"}


def test_one_wrong_line_leaves_nothing_behind(project):
    data = jsonl(*[{"prompt": f"Question {i}"} for i in range(2500)]) + b"{\n"
    with pytest.raises(ValidationError) as error:
        prompts_import(project=project, data=data)
    assert error.value.message_dict["file"][0].startswith("Line 2501: Not valid JSON")
    assert not Prompt.objects.exists()


def test_rankings_become_closed_comparisons_with_one_judgement_each(project):
    report = rankings_import(project=project, data=jsonl(PAIR), format="hh")
    assert (report.comparisons, report.prompts, report.responses) == (1, 1, 2)
    comparison = Comparison.objects.get()
    judgement = Judgement.objects.get()
    assert comparison.is_closed
    assert judgement.source == "import" and judgement.annotator.kind == "import"
    better, worse = comparison.members.order_by("position").values_list("response__text", "response_id")
    assert (better[0], worse[0]) == ("Sure.", "No.")
    assert judgement.rankings == {"harmlessness": {str(better[1]): 1, str(worse[1]): 2}}


def test_rankings_are_imported_once(project):
    rankings_import(project=project, data=jsonl(PAIR, PAIR), format="hh")
    again = rankings_import(project=project, data=jsonl(PAIR), format="hh")
    assert (again.comparisons, again.existing) == (0, 1)
    assert Judgement.objects.count() == 1


def test_the_same_responses_judged_otherwise_are_another_comparison(project):
    rankings_import(project=project, data=jsonl(PAIR), format="hh")
    turned = {"chosen": PAIR["rejected"], "rejected": PAIR["chosen"]}
    rankings_import(project=project, data=jsonl(turned), format="hh")
    assert (Comparison.objects.count(), Response.objects.count()) == (2, 2)


def test_a_dimension_that_the_project_lacks_is_a_field_error(project):
    with pytest.raises(ValidationError) as error:
        rankings_import(project=project, data=jsonl(PAIR), format="hh", dimension="wit")
    assert "dimension" in error.value.message_dict
    assert not Prompt.objects.exists()


def test_an_import_does_not_judge_in_a_persons_name(project, admin):
    admin.username = "import-hh"
    admin.save()
    with pytest.raises(ValidationError, match="belongs to a person"):
        rankings_import(project=project, data=jsonl(PAIR), format="hh")


def test_a_preview_imports_nothing_until_it_is_confirmed(project, admin):
    preview = import_preview(project=project, data=jsonl({"prompt": "One"}), filename="p.jsonl", user=admin)
    assert preview.report["records"] == 1
    assert not Prompt.objects.exists()
    import_apply(preview=preview, user=admin)
    done = import_apply(preview=preview, user=admin)
    assert (done.state, done.content) == (PromptImport.State.DONE, None)
    assert done.report["imported"] == {"created": 1, "existing": 0, "repeated": 0}
    assert Prompt.objects.count() == 1


def test_a_preview_with_errors_cannot_be_confirmed(project, admin):
    preview = import_preview(project=project, data=b"{}\n", filename="p.jsonl", user=admin)
    assert preview.report["errors"][0]["line"] == 1
    with pytest.raises(ValidationError):
        import_apply(preview=preview, user=admin)


def test_real_rankings_are_imported_in_few_statements(project, data_folder, django_assert_max_num_queries):
    with (data_folder / "hh_rlhf_harmless_test/test.jsonl.gz").open("rb") as file, django_assert_max_num_queries(60):
        report = rankings_import(project=project, data=file, format="hh")
    assert report.comparisons == 2303 and report.skipped == 9
    with (data_folder / "oasst_en100/en_100_tree.jsonl").open("rb") as file:
        report = rankings_import(project=project, data=file, format="oasst", limit=50)
    assert report.comparisons == 50
