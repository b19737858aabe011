"""What a policy run may be told. Torch-free: forms, API, child process and documentation read this one schema."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, model_validator

from lm.config import Frozen, LoraSettings, Sampling


def _some_weight(value: dict[str, float]) -> dict[str, float]:
    if value and not any(value.values()):
        raise ValueError("At least one dimension needs a weight above 0.")
    return value


Weights = Annotated[dict[str, Annotated[float, Field(ge=0.0, le=100.0)]], AfterValidator(_some_weight)]


class _Policy(Frozen):
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
    seed: int = Field(
        default=0, ge=0, le=2**31 - 1, title="Seed", description="Of shuffling, initialisation and sampling."
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", title="Precision", description="auto is bfloat16 on a GPU that has it and float32 elsewhere."
    )


class DPOConfig(_Policy):
    """Direct preference optimisation: the policy learns from the rankings themselves, without a reward model."""

    algorithm: Literal["dpo"] = Field(default="dpo", title="Algorithm", description="Direct preference optimisation.")
    loss: Literal["sigmoid", "ipo", "hinge"] = Field(
        default="sigmoid",
        title="Loss",
        description="sigmoid is DPO itself; ipo regresses to a fixed gap and resists overfitting to unanimous pairs; "
        "hinge stops at a gap of 1.",
    )
    beta: float = Field(
        default=0.1,
        gt=0.0,
        le=10.0,
        title="Beta",
        description="How tightly the policy is held to the reference: larger stays closer.",
    )
    label_smoothing: float = Field(
        default=0.0,
        ge=0.0,
        lt=0.5,
        title="Label smoothing",
        description="Share of preferences taken to be flipped (conservative DPO). Only with the sigmoid loss.",
    )
    soft_labels: bool = Field(
        default=True,
        title="Soft labels",
        description="Where annotators disagree, use the share that prefers each side. Off: the majority counts as "
        "certain, and ties are left out.",
    )
    margin_scale: float = Field(
        default=0.0,
        ge=0.0,
        le=10.0,
        title="Margin per strength",
        description="Asks for a larger gap where annotators said 'much better': offset per unit of strength. 0: off. "
        "Not with the ipo loss.",
    )
    learning_rate: float = Field(
        default=5e-5,
        gt=0.0,
        le=0.1,
        title="Learning rate",
        description="At its highest. About 5e-5 for LoRA, 5e-7 for full training.",
    )
    epochs: int = Field(default=1, ge=1, le=100, title="Epochs", description="Passes over the training comparisons.")
    comparisons_per_step: int = Field(
        default=8, ge=1, le=4096, title="Comparisons per step", description="Of K responses each; one optimizer step."
    )
    max_response_tokens: int = Field(
        default=1024,
        ge=1,
        le=131_072,
        title="Longest response",
        description="In tokens. A comparison keeps its longer responses cut at this length, and the run says how many.",
    )
    evaluate_every: int = Field(
        default=20,
        ge=0,
        le=100_000,
        title="Evaluate every",
        description="In steps, on the test split; 0: only at the end.",
    )
    sampling: Sampling = Field(
        default_factory=lambda: Sampling(max_tokens=128), title="Sampling", description="Of the shown samples."
    )

    @model_validator(mode="after")
    def _loss_takes_options(self) -> DPOConfig:
        if self.label_smoothing and self.loss != "sigmoid":
            raise ValueError("Label smoothing works only with the sigmoid loss.")
        if self.margin_scale and self.loss == "ipo":
            raise ValueError("The ipo loss has a fixed target and takes no margin: set the margin per strength to 0.")
        return self


class PPOConfig(_Policy):
    """Proximal policy optimisation against a reward model, as in InstructGPT.

    Responses are sampled from the whole distribution (no top-p, no top-k): those are the only ones whose
    log-probabilities give an unbiased policy gradient.
    """

    algorithm: Literal["ppo"] = Field(default="ppo", title="Algorithm", description="Proximal policy optimisation.")
    steps: int = Field(
        default=100, ge=1, le=1_000_000, title="Steps", description="Each samples responses, scores them and updates."
    )
    prompts_per_step: int = Field(
        default=16, ge=1, le=65_536, title="Prompts per step", description="Sampled afresh each step."
    )
    samples_per_prompt: int = Field(
        default=2, ge=1, le=64, title="Responses per prompt", description="They share one run of the prompt."
    )
    temperature: float = Field(
        default=1.0,
        ge=0.1,
        le=2.0,
        title="Temperature",
        description="Of sampling; ratios and KL are those of the distribution at this temperature.",
    )
    max_response_tokens: int = Field(
        default=128, ge=1, le=16_384, title="Longest response", description="In tokens; sampling stops there."
    )
    rows: int = Field(
        default=32,
        ge=1,
        le=1024,
        title="Rows sampled together",
        description="Responses in progress at one time: memory and speed, never the result.",
    )
    learning_rate: float = Field(
        default=1e-5,
        gt=0.0,
        le=0.1,
        title="Learning rate",
        description="Of policy and critic, at its highest. About 1e-5 to 1e-4 for LoRA, 1e-6 for full training.",
    )
    epochs: int = Field(default=4, ge=1, le=100, title="PPO epochs", description="Passes over each step's responses.")
    minibatches: int = Field(
        default=4,
        ge=1,
        le=1024,
        title="Minibatches",
        description="Optimizer steps per epoch; prompts are shared out evenly.",
    )
    kl_coef: float = Field(
        default=0.05,
        ge=0.0,
        le=10.0,
        title="KL coefficient",
        description="Penalty per nat of divergence from the reference. Larger stays closer to the start.",
    )
    kl_control: Literal["fixed", "adaptive"] = Field(
        default="fixed", title="KL control", description="adaptive moves the coefficient to keep KL near its target."
    )
    kl_target: float = Field(
        default=6.0, gt=0.0, le=1000.0, title="KL target", description="In nats per response. Used by adaptive control."
    )
    kl_horizon: int = Field(
        default=10_000, ge=1, title="KL horizon", description="In responses: how slowly adaptive control moves."
    )
    eos_penalty: float = Field(
        default=1.0,
        ge=0.0,
        le=100.0,
        title="Penalty for no end",
        description="Taken from the score of a response that ran into the longest length without ending.",
    )
    gamma: float = Field(default=1.0, gt=0.0, le=1.0, title="Gamma", description="Discount per token.")
    lam: float = Field(default=0.95, ge=0.0, le=1.0, title="Lambda", description="Of generalised advantage estimation.")
    ratio_clip: float = Field(default=0.2, gt=0.0, le=1.0, title="Ratio clip", description="PPO's epsilon.")
    value_clip: float = Field(
        default=0.2, gt=0.0, le=100.0, title="Value clip", description="How far a value may move in one step."
    )
    vf_coef: float = Field(
        default=0.1, ge=0.0, le=10.0, title="Value coefficient", description="Weight of the value loss."
    )
    whiten_advantages: bool = Field(
        default=True,
        title="Whiten advantages",
        description="To mean 0 and variance 1 over each step's response tokens.",
    )
    checkpoint_every: int = Field(
        default=1,
        ge=1,
        le=100_000,
        title="Checkpoint every",
        description="In steps. A lost run, or one cancelled in the middle of an update, resumes from the last one.",
    )
    sample_every: int = Field(
        default=5,
        ge=0,
        le=100_000,
        title="Show samples every",
        description="In steps; 0 shows none. Always the same prompts.",
    )
    schedule: Literal["constant", "linear", "cosine"] = Field(
        default="constant", title="Learning-rate schedule", description="How the learning rate falls after the warm-up."
    )
    warmup_ratio: float = Field(
        default=0.0,
        ge=0.0,
        le=1.0,
        title="Warm-up",
        description="Share of the steps in which the learning rate rises from 0.",
    )

    @model_validator(mode="after")
    def _minibatches_fit(self) -> PPOConfig:
        if self.minibatches > self.prompts_per_step:
            raise ValueError(
                f"{self.prompts_per_step} prompts per step cannot fill {self.minibatches} minibatches: "
                "use fewer minibatches or more prompts per step."
            )
        if self.lora.dropout:
            raise ValueError(
                "PPO needs a LoRA dropout of 0: otherwise a token's probability differs from when it was sampled."
            )
        return self


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


PolicyConfig = Annotated[DPOConfig | PPOConfig, Field(discriminator="algorithm")]
RunConfig = Annotated[DPOConfig | PPOConfig | EvaluationConfig, Field(discriminator="algorithm")]
policy_config: TypeAdapter[DPOConfig | PPOConfig] = TypeAdapter(PolicyConfig)
run_config: TypeAdapter[DPOConfig | PPOConfig | EvaluationConfig] = TypeAdapter(RunConfig)
