"""Learning from responses that are there already: demonstrations, rankings, labels."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from lm.config import Sampling, SettingError
from rl.training.settings.base import PolicySettings


class OfflineSettings(PolicySettings):
    """What the algorithms that learn from a dataset version share."""

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


class SFTConfig(OfflineSettings):
    """Supervised fine-tuning on the responses that people liked best or wrote themselves."""

    algorithm: Literal["sft"] = Field(default="sft", title="Algorithm", description="Supervised fine-tuning.")
    responses: Literal["best", "edited", "edited_or_best"] = Field(
        default="edited_or_best",
        title="Responses",
        description="best: the one that was preferred most, where there is a single one; edited: what annotators "
        "corrected; edited_or_best: the corrected ones, and the best where nothing was corrected.",
    )


class DPOConfig(OfflineSettings):
    """Direct preference optimisation: the policy learns from the rankings themselves, without a reward model."""

    algorithm: Literal["dpo"] = Field(default="dpo", title="Algorithm", description="Direct preference optimisation.")
    loss: Literal["sigmoid", "robust", "ipo", "hinge", "simpo", "orpo"] = Field(
        default="sigmoid",
        title="Loss",
        description="sigmoid is DPO itself; robust takes out the bias of labels that are flipped at a known rate; ipo "
        "regresses to a fixed gap and resists overfitting to unanimous pairs; hinge stops at a gap of 1; simpo and "
        "orpo need no reference: simpo compares log-probs per token, orpo adds an odds ratio to supervised training.",
    )
    beta: float = Field(
        default=0.1,
        gt=0.0,
        le=10.0,
        title="Beta",
        description="How tightly the policy is held to the reference: larger stays closer. simpo: scale of its gap, "
        "about 2. orpo: the weight of the odds ratio.",
    )
    label_smoothing: float = Field(
        default=0.0,
        ge=0.0,
        lt=0.5,
        title="Label smoothing",
        description="Share of preferences taken to be flipped: conservative DPO with the sigmoid loss, robust DPO with "
        "the robust one. Not with the others.",
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
    target_gap: float = Field(
        default=1.0,
        ge=0.0,
        le=20.0,
        title="Target gap",
        description="By how much simpo asks the preferred response to win. Only with the simpo loss.",
    )
    sft_weight: float = Field(
        default=0.0,
        ge=0.0,
        le=100.0,
        title="SFT mix",
        description="Adds this much of the supervised loss, per token, of the preferred response, which keeps its own "
        "probability from falling. 0: off. orpo has it always, with weight 1.",
    )

    @property
    def needs_reference(self) -> bool:
        """Whether the loss compares with the reference."""
        return self.loss not in ("simpo", "orpo")

    @model_validator(mode="after")
    def _loss_takes_options(self) -> DPOConfig:
        if self.label_smoothing and self.loss not in ("sigmoid", "robust"):
            raise SettingError("label_smoothing", "Label smoothing works only with the sigmoid and robust losses.")
        if self.margin_scale and self.loss == "ipo":
            raise SettingError(
                "margin_scale", "The ipo loss has a fixed target and takes no margin: set the margin per strength to 0."
            )
        if self.loss == "robust" and not self.label_smoothing:
            raise SettingError(
                "label_smoothing", "The robust loss needs the rate of flipped labels: set label smoothing above 0."
            )
        return self


class KTOConfig(OfflineSettings):
    """Kahneman-Tversky optimisation: each response is desirable or not by itself, without a pair."""

    algorithm: Literal["kto"] = Field(default="kto", title="Algorithm", description="Kahneman-Tversky optimisation.")
    beta: float = Field(
        default=0.1, gt=0.0, le=10.0, title="Beta", description="How fast gains and losses saturate; larger is faster."
    )
    desirable_weight: float = Field(
        default=1.0,
        gt=0.0,
        le=100.0,
        title="Weight of desirable responses",
        description="Raise it where desirable responses are few: weight times number should be about equal.",
    )
    undesirable_weight: float = Field(
        default=1.0,
        gt=0.0,
        le=100.0,
        title="Weight of undesirable responses",
        description="Raise it where undesirable responses are few.",
    )

    @model_validator(mode="after")
    def _baseline_needs_two(self) -> KTOConfig:
        if self.comparisons_per_step < 2:
            raise SettingError(
                "comparisons_per_step",
                "KTO measures its baseline on a step's comparisons: use at least 2 comparisons per step.",
            )
        return self
