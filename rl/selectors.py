"""What can be asked about policies and evaluations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
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
        "generator",
        "dataset_version__project",
        "reward_model",
        "watched_reward_model",
        "project",
        "policy",
        "created_by",
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


def project_prompts(project: Project, reward_model: RewardModel | None) -> Iterator[dict[str, Any]]:
    """A project's prompts, except those that the reward model's dataset holds out: they are for measuring.

    A prompt's metadata may bring its "answer", which checks compare with.
    """
    version = reward_model.run.dataset_version if reward_model else None
    rows = project.prompts.order_by("pk").values_list("pk", "messages", "metadata")
    for pk, messages, metadata in rows.iterator():
        if version is None or not is_held_out(messages, version):
            answer = metadata.get("answer") if isinstance(metadata, dict) else None
            given = isinstance(answer, str | int | float) and not isinstance(answer, bool)
            yield {"id": str(pk), "messages": messages, **({"answer": answer} if given else {})}


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


@dataclass(frozen=True)
class KeptPolicy:
    """What a cancelled run wrote before it ended: the best policy so far, or the last, as it was told to save."""

    directory: Path
    step: int
    reward: float | None  # on held-out prompts, where it was measured and these are the best weights


def kept_policy(run_dir: Path) -> KeptPolicy | None:
    """The policy in the directory of a run that was cancelled; None if it left none or this machine lacks it."""
    card, best = (_json(run_dir / name) for name in ("output/policy.json", "best/best.json"))
    if type(card.get("step")) is not int:
        return None
    reward = best.get("figure") if best.get("step") == card["step"] else None
    return KeptPolicy(run_dir / "output", card["step"], reward)


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


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
    Figure("kept_share", "Kept", "Share of the responses that were good enough to learn from.", "percent"),
    Figure("even_groups", "Prompts that teach nothing", "All their responses score the same.", "percent"),
    Figure("value_loss", "Value loss", "Error of the critic. Should fall."),
    Figure("explained_variance", "Explained variance", "How much of the returns the critic foresees: 1 is all."),
    Figure("response_tokens", "Length", "Tokens per response."),
    Figure("eos_rate", "Ended by itself", "Share of responses with an end of their own.", "percent"),
    Figure("repetition", "Repeats", "Share of 4-grams of tokens that occurred before in the response.", "percent"),
)


@dataclass(frozen=True)
class Hat:
    """Who holds weights in memory, how much, and whose weights it stands on."""

    label: str
    bytes: int
    about: str


@dataclass(frozen=True)
class Memory:
    """What a run held. `separate`: what it would take with a copy of the base for every hat; None if no more."""

    hats: list[Hat]
    total: int
    separate: int | None


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
    """The figures of a run that samples, in its first and last step."""
    first, last = run.result.get("first") or {}, run.result.get("last") or {}
    return [
        {"figure": figure, "first": first.get(figure.name), "last": last.get(figure.name)}
        for figure in TRAINING
        if figure.name in last
    ]


def gain_of(run: PolicyRun) -> dict[str, Any] | None:
    """What became of the prompts that a sampling run kept out of training: before, after, gain and what it cost."""
    found = run.result.get("held_out")
    if not found or not found.get("gain"):
        return None
    return {**found, "verdict": _verdict(found["gain"])}


def memory_table(run: PolicyRun) -> Memory | None:
    """Bytes of weights and of the optimizer's moments by who needs them, and which of them share the base."""
    held = run.result.get("memory") or {}
    base, reference, critic = held.get("base", 0), held.get("reference", 0), held.get("critic", 0)
    hats = []
    if base:
        on_it = ["the policy", *([] if reference else ["the reference"]), *(["the critic"] if critic else [])]
        hats.append(Hat("Base", base, f"frozen, held once for {_listed(on_it)}"))
    own = "an adapter on the base" if base else "all its weights are trained"
    hats.append(Hat("Policy", held.get("policy", 0), own))
    if reference:
        hats.append(Hat("Reference", reference, "a copy of its own, because the start is trained itself"))
    elif base:
        hats.append(Hat("Reference", 0, "the base with the policy's adapter off"))
    if critic:
        hats.append(Hat("Critic", critic, "an adapter and a head" if base or reference else "a head"))
    if held.get("reward_models"):
        hats.append(Hat("Reward models", held["reward_models"], "weights of their own"))
    if held.get("optimizer"):
        hats.append(Hat("Optimizer", held["optimizer"], "two moments for every trained weight"))
    total = sum(hat.bytes for hat in hats)
    copies = (0 if reference else 1) + (1 if critic else 0)  # of the base, that sharing has saved
    return Memory(hats, total, total + copies * base if base and copies else None) if held else None


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _verdict(difference: dict[str, float] | None) -> str:
    if not difference:
        return ""
    if difference["low"] > 0:
        return "better"
    return "worse" if difference["high"] < 0 else "open"
