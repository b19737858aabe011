"""What every policy run may be told."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field

from lm.config import Frozen, LoraSettings


def _some_weight(value: dict[str, float]) -> dict[str, float]:
    if value and not any(value.values()):
        raise ValueError("At least one dimension needs a weight above 0.")
    return value


Weights = Annotated[dict[str, Annotated[float, Field(ge=0.0, le=100.0)]], AfterValidator(_some_weight)]


class PolicySettings(Frozen):
    """What every way of training a policy shares."""

    model_config = ConfigDict(allow_inf_nan=False)

    dimension_weights: Weights = Field(
        default_factory=dict,
        title="Dimension weights",
        description="How much each dimension counts, e.g. helpfulness 1, harmlessness 2. Empty: all count the same. "
        "A dimension left out of a list that is not empty does not count.",
    )
    method: Literal["lora", "full"] = Field(
        default="lora",
        title="What to train",
        description="lora trains small adapters over a frozen model, in the memory of about one model; full trains "
        "every weight and needs several times as much.",
    )
    lora: LoraSettings = Field(default_factory=LoraSettings, title="LoRA", description="Used when method is lora.")
    schedule: Literal["constant", "linear", "cosine"] = Field(
        default="linear", title="Learning-rate schedule", description="How the learning rate falls after the warm-up."
    )
    warmup_ratio: float = Field(
        default=0.1,
        ge=0.0,
        le=1.0,
        title="Warm-up",
        description="Share of the steps in which the learning rate rises from 0.",
    )
    weight_decay: float = Field(
        default=0.0, ge=0.0, le=1.0, title="Weight decay", description="AdamW's decoupled decay."
    )
    max_grad_norm: float = Field(
        default=1.0, gt=0.0, le=1000.0, title="Gradient clip", description="Gradients are scaled down to this norm."
    )
    batch_tokens: int | None = Field(
        default=None,
        ge=16,
        le=4_194_304,
        title="Tokens per forward",
        description="Memory budget of one training forward, prompts and responses together. It changes speed and "
        "memory, never the result. Empty: 512 on a CPU, 16384 on a GPU.",
    )
    max_prompt_tokens: int = Field(
        default=1024,
        ge=8,
        le=131_072,
        title="Longest prompt",
        description="In tokens. A longer conversation loses its oldest turns, and the run says how many did.",
    )
    checkpoint_every: int = Field(
        default=20,
        ge=1,
        le=100_000,
        title="Checkpoint every",
        description="In steps. A lost run resumes from the last one.",
    )
    sample_every: int = Field(
        default=20,
        ge=0,
        le=100_000,
        title="Show samples every",
        description="In steps; 0 shows none. Always the same prompts.",
    )
    sample_prompts: int = Field(
        default=3, ge=0, le=32, title="Sample prompts", description="How many fixed prompts are answered each time."
    )
    processes: int = Field(
        default=1,
        ge=1,
        le=64,
        title="Processes",
        description="Processes that share every step, one for each GPU. The result is that of one process.",
    )
    seed: int = Field(
        default=0, ge=0, le=2**31 - 1, title="Seed", description="Of shuffling, initialisation and sampling."
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", title="Precision", description="auto is bfloat16 on a GPU that has it and float32 elsewhere."
    )
    save: Literal["best", "last"] = Field(
        default="last",
        title="Save",
        description="best: the weights with the lowest loss on the test split, whose figures then flatter; last: those "
        "of the last step.",
    )
