"""Learning from responses that the policy writes itself, by what a reward says of them."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from lm.config import SettingError
from rl.training.checks import Check
from rl.training.settings.base import PolicySettings


class OnlineSettings(PolicySettings):
    """What the algorithms that sample share.

    Responses are sampled from the whole distribution (no top-p, no top-k): those are the only ones whose
    log-probabilities give an unbiased policy gradient.
    """

    steps: int = Field(
        default=100, ge=1, le=1_000_000, title="Steps", description="Each samples responses, scores them and updates."
    )
    prompts_per_step: int = Field(
        default=16, ge=1, le=65_536, title="Prompts per step", description="Sampled afresh each step."
    )
    samples_per_prompt: int = Field(
        default=8, ge=1, le=64, title="Responses per prompt", description="They share one run of the prompt."
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
        description="At its highest. About 1e-5 to 1e-4 for LoRA, 1e-6 for full training.",
    )
    epochs: int = Field(default=1, ge=1, le=100, title="Epochs", description="Passes over each step's responses.")
    minibatches: int = Field(
        default=1,
        ge=1,
        le=1024,
        title="Minibatches",
        description="Optimizer steps per epoch; prompts are shared out evenly.",
    )
    normalise: Literal["token", "sequence", "constant"] = Field(
        default="token",
        title="Loss average",
        description="token: every response token counts the same; sequence: every response does, a token of a long one "
        "less; constant: the sum over tokens, divided by responses times the longest length, which favours no length.",
    )
    eos_penalty: float = Field(
        default=1.0,
        ge=0.0,
        le=100.0,
        title="Penalty for no end",
        description="Taken from the score of a response that ran into the longest length without ending.",
    )
    reward_model_weight: float = Field(
        default=1.0,
        ge=0.0,
        le=1000.0,
        title="Weight of the reward model",
        description="Beside the checks. 0: only the checks count, and the reward model is watched.",
    )
    more_reward_weight: float = Field(
        default=1.0,
        ge=0.0,
        le=1000.0,
        title="Weight of further reward models",
        description="Of each one, beside the first.",
    )
    ensemble_penalty: float = Field(
        default=0.0,
        ge=0.0,
        le=100.0,
        title="Ensemble penalty",
        description="Standard deviations between a reward model's members that are taken from their mean: a lower "
        "bound that pays less where the members disagree. Without an ensemble it changes nothing.",
    )
    gate_dimension: str = Field(
        default="",
        max_length=100,
        title="Gate dimension",
        description="A dimension that must be good enough before any other counts, such as harmlessness. Where its "
        "reward is below the threshold, it alone is the reward. Empty: off.",
    )
    gate_threshold: float = Field(
        default=0.0,
        ge=-1000.0,
        le=1000.0,
        title="Gate threshold",
        description="In units of the gate's reward; 0 is the average of the reward model's dataset.",
    )
    length_penalty: float = Field(
        default=0.0,
        ge=0.0,
        le=1000.0,
        title="Length penalty",
        description="Taken from the reward for every 100 tokens beyond the free length.",
    )
    free_tokens: int = Field(
        default=0,
        ge=0,
        le=16_384,
        title="Free length",
        description="Tokens that cost no length penalty.",
    )
    reward_scaling: Literal["none", "running"] = Field(
        default="none",
        title="Reward scaling",
        description="running brings rewards to mean 0 and spread 1 over all that were seen so far.",
    )
    reward_clip: float | None = Field(
        default=None,
        gt=0.0,
        le=1e6,
        title="Reward clip",
        description="Keeps rewards within plus and minus this, after scaling. Empty: off.",
    )
    checks: tuple[Check, ...] = Field(
        default=(),
        max_length=32,
        title="Checks",
        description="Rewards that can be verified, added up by weight: exact, number, words, pattern, length, json, "
        "all, any, none. No code is run.",
    )
    save: Literal["best", "last"] = Field(
        default="best",
        title="Save",
        description="best: the weights whose responses to the held-out prompts earned most; last: those of the last "
        "step. Without held-out prompts they are the last.",
    )
    evaluate_every: int = Field(
        default=10,
        ge=0,
        le=100_000,
        title="Evaluate every",
        description="In steps, on prompts kept out of training; 0: never.",
    )
    held_out_prompts: int = Field(
        default=16,
        ge=0,
        le=4096,
        title="Held-out prompts",
        description="How many of the prompts are kept out of training to measure on, at most a quarter of all.",
    )
    best_of_n_samples: int = Field(
        default=16,
        ge=0,
        le=256,
        title="Best-of-n samples",
        description="Drawn of each held-out prompt once, before training, to tell what the start model earns by trying "
        "up to so many times: what the policy is held against. 0: never.",
    )
    kl_limit: float = Field(
        default=100.0,
        gt=0.0,
        le=1e6,
        title="KL alarm",
        description="In nats per response. Above it the policy has run away from its reference.",
    )
    length_limit: float = Field(
        default=3.0,
        gt=1.0,
        le=1000.0,
        title="Length alarm",
        description="Responses this many times longer or shorter than in the first steps have drifted.",
    )
    repetition_limit: float = Field(
        default=0.5,
        gt=0.0,
        le=1.0,
        title="Repetition alarm",
        description="Share of repeated 4-grams of tokens in the responses above which the policy repeats itself.",
    )
    on_alarm: Literal["report", "stop"] = Field(
        default="report",
        title="On an alarm",
        description="report: say so and go on; stop: end training there and save the best weights so far.",
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
    def _can_train(self) -> Self:
        if self.minibatches > self.prompts_per_step:
            raise SettingError(
                "minibatches",
                f"{self.prompts_per_step} prompts per step cannot fill {self.minibatches} minibatches: "
                "use fewer minibatches or more prompts per step.",
            )
        if self.lora.dropout:
            raise SettingError(
                "lora.dropout",
                "Training on sampled responses needs a LoRA dropout of 0: otherwise a token's probability differs from "
                "when it was sampled.",
            )
        if not self.checks and not self.reward_model_weight:
            raise SettingError(
                "checks", "Nothing gives a reward: give the reward model a weight above 0, or add a check."
            )
        return self


class ClippedSettings(OnlineSettings):
    """What the policy-gradient algorithms share: the clipped ratio, and a KL penalty towards the reference."""

    ratio_clip: float = Field(default=0.2, gt=0.0, le=1.0, title="Ratio clip", description="PPO's epsilon.")
    kl_coef: float = Field(
        default=0.05,
        ge=0.0,
        le=10.0,
        title="KL coefficient",
        description="Penalty per nat of divergence from the reference. Larger stays closer to the start.",
    )
    kl_estimator: Literal["k1", "k2", "k3"] = Field(
        default="k1",
        title="KL estimator",
        description="Of the penalty. k1 is unbiased and noisy, k2 and k3 have less noise; as a loss, k2 has the "
        "gradient of the KL itself, and k1 has none.",
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


class PPOConfig(ClippedSettings):
    """Proximal policy optimisation against a reward model, as in InstructGPT."""

    algorithm: Literal["ppo"] = Field(default="ppo", title="Algorithm", description="Proximal policy optimisation.")
    samples_per_prompt: int = Field(
        default=2, ge=1, le=64, title="Responses per prompt", description="They share one run of the prompt."
    )
    epochs: int = Field(default=4, ge=1, le=100, title="PPO epochs", description="Passes over each step's responses.")
    minibatches: int = Field(
        default=4,
        ge=1,
        le=1024,
        title="Minibatches",
        description="Optimizer steps per epoch; prompts are shared out evenly.",
    )
    gamma: float = Field(default=1.0, gt=0.0, le=1.0, title="Gamma", description="Discount per token.")
    lam: float = Field(default=0.95, ge=0.0, le=1.0, title="Lambda", description="Of generalised advantage estimation.")
    value_clip: float = Field(
        default=0.2, gt=0.0, le=100.0, title="Value clip", description="How far a value may move in one step."
    )
    vf_coef: float = Field(
        default=0.1, ge=0.0, le=10.0, title="Value coefficient", description="Weight of the value loss."
    )
    critic: Literal["reward_model", "zero"] = Field(
        default="reward_model",
        title="Critic starts as",
        description="reward_model: the reward model's adapter and head, where it stands on the same base with a "
        "difference of the adapter's rank, else as zero; zero: the base under a head that says 0.",
    )
    whiten_advantages: bool = Field(
        default=True,
        title="Whiten advantages",
        description="To mean 0 and variance 1 over each step's response tokens.",
    )
    ptx_coef: float = Field(
        default=0.0,
        ge=0.0,
        le=1000.0,
        title="Language-model mix",
        description="Weight of the supervised loss on the best responses of the dataset version, in every minibatch "
        "(PPO-ptx), which keeps what the policy could do before. 0: off.",
    )


class GRPOConfig(ClippedSettings):
    """Group-relative policy optimisation: a response is measured against the others to its prompt, without a critic."""

    algorithm: Literal["grpo"] = Field(default="grpo", title="Algorithm", description="Group-relative optimisation.")
    samples_per_prompt: int = Field(
        default=8, ge=2, le=64, title="Responses per prompt", description="The group, at least two."
    )
    standardise: bool = Field(
        default=True,
        title="Divide by the group's spread",
        description="On as in the paper. Off (Dr. GRPO) does not favour prompts that are nearly solved or hopeless.",
    )
    normalise: Literal["token", "sequence", "constant"] = Field(
        default="sequence",
        title="Loss average",
        description="sequence: as in the paper, every response counts the same, a token of a long one less; token: "
        "every token counts the same (DAPO); constant: divided by the longest length (Dr. GRPO), favouring none.",
    )
    kl_estimator: Literal["k1", "k2", "k3"] = Field(
        default="k3",
        title="KL estimator",
        description="Of the penalty, which is part of the loss. k3 as in the paper; k2 has the gradient of the KL.",
    )

    @model_validator(mode="after")
    def _penalty_has_a_gradient(self) -> GRPOConfig:
        if self.kl_estimator == "k1" and self.kl_coef:
            raise SettingError(
                "kl_estimator", "The k1 estimator as a loss has no gradient on average: choose k2 or k3."
            )
        return self


class RLOOConfig(ClippedSettings):
    """REINFORCE with the leave-one-out baseline: the KL penalty is part of the reward of the whole response."""

    algorithm: Literal["rloo"] = Field(default="rloo", title="Algorithm", description="REINFORCE leave-one-out.")
    samples_per_prompt: int = Field(
        default=4, ge=2, le=64, title="Responses per prompt", description="The group, at least two."
    )
    normalise: Literal["token", "sequence", "constant"] = Field(
        default="constant",
        title="Loss average",
        description="constant: REINFORCE's sum over tokens, divided by the longest length; token and sequence divide "
        "by the lengths that were sampled.",
    )


class ReinforceConfig(ClippedSettings):
    """REINFORCE++: no critic, the KL penalty on every token, advantages normalised over the whole step."""

    algorithm: Literal["reinforce"] = Field(default="reinforce", title="Algorithm", description="REINFORCE++.")
    samples_per_prompt: int = Field(
        default=4, ge=1, le=64, title="Responses per prompt", description="They share one run of the prompt."
    )
    gamma: float = Field(default=1.0, gt=0.0, le=1.0, title="Gamma", description="Discount per token.")
    group_baseline: bool = Field(
        default=False,
        title="Group baseline",
        description="Take the mean reward of the responses to the prompt off first (REINFORCE++-baseline).",
    )

    @model_validator(mode="after")
    def _group_is_one(self) -> ReinforceConfig:
        if self.group_baseline and self.samples_per_prompt < 2:
            raise SettingError("group_baseline", "A group baseline needs at least 2 responses per prompt.")
        return self


class BestOfNConfig(OnlineSettings):
    """Rejection sampling: sample, score, keep the best, fine-tune on those, again and again.

    With a threshold it is ReST; with checks as the reward, expert iteration.
    """

    algorithm: Literal["best_of_n"] = Field(
        default="best_of_n", title="Algorithm", description="Rejection sampling and fine-tuning."
    )
    samples_per_prompt: int = Field(
        default=8, ge=2, le=64, title="Responses per prompt", description="The n of best of n."
    )
    epochs: int = Field(default=1, ge=1, le=100, title="Epochs", description="Passes over what a step keeps.")
    keep: int = Field(
        default=1, ge=1, le=64, title="Keep", description="Best responses of each prompt that are learnt."
    )
    threshold: float | None = Field(
        default=None,
        ge=-1e6,
        le=1e6,
        title="Threshold",
        description="Keep only responses whose score is at least this. Empty: the best, however bad.",
    )

    @model_validator(mode="after")
    def _keeps_some(self) -> BestOfNConfig:
        if self.keep >= self.samples_per_prompt:
            raise SettingError("keep", "Keep fewer responses than are sampled: otherwise nothing is chosen.")
        return self
