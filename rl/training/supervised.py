"""Demonstrations as token ids, for the language-model mix of PPO."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lm.prefix import Group
from rewardmodel.training.data import encode, read_rankings
from rl.training.actor import Actor
from rl.training.config import PPOConfig, SFTConfig
from rl.training.objectives import demonstrated
from runs.child import UserError


def demonstrations(inputs: Mapping[str, Any], config: PPOConfig, actor: Actor) -> list[Group]:
    """Prompts and their best or corrected responses, of the train split of inputs["dataset"].

    Raises UserError if there is no dataset, or none that demonstrates anything.
    """
    if not inputs.get("dataset"):
        raise UserError(
            "The language-model mix needs demonstrations: choose a dataset version, or set its weight to 0."
        )
    choice = SFTConfig(dimension_weights=config.dimension_weights)
    groups = []
    for comparison in read_rankings(inputs["dataset"]).train:
        keep = demonstrated(comparison, choice)
        if keep:
            encoded = encode(
                comparison,
                actor.chat,
                max_prompt_tokens=config.max_prompt_tokens,
                max_response_tokens=config.max_response_tokens,
            )
            groups.append(Group(encoded.group.prompt, [encoded.group.responses[number] for number in keep]))
    if not groups:
        raise UserError(
            "The dataset has no single best or corrected response for the language-model mix to learn from."
        )
    return groups
