"""What an evaluation may be told."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from lm.config import Frozen
from rl.training.settings.base import Weights


class EvaluationConfig(Frozen):
    """How far a policy moved from its reference, and what a reward model thinks of its responses."""

    model_config = ConfigDict(allow_inf_nan=False)

    algorithm: Literal["evaluate"] = Field(default="evaluate", title="Algorithm", description="Evaluation of a policy.")
    prompts: Literal["held_out", "all"] = Field(
        default="held_out",
        title="Prompts",
        description="held_out: only those that the reward model's dataset keeps out of training. all: every prompt of "
        "the project with responses, which flatters whatever was trained on them.",
    )
    dimension_weights: Weights = Field(
        default_factory=dict,
        title="Dimension weights",
        description="How the reward model's scores are combined into one reward. Empty: all count the same.",
    )
    temperature: float = Field(
        default=1.0,
        ge=0.1,
        le=2.0,
        title="Temperature",
        description="KL is between policy and reference at this temperature. It estimates the true KL only for "
        "responses sampled at it, without top-p and top-k.",
    )
    confidence: float = Field(
        default=0.95, gt=0.5, lt=1.0, title="Confidence", description="Of the intervals: 0.95 means 19 times in 20."
    )
    resamples: int = Field(
        default=2000,
        ge=100,
        le=100_000,
        title="Bootstrap resamples",
        description="Prompts are resampled with all they have.",
    )
    batch_tokens: int = Field(
        default=4096,
        ge=16,
        le=4_194_304,
        title="Tokens per forward",
        description="Memory budget; never changes the result.",
    )
    max_prompt_tokens: int = Field(
        default=1024,
        ge=8,
        le=131_072,
        title="Longest prompt",
        description="In tokens; longer ones lose their oldest turns.",
    )
    seed: int = Field(default=0, ge=0, le=2**31 - 1, title="Seed", description="Of the bootstrap.")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", title="Precision", description="auto is bfloat16 on a GPU that has it and float32 elsewhere."
    )
