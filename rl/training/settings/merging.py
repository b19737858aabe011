"""What the merging of an adapter into its base may be told."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lm.config import Frozen


class MergeConfig(Frozen):
    """An adapter and its base as one model, for whoever loads no adapters."""

    algorithm: Literal["merge"] = Field(default="merge", title="Algorithm", description="Merging an adapter.")
    dtype: Literal["base", "float32", "bfloat16"] = Field(
        default="base",
        title="Number format",
        description="Of the weights that are saved. base: what the base is stored in. Sums are made in float32.",
    )
