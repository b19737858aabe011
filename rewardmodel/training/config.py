"""What a reward-model run can be told. Torch-free: forms, API, child process and documentation read this one schema."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from lm.config import ADAPTERS, AdapterSettings


class RewardConfig(AdapterSettings):
    """Settings of one reward-model training. Every default trains a 135M model on a laptop."""

    dimensions: tuple[str, ...] = Field(
        default=(),
        title="Dimensions",
        description="Which dimensions get a score of their own, in this order. Empty: every dimension of the dataset.",
        max_length=32,
    )
    epochs: int = Field(
        default=1,
        ge=1,
        le=100,
        title="Epochs",
        description="Passes over the training comparisons. Reward models overfit quickly: one or two is usual.",
    )
    learning_rate: float = Field(
        default=2e-4,
        gt=0,
        le=1,
        title="Learning rate",
        description=(
            "Peak step size of AdamW. About 2e-4 suits lora, dora and qlora, 1e-5 full, 1e-3 bitfit and head, "
            "5e-3 ia3, 1e-2 prefix, prompt and ptuning."
        ),
    )
    comparisons_per_step: int = Field(
        default=16,
        ge=1,
        le=4096,
        title="Comparisons per step",
        description="Comparisons, each with all its responses, behind one optimizer step.",
    )
    loss: Literal["bradley_terry", "plackett_luce"] = Field(
        default="bradley_terry",
        title="Loss",
        description="bradley_terry learns from every pair of a ranking; plackett_luce from the ranking as a whole.",
    )
    label_smoothing: float = Field(
        default=0.0,
        ge=0,
        lt=0.5,
        title="Label smoothing",
        description="Assumed share of flipped preferences: a preference of p counts as p(1-e) + (1-p)e.",
    )
    centering: float = Field(
        default=0.0,
        ge=0,
        le=10,
        title="Centring",
        description="Weight of (s_i + s_j)^2 for each pair, which keeps scores near zero. 0.01 is a usual value.",
    )
    use_margin: bool = Field(
        default=False,
        title="Use preference strength",
        description="Ask for a larger score difference where annotators called the preference stronger.",
    )
    length_control: Literal["none", "decorrelate", "odin"] = Field(
        default="none",
        title="Length control",
        description=(
            "Against scores that follow length. decorrelate: the squared correlation of score and length within "
            "comparisons costs something; odin: a second head learns what length explains, and is thrown away."
        ),
    )
    length_weight: float = Field(
        default=1.0,
        ge=0,
        le=100,
        title="Length control weight",
        description="How much the length control counts beside the loss. Not used when it is none.",
    )
    ensemble: int = Field(
        default=1,
        ge=1,
        le=32,
        title="Ensemble members",
        description=(
            "Several reward models trained in one run: the score is their mean, and how far they are apart says how "
            "sure it is. 1: no ensemble."
        ),
    )
    ensemble_of: Literal["heads", "adapters"] = Field(
        default="heads",
        title="Ensemble of",
        description=(
            "heads: members share every layer and differ in head and in how often each prompt counts; costs nothing. "
            "adapters: members differ in adapter, head and order, say more of what is unsure, and cost one training "
            "each; with lora, dora, qlora and ia3."
        ),
    )
    max_prompt_tokens: int = Field(
        default=1024,
        ge=8,
        le=131072,
        title="Longest prompt",
        description="In tokens. Longer prompts lose their oldest turns.",
    )
    max_response_tokens: int = Field(
        default=1024,
        ge=2,
        le=131072,
        title="Longest response",
        description="In tokens. Longer responses lose their end, and are closed with the end-of-turn token again.",
    )
    batch_tokens: int | None = Field(
        default=None,
        ge=16,
        le=4194304,
        title="Tokens per forward",
        description=(
            "Memory budget: a step is cut into forwards of at most this many, and a comparison that is longer is "
            "computed twice instead of kept. Does not change the result. Empty: 512 on a CPU, 16384 on a GPU."
        ),
    )
    gradient_checkpointing: Literal["auto", "always", "never"] = Field(
        default="auto",
        title="Gradient checkpointing",
        description=(
            "Compute activations again in the backward pass instead of keeping them: a third more work, a fraction "
            "of the memory. auto: only for a comparison above the memory budget."
        ),
    )
    schedule: Literal["constant", "linear", "cosine"] = Field(
        default="cosine",
        title="Schedule",
        description="How the learning rate falls after the warm-up.",
    )
    warmup_ratio: float = Field(
        default=0.05,
        ge=0,
        le=1,
        title="Warm-up",
        description="Share of the steps in which the learning rate climbs to its peak.",
    )
    weight_decay: float = Field(
        default=0.0,
        ge=0,
        le=1,
        title="Weight decay",
        description="AdamW's decoupled decay.",
    )
    max_grad_norm: float = Field(
        default=1.0,
        gt=0,
        le=1e6,
        title="Gradient clipping",
        description="Longest gradient, by its 2-norm, that a step may follow.",
    )
    evaluate_every: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        title="Evaluate every",
        description="Steps between measurements of held-out accuracy. 0: only at the end.",
    )
    patience: int = Field(
        default=0,
        ge=0,
        le=1000,
        title="Patience",
        description=(
            "Stop early: after so many measurements in a row (see evaluate every) without a lower validation loss, go "
            "back to the weights that had the lowest. 0: train to the end."
        ),
    )
    validation_share: float = Field(
        default=0.1,
        gt=0,
        lt=1,
        title="Validation share",
        description=(
            "Share of the training prompts kept aside to decide when to stop, so that the test split decides nothing. "
            "Used with patience."
        ),
    )
    checkpoint_every: int = Field(
        default=50,
        ge=1,
        le=1_000_000,
        title="Checkpoint every",
        description="Steps between checkpoints. An interrupted run continues from its last one to the same result.",
    )
    processes: int = Field(
        default=1,
        ge=1,
        le=64,
        title="Processes",
        description="Processes that share every step, one for each GPU. With a dropout of 0 the result is that of one.",
    )
    chat_template: Literal["model", "dialogue"] = Field(
        default="model",
        title="Chat template",
        description=(
            "model: what the model's tokenizer brings. dialogue: lines that begin with User: and Assistant:, for a "
            "base model that has none; it is saved with the tokenizer."
        ),
    )
    seed: int = Field(
        default=0,
        ge=0,
        le=2**31 - 1,
        title="Seed",
        description="Of the score heads, the adapters, the order of the comparisons and dropout.",
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        title="Number format",
        description="Of the weights. auto: bfloat16 on a GPU, float32 on a CPU.",
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if len(set(self.dimensions)) != len(self.dimensions):
            raise ValueError("dimensions: a dimension is named twice.")
        if self.loss == "plackett_luce" and (self.label_smoothing or self.use_margin):
            raise ValueError(
                "label_smoothing and use_margin belong to pairs and have no meaning for the plackett_luce loss. "
                "Set them to 0 and off, or choose bradley_terry."
            )
        if self.ensemble > 1 and self.ensemble_of == "adapters" and self.method not in ADAPTERS:
            raise ValueError(
                f"ensemble_of: {self.method} has no adapters to make several of. Choose heads, or one of the methods "
                f"{', '.join(ADAPTERS)}."
            )
        if self.patience and not self.evaluate_every:
            raise ValueError("patience counts measurements, and evaluate_every is 0. Set it to a number of steps.")
        return self
