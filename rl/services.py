"""What can be done with policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.models import User
from annotate.generation.services import generator_create, generator_errors
from annotate.models import DatasetVersion, Generator, Project
from rewardmodel.models import RewardModel
from rewardmodel.selectors import dataset_dimensions
from rl.models import ONLINE, EvaluationRun, MergeRun, PolicyRun
from rl.selectors import evaluated_responses, project_prompts
from rl.training.config import ALGORITHMS, EvaluationConfig, MergeConfig, OnlineSettings, PolicySettings, PPOConfig
from runs.artifacts import artifact_path
from runs.models import Run
from runs.schema import config_validated
from runs.services import run_enqueue
from runs.states import State

POLICY, EVALUATION, MERGE = "policy", "evaluation", "merged_policy"

Errors = dict[str, list[str]]


@transaction.atomic
def policy_run_start(
    *,
    generator: Generator,
    config: Mapping[str, Any],
    dataset_version: DatasetVersion | None = None,
    reward_model: RewardModel | None = None,
    more_reward_models: Sequence[RewardModel] = (),
    watched_reward_model: RewardModel | None = None,
    project: Project | None = None,
    title: str = "",
    user: User | None = None,
) -> PolicyRun:
    """Queue the training of a policy that starts from `generator`.

    `config["algorithm"]` is sft, dpo or kto, which learn from a dataset version, or ppo, grpo, rloo, reinforce or
    best_of_n, which answer prompts (of a dataset version's train split, of a project, or of the reward model's own
    dataset) for the rewards of reward models and checks.
    Raises ValidationError with field errors, before any run exists.
    """
    algorithm = str(config.get("algorithm"))
    if algorithm not in ALGORITHMS:
        raise ValidationError({"algorithm": [f"Choose one of {', '.join(ALGORITHMS)}."]})
    label = PolicyRun.Algorithm(algorithm).label
    errors: Errors = {}
    checked: PolicySettings | None = None
    try:
        checked = config_validated(ALGORITHMS[algorithm], config)
    except ValidationError as error:
        errors |= error.message_dict
    errors |= _start_errors(generator) | _title_errors(title)
    if algorithm not in ONLINE:
        given = {
            "reward_model": reward_model,
            "more_reward_models": more_reward_models,
            "watched_reward_model": watched_reward_model,
            "project": project,
        }
        errors |= {name: [f"{label} learns from a dataset version alone."] for name, value in given.items() if value}
        errors |= _rankings_errors(dataset_version, checked, label)
    else:
        if dataset_version is None and project is None and reward_model is not None:
            dataset_version = reward_model.run.dataset_version
        errors |= _prompt_errors(reward_model, dataset_version, project, checked, label)
        errors |= _judge_errors(reward_model, more_reward_models, watched_reward_model, checked)
    if errors or checked is None:
        raise ValidationError(errors)
    source = dataset_version or project
    run = PolicyRun(
        kind=POLICY,
        title=title.strip() or f"{label} on {source}"[:200],
        queue=Run.Queue.GPU,
        config=checked.model_dump(mode="json"),
        seed=checked.seed,
        created_by=user,
        algorithm=algorithm,
        generator=generator,
        dataset_version=dataset_version,
        reward_model=reward_model,
        watched_reward_model=watched_reward_model,
        project=project,
    )
    run_enqueue(run=run)
    run.more_reward_models.set(more_reward_models)
    return run


@transaction.atomic
def evaluation_run_start(
    *,
    generator: Generator,
    reference: Generator,
    reward_model: RewardModel,
    project: Project,
    config: Mapping[str, Any] | None = None,
    title: str = "",
    user: User | None = None,
) -> EvaluationRun:
    """Queue the measuring of `generator`'s responses to `project`'s prompts, against those of `reference`.

    Raises ValidationError with field errors, before any run exists.
    """
    errors: Errors = _title_errors(title)
    checked = None
    try:
        checked = config_validated(EvaluationConfig, config or {})
    except ValidationError as error:
        errors |= error.message_dict
    else:
        errors |= _reward_errors(reward_model, checked)
        if next(evaluated_responses(project, generator, reward_model, checked.prompts), None) is None:
            errors["generator"] = [
                f"{generator} has no responses to {'held-out ' if checked.prompts == 'held_out' else ''}prompts of "
                f"{project}. Generate responses with it first."
            ]
    for each, field in ((generator, "generator"), (reference, "reference")):
        if each.kind == Generator.Kind.LOCAL and field not in errors:
            wrong = generator_errors(each)
            if wrong:
                errors[field] = [message for messages in wrong.values() for message in messages]
    if errors or checked is None:
        raise ValidationError(errors)
    run = EvaluationRun(
        kind=EVALUATION,
        title=title.strip() or f"{generator} against {reference}"[:200],
        queue=Run.Queue.GPU,
        config=checked.model_dump(mode="json"),
        seed=checked.seed,
        created_by=user,
        generator=generator,
        reference=reference,
        reward_model=reward_model,
        project=project,
    )
    run_enqueue(run=run)
    return run


@transaction.atomic
def merge_run_start(
    *, policy_run: PolicyRun, config: Mapping[str, Any] | None = None, user: User | None = None
) -> MergeRun:
    """Queue the merging of a finished policy's adapter into its base; the run that does so or did so, if there is one.

    Raises ValidationError where there is nothing to merge, before any run exists.
    """
    checked = config_validated(MergeConfig, config or {})
    if not policy_run.artifacts.filter(kind=POLICY).exists():
        raise ValidationError("No policy came of this run, so there is nothing to merge.")
    if policy_run.config["method"] == "full":
        raise ValidationError("All of the model's weights were trained: the policy is a whole model already.")
    PolicyRun.objects.select_for_update(of=("self",)).get(pk=policy_run.pk)  # two clicks make one run
    for known in policy_run.merges.exclude(state__in=(State.FAILED, State.CANCELLED)).order_by("-pk"):
        if known.config == checked.model_dump(mode="json"):
            return known
    run = MergeRun(
        kind=MERGE,
        title=f"{policy_run.title}, merged"[:200],
        queue=Run.Queue.GPU,
        config=checked.model_dump(mode="json"),
        created_by=user,
        policy_run=policy_run,
    )
    run_enqueue(run=run)
    return run


def policy_register(*, run: PolicyRun) -> Generator:
    """Make a finished run's policy a generator, under the run's title, or title and number if that is taken."""
    artifact = run.artifacts.get(kind=POLICY)
    name = run.title[:110]
    if Generator.objects.filter(name=name).exists():
        name = f"{name} ({run.pk})"
    whole = run.config["method"] == "full"
    run.policy = generator_create(
        name=name,
        kind=Generator.Kind.LOCAL,
        model=str(artifact_path(artifact)) if whole else run.generator.model,
        adapter=None if whole else artifact,
        description=f"{run.get_algorithm_display()} from {run.generator.name}"[:300],
        produced_by=Run.objects.get(pk=run.pk),
        user=run.created_by,
    )
    run.save(update_fields=["policy"])
    return run.policy


# what is wrong ------------------------------------------------------------------------------------------------------


def _title_errors(title: str) -> Errors:
    return {"title": ["Use at most 200 characters."]} if len(title) > 200 else {}


def _start_errors(generator: Generator) -> Errors:
    if generator.kind != Generator.Kind.LOCAL:
        return {
            "generator": [
                f"{generator} is {generator.get_kind_display()}, so its weights are not here. Choose a local model."
            ]
        }
    wrong = generator_errors(generator)
    return {"generator": [message for messages in wrong.values() for message in messages]} if wrong else {}


def _rankings_errors(version: DatasetVersion | None, config: PolicySettings | None, label: str) -> Errors:
    """What the dataset's counts alone say against training on it; the trainer looks at its lines."""
    if version is None:
        return {"dataset_version": [f"{label} learns from rankings: choose a dataset version."]}
    weights = config.dimension_weights if config else {}
    asked = [name for name, weight in weights.items() if weight > 0]
    known = dataset_dimensions(version)
    absent = _absent(asked, known)
    if absent:
        return {"dimension_weights": [f"{version} has no dimension {absent}. Choose among {', '.join(known)}."]}
    counts = version.counts.get("dimensions") or {}
    empty = [name for name in asked or known if counts.get(name, {}).get("pairs", {}).get("train") == 0]
    if empty:
        return {
            "dataset_version": [
                f"{version} has no preference for {', '.join(empty)} in its train split. Collect more judgements, "
                "build a version with a smaller held-out share, or give weight to other dimensions only."
            ]
        }
    return {}


def _prompt_errors(
    reward_model: RewardModel | None,
    version: DatasetVersion | None,
    project: Project | None,
    config: PolicySettings | None,
    label: str,
) -> Errors:
    if reward_model is None and not (isinstance(config, OnlineSettings) and config.checks):
        return {"reward_model": [f"{label} learns from rewards: choose one reward model, or add a check."]}
    if version is not None and project is not None:
        return {"project": ["Choose the prompts of a dataset version or of a project, not both."]}
    if version is None and project is None:
        return {"project": ["Choose whose prompts to answer: a project's or a dataset version's."]}
    if version is not None and (version.counts.get("prompts") or {}).get("train") == 0:
        return {"dataset_version": [f"{version} has no prompts in its train split. Choose another, or a project."]}
    if project is not None and next(project_prompts(project, reward_model), None) is None:
        return {"project": [f"{project} has no prompts to train on. Import prompts first."]}
    if isinstance(config, PPOConfig) and config.ptx_coef and version is None:
        return {"ptx_coef": ["The language-model mix needs demonstrations: choose the prompts of a dataset version."]}
    return {}


def _judge_errors(
    reward_model: RewardModel | None,
    more: Sequence[RewardModel],
    watched: RewardModel | None,
    config: PolicySettings | None,
) -> Errors:
    errors = _reward_errors(reward_model, config)
    used = [reward_model, *more] if reward_model else list(more)
    if reward_model is not None and reward_model in more:
        errors["more_reward_models"] = [f"{reward_model} is the first reward model already."]
    if watched is not None and watched in used:
        errors["watched_reward_model"] = [f"{watched} is trained on, so watching it shows nothing. Choose another."]
    gate = config.gate_dimension if isinstance(config, OnlineSettings) else ""
    if gate and (reward_model is None or gate not in reward_model.dimensions):
        known = f" {reward_model} has {', '.join(reward_model.dimensions)}." if reward_model else ""
        errors["gate_dimension"] = [f"The gate must be a dimension of the reward model.{known}"]
    return errors


def _reward_errors(reward_model: RewardModel | None, config: PolicySettings | EvaluationConfig | None) -> Errors:
    if reward_model is None or config is None:
        return {}
    absent = _absent(list(config.dimension_weights), reward_model.dimensions)
    if not absent:
        return {}
    known = ", ".join(reward_model.dimensions)
    return {"dimension_weights": [f"{reward_model} has no dimension {absent}. Choose among {known}."]}


def _absent(asked: Sequence[str], known: Sequence[str]) -> str:
    return ", ".join(name for name in asked if name not in known) if known else ""
