"""Policies and evaluations that rest on withdrawn work.

It spreads: from a dataset version to reward models and policies, from a reward model to policies and evaluations, and
from a policy, which is a generator, to whatever started from it or is measured with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from annotate.review.staleness import stale_versions
from rewardmodel.staleness import reward_models_of
from rl.models import EvaluationRun, PolicyRun

Reasons = Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Stale:
    """{id: what it rests on} of policy runs, of the generators they became, and of evaluations."""

    policies: dict[int, str] = field(default_factory=dict)
    generators: dict[int, str] = field(default_factory=dict)
    evaluations: dict[int, str] = field(default_factory=dict)


def stale_now(versions: Reasons | None = None) -> Stale:
    """What is stale if these dataset versions are ({id: why}), by default those that are stale now."""
    versions = stale_versions() if versions is None else versions
    if not versions:
        return Stale()
    further: dict[int, list[int]] = {}
    for run, model in PolicyRun.more_reward_models.through.objects.values_list("policyrun", "rewardmodel"):
        further.setdefault(run, []).append(model)
    rows = PolicyRun.objects.order_by("pk")
    runs = list(rows.values_list("pk", "dataset_version", "reward_model", "generator", "policy", named=True))
    policies: dict[int, str] = {}
    generators: dict[int, str] = {}
    while True:  # every turn but the last finds at least one more policy
        reward_models = reward_models_of(versions, generators)
        found = {
            run.pk: reason
            for run in runs
            if run.pk not in policies
            and (
                reason := versions.get(run.dataset_version)
                or reward_models.get(run.reward_model)
                or next((reward_models[each] for each in further.get(run.pk, ()) if each in reward_models), None)
                or generators.get(run.generator)
            )
        }
        if not found:
            break
        policies |= found
        generators |= {run.policy: found[run.pk] for run in runs if run.pk in found and run.policy}
    return Stale(policies, generators, _evaluations(reward_models, generators))


def _evaluations(reward_models: Reasons, generators: Reasons) -> dict[int, str]:
    rows = EvaluationRun.objects.values_list("pk", "reward_model", "generator", "reference", named=True)
    return {
        run.pk: reason
        for run in rows
        if (
            reason := reward_models.get(run.reward_model)
            or generators.get(run.generator)
            or generators.get(run.reference)
        )
    }
