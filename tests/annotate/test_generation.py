"""Generation: refused before it starts if it cannot work; taken in once; identical responses offered once."""

from __future__ import annotations

import json

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse

from annotate.generation.outcome import comparisons_make, responses_ingest
from annotate.generation.services import generation_run_start, generator_create
from annotate.importing.services import prompts_import
from annotate.models import Comparison, GenerationRun, Generator, Prompt, Response
from runs.executor import run_execute
from tests.annotate.conftest import jsonl


@pytest.fixture
def prompts(project) -> list[Prompt]:
    prompts_import(project=project, data=jsonl({"prompt": "One?", "tags": ["x"]}, {"prompt": "Two?"}))
    return list(project.prompts.all())


@pytest.fixture
def write(project, tmp_path):
    """`write(run, {prompt: [text, ...]})` is what a child leaves behind."""

    def leave(run: GenerationRun, texts: dict[Prompt, list[str]]) -> dict[str, int]:
        path = tmp_path / f"{run.pk}.jsonl"
        rows = [
            {
                "prompt_id": str(prompt.pk),
                "sample_index": index,
                "text": text,
                "tokens": 3,
                "finish_reason": "stop",
                "seed": 0,
            }
            for prompt, given in texts.items()
            for index, text in enumerate(given)
        ]
        path.write_bytes(jsonl(*rows))
        responses_ingest(run=run, path=path)
        return comparisons_make(run=run)

    return leave


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("model", {"model": "/no/such/model"}),
        ("model", {"model": ""}),
        ("name", {"name": "", "model": "smollm2-135m-instruct"}),
        ("endpoint_url", {"kind": "endpoint", "endpoint_model": "m"}),
        ("endpoint_model", {"kind": "endpoint", "endpoint_url": "http://localhost:8001/v1"}),
        (
            "api_key_env",
            {"kind": "endpoint", "endpoint_url": "http://a/v1", "endpoint_model": "m", "api_key_env": "sk-secret"},
        ),
    ],
)
def test_a_generator_that_cannot_write_is_a_field_error(admin, field, values):
    with pytest.raises(ValidationError) as error:
        generator_create(**{"name": "new", "user": admin, **values})
    assert field in error.value.message_dict
    assert "sk-secret" not in str(error.value)
    assert not Generator.objects.exists()


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("sampling.temperature", {"config": {"sampling": {"temperature": 3}}}),
        ("sampling.top_p", {"config": {"sampling": {"top_p": 0}}}),
        ("k", {"config": {"k": 17}}),
        ("k", {"config": {"k": 1}}),
        ("colour", {"config": {"colour": "red"}}),
        ("mix_with", {"comparisons": "mixed"}),
        ("comparisons", {"comparisons": "all"}),
        ("selection", {"selection": {"tags": ["none"]}}),
        ("selection.limit", {"selection": {"limit": -1}}),
    ],
)
def test_an_impossible_run_is_a_field_error_and_does_not_start(project, generator, prompts, field, options):
    with pytest.raises(ValidationError) as error:
        generation_run_start(project=project, generator=generator, **options)
    assert field in error.value.message_dict
    assert not GenerationRun.objects.exists()


def test_identical_responses_are_offered_once_and_a_prompt_without_choice_is_reported(
    project, generator, prompts, write
):
    run = generation_run_start(project=project, generator=generator)
    made = write(run, {prompts[0]: ["a", "b", " a ", "c"], prompts[1]: ["same", "same", "same\n", "same"]})
    assert made == {"comparisons": 1, "prompts_without_choice": 1}
    comparison = Comparison.objects.get()
    assert [r.text for r in comparison.responses.order_by("pk")] == ["a", "b", "c"]
    assert (comparison.overlap, comparison.round, comparison.is_closed) == (project.overlap, 1, False)
    assert Response.objects.count() == 8


def test_responses_are_taken_in_once(project, generator, prompts, write):
    run = generation_run_start(project=project, generator=generator, comparisons="none")
    for _ in range(2):
        write(run, {prompts[0]: ["a", "b"]})
    assert Response.objects.count() == 2
    assert not Comparison.objects.exists()


def test_generators_are_mixed_in_turn_up_to_k(project, generator, prompts, write, admin):
    other = Generator.objects.create(name="other", model="smollm2-135m-instruct", created_by=admin)
    write(
        generation_run_start(project=project, generator=other, comparisons="none"), {prompts[0]: ["x", "y", "z", "a"]}
    )
    mixed = generation_run_start(project=project, generator=generator, comparisons="mixed", mix_with=[other], round=2)
    write(mixed, {prompts[0]: ["a", "b", "c", "d"]})
    comparison = Comparison.objects.get()
    by = list(comparison.responses.values_list("generator__name", flat=True))
    assert (comparison.round, sorted(by)) == (2, ["other", "other", "tiny", "tiny"])


def test_text_that_the_database_refuses_is_kept_without_what_it_refuses(project, generator, prompts, write):
    run = generation_run_start(project=project, generator=generator)
    write(run, {prompts[0]: ["a\x00b", "c"]})
    assert Response.objects.filter(text="ab").exists()


def test_the_pages_and_endpoints_are_for_admins(
    project, generator, prompts, as_admin, as_annotator, as_other_annotator, as_outsider, as_nobody
):
    paths = [
        reverse("annotate:generator-list"),
        reverse("annotate:generator-new"),
        reverse("annotate:generator-detail", args=[generator.pk]),
        reverse("annotate:generation-start", args=[project.slug]),
        reverse("annotate:response-list", args=[project.slug]),
    ]
    for path in paths:
        assert as_admin.get(path).status_code == 200, path
        for client in (as_annotator, as_other_annotator, as_outsider):
            assert client.get(path).status_code == 403, path
            assert client.post(path, {}).status_code == 403, path
        assert as_nobody.get(path).status_code == 302, path
    assert not GenerationRun.objects.exists()


def test_a_run_starts_over_rest(project, generator, prompts, as_admin):
    def start(**data: object):
        body = {"project": project.pk, "generator": generator.pk, **data}
        return as_admin.post("/api/v1/generation-runs/", json.dumps(body), content_type="application/json")

    assert start(config={"sampling": {"temperature": 9}}).status_code == 400
    started = start(config={"k": 3})
    assert started.status_code == 201, started.content
    assert GenerationRun.objects.get().config["k"] == 3


@pytest.mark.django_db(transaction=True)
def test_a_tiny_model_answers_every_prompt(project, admin, tmp_path):
    from tests.tiny import tiny_model

    prompts_import(project=project, data=jsonl({"prompt": "One?"}, {"prompt": "Two?"}))
    local = generator_create(name="local", model=str(tiny_model(tmp_path / "tiny")), user=admin)
    config = {"k": 3, "sampling": {"max_tokens": 8, "temperature": 1.0}}
    run = generation_run_start(project=project, generator=local, config=config, user=admin)
    run_execute(run_id=run.pk, worker="test")
    run.refresh_from_db()
    assert run.state == "succeeded", f"{run.error}\n{run.error_detail}"
    assert Response.objects.filter(run=run).count() == 6
    assert run.result["responses"] == 6
    assert run.result["comparisons"] == Comparison.objects.filter(run=run).count() == 2
