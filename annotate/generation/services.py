"""What can be done with generators: make one known, and start it writing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.models import User
from annotate.generation.config import Selection
from annotate.generation.models import GenerationRun, Generator
from annotate.generation.selectors import current_round, selected_prompts
from annotate.projects.models import Project
from lm.checks import check_adapter, check_model
from lm.config import GenerationConfig
from runs.artifacts import artifact_path
from runs.faults import MachineFault
from runs.models import Artifact, Run
from runs.schema import config_validated
from runs.services import run_enqueue

log = structlog.get_logger(__name__)

KIND = "generation"
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,99}")
_SECRETS = ("PLUMBLINE_", "DATABASE_URL", "REDIS_URL")


def generator_create(
    *,
    name: str,
    kind: str = Generator.Kind.LOCAL,
    model: str = "",
    adapter: Artifact | None = None,
    endpoint_url: str = "",
    endpoint_model: str = "",
    api_key_env: str = "",
    description: str = "",
    produced_by: Run | None = None,
    user: User | None = None,
) -> Generator:
    """Make a generator known. Raises ValidationError with field errors if it could not write a word."""
    generator = Generator(
        name=name.strip(),
        kind=kind,
        model=model.strip(),
        adapter=adapter,
        endpoint_url=endpoint_url.strip(),
        endpoint_model=endpoint_model.strip(),
        api_key_env=api_key_env.strip(),
        description=description.strip(),
        produced_by=produced_by,
        created_by=user,
    )
    errors = generator_errors(generator)
    try:
        # The database's own check says the same as generator_errors, less clearly.
        generator.full_clean(validate_constraints=False)
    except ValidationError as error:
        errors = error.message_dict | errors
    if errors:
        raise ValidationError(errors)
    generator.save()
    log.info("generator.created", generator=generator.pk, kind=kind, by=user.pk if user else None)
    return generator


def generator_errors(generator: Generator) -> dict[str, list[str]]:
    """Why a generator cannot be used, by field: looked at when it is made and before every run."""
    errors: dict[str, list[str]] = {}
    if generator.kind == Generator.Kind.LOCAL:
        try:
            check_model(generator.model, settings.MODELS_DIR)
        except ValueError as error:
            errors["model"] = [str(error)]
        if generator.adapter is not None:
            try:
                check_adapter(artifact_path(generator.adapter))
            except (ValueError, MachineFault) as error:
                errors["adapter"] = [str(error)]
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
        return {
            "api_key_env": [
                "Give the name of an environment variable of the workers, such as OPENAI_API_KEY. "
                "The key itself does not belong here."
            ]
        }
    if name.startswith(_SECRETS):
        return {"api_key_env": ["This variable belongs to the platform and is not sent to an endpoint."]}
    return {}


def generation_run_start(
    *,
    project: Project,
    generator: Generator,
    config: dict[str, Any] | None = None,
    comparisons: str = GenerationRun.Comparisons.OWN,
    mix_with: Iterable[Generator] = (),
    round: int | None = None,
    selection: dict[str, Any] | None = None,
    title: str = "",
    user: User | None = None,
) -> GenerationRun:
    """Queue a run that answers the project's prompts.

    comparisons: none, own (of this run's responses), or mixed (also of responses that the generators `mix_with` have
    already given). round: the round of these comparisons; None is the project's current one. selection: see Selection.
    Raises ValidationError with field errors, before any run exists.
    """
    errors: dict[str, list[str]] = {}
    others = list(mix_with)
    checked, chosen = _validated(GenerationConfig, config, errors), _validated(Selection, selection, errors)
    if generator.kind == Generator.Kind.IMPORT:
        errors["generator"] = [f"{generator} stands for imported responses, so it cannot write new ones."]
    elif complaints := generator_errors(generator):
        errors["generator"] = [message for messages in complaints.values() for message in messages]
    if comparisons not in GenerationRun.Comparisons.values:
        errors["comparisons"] = [f"“{comparisons}” is not one of {', '.join(GenerationRun.Comparisons.values)}."]
    if comparisons == GenerationRun.Comparisons.MIXED and not [g for g in others if g.pk != generator.pk]:
        errors["mix_with"] = ["Name at least one other generator whose responses are compared with these."]
    if checked and comparisons == GenerationRun.Comparisons.OWN and checked.k < 2:
        errors["k"] = ["A comparison needs at least 2 responses. Ask for more, or for no comparisons."]
    if round is not None and not 1 <= round <= 32_000:
        errors["round"] = ["A round is a number from 1 on."]
    if chosen and not selected_prompts(project, chosen, generator).exists():
        has_prompts = project.prompts.exists()
        errors["selection"] = [
            "No prompt of the project matches." if has_prompts else "The project has no prompts yet. Import some first."
        ]
    if len(title) > 200:
        errors["title"] = ["Use at most 200 characters."]
    if errors or checked is None or chosen is None:
        raise ValidationError(errors)
    run = GenerationRun(
        kind=KIND,
        title=title.strip() or f"{checked.k} responses of {generator} for {project}"[:200],
        queue=Run.Queue.GPU if generator.kind == Generator.Kind.LOCAL else Run.Queue.DEFAULT,
        config=checked.model_dump(mode="json"),
        seed=checked.seed,
        created_by=user,
        project=project,
        generator=generator,
        comparisons=comparisons,
        round=round or current_round(project),
        selection=chosen.model_dump(mode="json", exclude_defaults=True),
    )
    with transaction.atomic():
        run_enqueue(run=run)
        if comparisons == GenerationRun.Comparisons.MIXED:
            run.mix_with.set(g for g in others if g.pk != generator.pk)
    return run


def _validated(model: Any, values: dict[str, Any] | None, errors: dict[str, list[str]]) -> Any:
    try:
        return config_validated(model, values or {})
    except ValidationError as error:
        errors |= error.message_dict
        return None
