"""What can be asked of a language model, as frozen pydantic models without torch.

Forms, the REST API, child processes and the documentation all read these schemas, so a wrong value is refused with the
same sentence everywhere, before any run starts.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Frozen(BaseModel):
    """The base of every configuration: immutable, and an unknown key is an error rather than a silent typo."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class Sampling(Frozen):
    """How the next token is drawn."""

    temperature: float = Field(
        default=0.8,
        ge=0.0,
        le=2.0,
        allow_inf_nan=False,
        title="Temperature",
        description="Divides the logits before the softmax. 0 takes the likeliest token, 1 samples the model as it is.",
    )
    top_p: float = Field(
        default=0.95,
        gt=0.0,
        le=1.0,
        allow_inf_nan=False,
        title="Top-p",
        description="Sample from the fewest tokens whose probabilities add up to this share. 1 keeps all tokens.",
    )
    top_k: int = Field(
        default=0,
        ge=0,
        le=100_000,
        title="Top-k",
        description="Sample from this many of the likeliest tokens. 0 keeps all tokens.",
    )
    max_tokens: int = Field(
        default=256,
        ge=1,
        le=4096,
        title="Longest response",
        description="Tokens after which a response is cut off, its end-of-turn token included.",
    )


class LoraSettings(Frozen):
    """A low-rank adapter: W + (alpha / rank) B A with A, B trained and W frozen (Hu et al. 2021)."""

    rank: int = Field(
        default=16, ge=1, le=512, title="Rank", description="Inner dimension of the two adapter matrices."
    )
    alpha: float = Field(
        default=32.0,
        gt=0.0,
        le=4096.0,
        allow_inf_nan=False,
        title="Alpha",
        description="The adapter's output is scaled by alpha / rank.",
    )
    dropout: float = Field(
        default=0.0,
        ge=0.0,
        lt=1.0,
        allow_inf_nan=False,
        title="Dropout",
        description="Dropout on the adapter's input while training. PPO wants 0, so that its first ratio is exactly 1.",
    )
    targets: Literal["all-linear", "attention"] = Field(
        default="all-linear",
        title="Layers",
        description="Adapt every linear layer of the transformer, or the attention projections only.",
    )


class GenerationConfig(Frozen):
    """K responses to every prompt."""

    k: int = Field(
        default=4, ge=1, le=16, title="Responses per prompt", description="How many responses to write to each prompt."
    )
    sampling: Sampling = Field(default_factory=Sampling, title="Sampling", description="How tokens are drawn.")
    seed: int = Field(
        default=0,
        ge=0,
        le=2**63 - 1,
        title="Seed",
        description="With the same seed, model and settings every response comes out the same.",
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        title="Number format",
        description="auto is bfloat16 on a GPU and float32 on a CPU. bfloat16 is faster where the processor has it.",
    )
    rows: int = Field(
        default=32,
        ge=1,
        le=1024,
        title="Rows sampled together",
        description="Responses in progress at one time. More is faster until memory is full; responses do not change.",
    )
