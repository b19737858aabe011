"""What can be done with generators: register them, and make them write."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Max
from pydantic import Field

from accounts.audit import audit_record
from accounts.models import User
from annotate.generation.models import GenerationRun, Generator
from annotate.generation.selectors import prompts_selected
from annotate.projects.models import Project
from annotate.ranking.models import Comparison
from lm.checks import check_model
from lm.config import Frozen, GenerationConfig
from runs.models import Artifact, Run
from runs.schema import config_validated
from runs.services import run_enqueue

KIND = "generation"
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,99}")
_SECRETS = ("PLUMBLINE_", "DATABASE_URL", "REDIS_URL", "AWS_")


class Selection(Frozen):
    """Which prompts a generation run is about."""

    tags: list[str] = Field(default_factory=list, title="Tags", description="Prompts with any of these. Empty: all.")
    ids: list[int] = Field(default_factory=list, title="Prompt ids", description="Only these prompts. Empty: all.")
    unanswered: bool = Field(
        default=False, title="Only unanswered", description="Leave out prompts that this generator has answered."
    )
    limit: int = Field(default=0, ge=0, title="At most", description="Only the first so many prompts. 0: all.")


def generator_create(
    *,
    name: str,
    kind: str = Generator.Kind.LOCAL,
    model: str = "",
    adapter: Artifact | None = None,
    user: User | None = None,
    **fields: Any,
) -> Generator:
    """Register a generator. Raises ValidationError with field errors if it could not write anything."""
    generator = Generator(name=name.strip(), kind=kind, model=model.strip(), adapter=adapter, created_by=user, **fields)
    errors = generator_errors(generator)
    try:
        # The database's own check of the source says the same as generator_errors, less clearly.
        generator.full_clean(validate_constraints=not errors)
    except ValidationError as error:
        errors = {**error.message_dict, **errors}
    if errors:
        raise ValidationError(errors)
    with transaction.atomic():
        generator.save()
        audit_record(actor=user, action="generator.created", subject=generator, kind=kind)
    return generator


@transaction.atomic
def generation_run_start(
    *,
    project: Project,
    generator: Generator,
    config: Mapping[str, Any] | None = None,
    comparisons: str = GenerationRun.Comparisons.OWN,
    mix_with: Iterable[Generator] = (),
    round: int | None = None,
    selection: Mapping[str, Any] | None = None,
    title: str = "",
    user: User | None = None,
) -> GenerationRun:
    """Queue the writing of K responses to each selected prompt.

    comparisons: "own" puts this run's responses into comparisons, "mixed" puts them beside what `mix_with` wrote
    before, "none" makes none. round: the round of those comparisons; the latest one by default.
    Raises ValidationError with field errors, before any run exists.
    """
    errors: dict[str, list[str]] = {}
    checked, wanted = None, None
    mixed = list(mix_with)
    try:
        checked = config_validated(GenerationConfig, {"k": project.k, **(config or {})})
    except ValidationError as error:
        errors |= error.message_dict
    try:
        wanted = config_validated(Selection, selection or {})
    except ValidationError as error:
        errors |= {f"selection.{name}": texts for name, texts in error.message_dict.items()}
    if generator.kind in Generator.SILENT:
        errors["generator"] = [f"{generator} stands for responses that are there already and cannot write new ones."]
    elif complaints := generator_errors(generator):
        errors["generator"] = [sentence for sentences in complaints.values() for sentence in sentences]
    if comparisons not in GenerationRun.Comparisons.values:
        errors["comparisons"] = [f"Choose among {', '.join(GenerationRun.Comparisons.values)}."]
    elif comparisons == GenerationRun.Comparisons.MIXED and not mixed:
        errors["mix_with"] = ["Choose at least one generator whose responses are to be mixed in."]
    elif comparisons == GenerationRun.Comparisons.OWN and checked and checked.k < 2:
        errors["k"] = ["A comparison needs at least two responses."]
    if wanted and not prompts_selected(project, wanted.model_dump(), generator).exists():
        errors["selection"] = ["No prompt of this project is selected, so there is nothing to write."]
    if errors:
        raise ValidationError(errors)
    assert checked is not None
    assert wanted is not None
    run = GenerationRun(
        kind=KIND,
        title=title.strip()[:200] or f"Responses of {generator} for {project}"[:200],
        queue=Run.Queue.DEFAULT if generator.kind == Generator.Kind.ENDPOINT else Run.Queue.GPU,
        config=checked.model_dump(mode="json"),
        seed=checked.seed,
        created_by=user,
        project=project,
        generator=generator,
        comparisons=comparisons,
        round=round or latest_round(project),
        selection=wanted.model_dump(mode="json"),
    )
    run_enqueue(run=run)
    run.mix_with.set(mixed)
    return run


def latest_round(project: Project) -> int:
    return Comparison.objects.filter(project=project).aggregate(last=Max("round"))["last"] or 1


def generator_errors(generator: Generator) -> dict[str, list[str]]:
    """Why a generator could not write, by field: looked at when it is made and before every run."""
    errors: dict[str, list[str]] = {}
    if generator.kind == Generator.Kind.LOCAL:
        try:
            check_model(generator.model, settings.MODELS_DIR)
        except ValueError as error:
            errors["model"] = [str(error)]
    elif generator.kind == Generator.Kind.ENDPOINT:
        if not generator.endpoint_url.startswith(("http://", "https://")):
            errors["endpoint_url"] = ["Give an address that begins with http:// or https://, up to /v1."]
        if not generator.endpoint_model:
            errors["endpoint_model"] = ["Give the name of the model as the endpoint knows it."]
        if generator.api_key_env:
            errors |= _api_key_errors(generator.api_key_env)
    return errors


def _api_key_errors(name: str) -> dict[str, list[str]]:
    if not _VARIABLE.fullmatch(name):
        # Whatever was typed may be a key: it is not repeated.
        sentence = "Give the name of an environment variable of the workers, such as OPENAI_API_KEY, never the key."
        return {"api_key_env": [sentence]}
    if name.startswith(_SECRETS):
        return {"api_key_env": ["This variable belongs to the platform and is not sent to an endpoint."]}
    return {}
