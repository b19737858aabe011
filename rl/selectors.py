"""What can be asked about policies and evaluations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from annotate.datasets.selectors import version_split
from annotate.models import DatasetVersion, Generator, Project, Response
from annotate.pairs import content_hash
from rewardmodel.models import RewardModel
from rl.models import EvaluationRun, PolicyRun
from runs.artifacts import artifact_path


def policy_runs() -> QuerySet[PolicyRun]:
    """All policy runs, whatever their state, with what a list shows of them, the newest first."""
    return PolicyRun.objects.select_related(
        "generator", "dataset_version__project", "reward_model", "project", "policy", "created_by"
    ).order_by("-pk")


def evaluation_runs() -> QuerySet[EvaluationRun]:
    """All evaluations, whatever their state, with what a list shows of them, the newest first."""
    return EvaluationRun.objects.select_related(
        "generator", "reference", "reward_model", "project", "created_by"
    ).order_by("-pk")


def is_held_out(messages: list[dict[str, str]], version: DatasetVersion) -> bool:
    """Whether a dataset version keeps this prompt, wherever it comes from, out of training."""
    return version_split(version)(messages) == "test"


def dataset_prompts(version: DatasetVersion) -> Iterator[dict[str, Any]]:
    """The distinct prompts of a version's train split, as the trainers read them."""
    seen: set[str] = set()
    with open(artifact_path(version.artifact) / "rankings.jsonl", encoding="utf-8") as file:
        for line in map(json.loads, file):
            key = content_hash(line["prompt"])
            if line["split"] == "train" and key not in seen:
                seen.add(key)
                yield {"id": f"comparison {line['comparison']}", "messages": line["prompt"]}


def project_prompts(project: Project, reward_model: RewardModel) -> Iterator[dict[str, Any]]:
    """A project's prompts, except those that the reward model's dataset holds out: they are for measuring."""
    version = reward_model.run.dataset_version
    for pk, messages in project.prompts.order_by("pk").values_list("pk", "messages").iterator():
        if not is_held_out(messages, version):
            yield {"id": str(pk), "messages": messages}


def evaluated_responses(
    project: Project, generator: Generator, reward_model: RewardModel, which: str
) -> Iterator[dict[str, Any]]:
    """A generator's responses to a project's prompts (`which`: held_out or all), as the evaluation reads them."""
    version = reward_model.run.dataset_version
    responses = (
        Response.objects.filter(prompt__project=project, generator=generator)
        .select_related("prompt")
        .order_by("prompt_id", "pk")
    )
    for response in responses.iterator():
        if which == "all" or is_held_out(response.prompt.messages, version):
            yield {
                "id": str(response.pk),
                "prompt_id": str(response.prompt_id),
                "messages": response.prompt.messages,
                "text": response.text,
                "finish_reason": response.finish_reason,
            }


# tables -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Figure:
    """One row of a table of figures, with what it means."""

    name: str
    label: str
    help: str
    style: str = "number"


FIGURES = (
    Figure("reward", "Reward", "What the reward model gives; 0 is its dataset's average. Higher is better."),
    Figure("kl", "KL from the reference", "How far it has moved, in nats per response (k1). Less is better."),
    Figure("kl_k3_per_token", "KL per token", "Nats per token by the k3 estimator, never negative."),
    Figure("tokens", "Length", "Tokens per response. A reward that grows with length may be paying for length."),
    Figure("eos_rate", "Ended by itself", "Share of responses that came to an end before the length limit.", "percent"),
)  # fmt: skip

TRAINING = (
    Figure("reward", "Reward", "Mean reward of the step's responses. Should rise."),
    Figure("kl", "KL from the reference", "In nats per response (k1). Should rise slowly; a leap is reward hacking."),
    Figure(
        "clip_fraction", "Clip fraction", "Share of tokens whose update was clipped. 5 to 20 % is usual.", "percent"
    ),
    Figure("entropy", "Entropy", "In nats per token. A fall towards 0 means that the policy repeats itself."),
    Figure("value_loss", "Value loss", "Error of the critic. Should fall."),
    Figure("explained_variance", "Explained variance", "How much of the returns the critic foresees: 1 is all."),
    Figure("response_tokens", "Length", "Tokens per response."),
    Figure("eos_rate", "Ended by itself", "Share of responses with an end of their own.", "percent"),
)


def evaluation_table(run: EvaluationRun) -> list[dict[str, Any]]:
    """Reference, policy and paired difference of every figure that was measured, rewards by dimension included."""
    policy, reference = run.result.get("policy") or {}, run.result.get("reference") or {}
    difference = run.result.get("difference") or {}
    dimensions = sorted(name for name in policy if name.startswith("reward/"))
    rows = []
    for figure in FIGURES:
        rows.append(figure)
        if figure.name == "reward" and len(dimensions) > 1:
            rows += [Figure(each, f"Reward, {each.partition('/')[2]}", "The same by dimension.") for each in dimensions]
    return [
        {
            "figure": figure,
            "reference": reference.get(figure.name),
            "policy": policy.get(figure.name),
            "difference": difference.get(figure.name),
            "verdict": _verdict(difference.get(figure.name)) if figure.name.startswith("reward") else "",
        }
        for figure in rows
        if figure.name in policy
    ]


def training_table(run: PolicyRun) -> list[dict[str, Any]]:
    """A PPO run's figures in its first and last step."""
    first, last = run.result.get("first") or {}, run.result.get("last") or {}
    return [
        {"figure": figure, "first": first.get(figure.name), "last": last.get(figure.name)}
        for figure in TRAINING
        if figure.name in last
    ]


def _verdict(difference: dict[str, float] | None) -> str:
    if not difference:
        return ""
    if difference["low"] > 0:
        return "better"
    return "worse" if difference["high"] < 0 else "open"
