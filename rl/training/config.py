"""What a policy run or an evaluation may be told.

Torch-free: forms, API, child process and documentation read these schemas. `algorithm` says which one it is.
"""

from __future__ import annotations

from typing import Annotated, Any, get_args

from pydantic import Field, TypeAdapter

from rl.training.settings.base import PolicySettings, Weights
from rl.training.settings.evaluation import EvaluationConfig
from rl.training.settings.merging import MergeConfig
from rl.training.settings.offline import DPOConfig, KTOConfig, OfflineSettings, SFTConfig
from rl.training.settings.online import (
    BestOfNConfig,
    ClippedSettings,
    GRPOConfig,
    OnlineSettings,
    PPOConfig,
    ReinforceConfig,
    RLOOConfig,
)

__all__ = [
    "ALGORITHMS",
    "BestOfNConfig",
    "ClippedSettings",
    "DPOConfig",
    "EvaluationConfig",
    "GRPOConfig",
    "KTOConfig",
    "MergeConfig",
    "OfflineSettings",
    "OnlineSettings",
    "PPOConfig",
    "PolicySettings",
    "RLOOConfig",
    "ReinforceConfig",
    "SFTConfig",
    "Weights",
    "policy_config",
    "run_config",
]

AnyPolicy = SFTConfig | DPOConfig | KTOConfig | PPOConfig | GRPOConfig | RLOOConfig | ReinforceConfig | BestOfNConfig

ALGORITHMS: dict[str, type[PolicySettings]] = {
    get_args(each.model_fields["algorithm"].annotation)[0]: each for each in get_args(AnyPolicy)
}

policy_config: TypeAdapter[Any] = TypeAdapter(Annotated[AnyPolicy, Field(discriminator="algorithm")])
run_config: TypeAdapter[Any] = TypeAdapter(
    Annotated[AnyPolicy | EvaluationConfig | MergeConfig, Field(discriminator="algorithm")]
)
