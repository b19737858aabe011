"""What can be asked of a language model, as frozen pydantic models without torch.

Forms, the REST API, child processes and the documentation all read these schemas, so a wrong value is refused with the
same sentence everywhere, before any run starts.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Frozen(BaseModel):
    """The base of every configuration: immutable, and an unknown key is an error rather than a silent typo."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class SettingError(ValueError):
    """Settings that do not go together. The message belongs beside `field`, by its dotted name."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


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


Method = Literal["lora", "dora", "qlora", "ia3", "prefix", "prompt", "ptuning", "bitfit", "head", "full"]
# What each family of methods shares. LOW_RANK reads `lora`, VIRTUAL reads `virtual_tokens`, ADAPTERS can stand several
# on one base.
LOW_RANK = ("lora", "dora", "qlora")
VIRTUAL = ("prefix", "prompt", "ptuning")
ADAPTERS = (*LOW_RANK, "ia3")


class AdapterSettings(Frozen):
    """Which weights a training changes. The base of every training's configuration, so that all share one schema."""

    method: Method = Field(
        default="lora",
        title="Method",
        description=(
            "What is trained. lora: small low-rank matrices; dora: those and a magnitude; qlora: lora over "
            "a base in 4 bits, on a GPU only; ia3: one factor a channel; prefix: keys and values before the prompt in "
            "every layer; prompt: embeddings before the prompt; ptuning: those, from a small network; bitfit: biases; "
            "head: nothing below the score; full: every weight. All but the three with virtual tokens "
            "are merged into an ordinary model at the end."
        ),
    )
    lora: LoraSettings = Field(
        default_factory=LoraSettings,
        title="LoRA",
        description="Size and place of the adapter matrices. Used by lora, dora and qlora.",
    )
    virtual_tokens: int = Field(
        default=16,
        ge=1,
        le=512,
        title="Virtual tokens",
        description="How many trained tokens stand before each prompt. Used by prefix, prompt and ptuning.",
    )
    frozen_layers: int = Field(
        default=0,
        ge=0,
        le=1000,
        title="Frozen layers",
        description=(
            "So many of the lowest layers, and the embeddings below them, stay as they are: faster, with less to "
            "overfit. Not with prefix, prompt, ptuning and head, which change no layer."
        ),
    )

    @model_validator(mode="after")
    def _layers_to_freeze(self) -> Self:
        if self.frozen_layers and self.method in (*VIRTUAL, "head"):
            raise ValueError(f"frozen_layers: {self.method} changes no layer, so there is none to freeze. Set it to 0.")
        return self


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
    requests_together: int = Field(
        default=8,
        ge=1,
        le=256,
        title="Requests at one time",
        description="Of an endpoint: how many it is asked for together. No use for a local model.",
    )
    requests_per_minute: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        title="Requests per minute",
        description="Of an endpoint: how many are begun in a minute, to stay within its rate limit. 0: no limit.",
    )
